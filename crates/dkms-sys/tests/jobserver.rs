//! Tests the pool of job slots with real makes.
#![allow(clippy::print_stderr, reason = "a test that cannot run prints the reason")]

use std::path::Path;
use std::time::Duration;

use dkms_sys::jobserver::Jobserver;
use dkms_sys::process::{Command, ProcessError, Stream};

/// A makefile with eight jobs, each of which records how many are running.
const MAKEFILE: &str = "all: 1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 8:\n\t@mkdir run/$(NAME)$@; ls run | wc -l >>log; sleep 0.1; rmdir run/$(NAME)$@\n";

fn make(pool: &Jobserver, dir: &Path, name: &str) -> Result<(), ProcessError> {
    let [read, write] = pool.descriptors();
    let done = Command::new("make")
        .arg(format!("NAME={name}"))
        .env("MAKEFLAGS", pool.makeflags())
        .env("PATH", "/usr/bin:/bin")
        .cwd(dir)
        .pass_fd(read)
        .pass_fd(write)
        .stderr(Stream::ToStdout)
        .run()?;
    assert!(done.status.success(), "{}", done.stdout_text());
    // Neither "jobserver unavailable" nor "resetting jobserver mode".
    assert!(!done.stdout_text().contains("jobserver"), "{}", done.stdout_text());
    Ok(())
}

fn has_make() -> bool {
    let there = dkms_sys::process::which("make", "/usr/bin:/bin").is_some();
    if !there {
        eprintln!("skipped: make is not installed");
    }
    there
}

fn most_at_once(dir: &Path) -> (u32, usize) {
    let log = std::fs::read_to_string(dir.join("log")).unwrap();
    let counts: Vec<u32> = log.lines().map(|l| l.trim().parse().unwrap()).collect();
    (counts.iter().copied().max().unwrap(), counts.len())
}

#[test]
fn makes_share_the_slots() {
    if !has_make() {
        return;
    }
    for slots in [1, 2, 4] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Makefile"), MAKEFILE).unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let pool = Jobserver::new(slots).unwrap();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let (pool, dir) = (&pool, dir.path());
                scope.spawn(move || {
                    let _slot = pool.acquire().unwrap();
                    make(pool, dir, name).unwrap();
                });
            }
        });
        let (most, all) = most_at_once(dir.path());
        assert_eq!(all, 24);
        assert!(most <= slots, "{most} jobs at once with {slots} slots");
        // All slots are free again.
        drop(pool.acquire_all().unwrap());
    }
}

#[test]
fn slots_of_a_killed_make_are_recovered() {
    if !has_make() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Makefile"), "all: 1 2 3\n1 2 3:\n\t@sleep 30\n").unwrap();
    let pool = Jobserver::new(3).unwrap();
    {
        let _slot = pool.acquire().unwrap();
        let [read, write] = pool.descriptors();
        let killed = Command::new("make")
            .env("MAKEFLAGS", pool.makeflags())
            .env("PATH", "/usr/bin:/bin")
            .cwd(dir.path())
            .pass_fd(read)
            .pass_fd(write)
            .timeout(Duration::from_millis(500))
            .grace(Duration::ZERO)
            .run();
        assert!(matches!(killed, Err(ProcessError::TimedOut { .. })), "{killed:?}");
    }
    drop(pool.acquire_all().unwrap());
}
