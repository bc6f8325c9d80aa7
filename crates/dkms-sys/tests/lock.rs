//! Locks between real processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dkms_sys::lock::{Holder, Lock, LockError};

const TRY: Option<Duration> = Some(Duration::ZERO);

fn take(path: &Path, timeout: Option<Duration>) -> Result<Lock, LockError> {
    Lock::acquire(path, "testing", timeout, &mut |_| {})
}

/// Another process that holds the lock until it is killed.
fn holder(path: &Path) -> Child {
    let child = Command::new(std::env::current_exe().expect("exe"))
        .args(["--ignored", "--exact", "helper_hold", "--nocapture"])
        .env("LOCK", path)
        .stdout(Stdio::null())
        .spawn()
        .expect("helper");
    let start = Instant::now();
    while Lock::holder(path).pid != child.id() {
        assert!(start.elapsed() < Duration::from_secs(8), "the helper never took the lock");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
#[ignore = "a helper process of the tests below"]
fn helper_hold() {
    let path = std::env::var_os("LOCK").expect("LOCK");
    let _lock = Lock::acquire(path, "build of a/1\nfor b", None, &mut |_| {}).expect("lock");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_waiter_learns_the_holder_and_a_dead_holder_releases_the_lock() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lock");
    let mut child = holder(&path);
    match take(&path, TRY) {
        Err(LockError::Busy { holder, .. }) => {
            assert_eq!((holder.pid, holder.command.as_str()), (child.id(), "build of a/1 for b"));
            assert!(holder.since_unix > 1_600_000_000);
        }
        other => panic!("{other:?}"),
    }

    let mut reported: Vec<Holder> = Vec::new();
    let start = Instant::now();
    let limit = Some(Duration::from_millis(300));
    let busy = Lock::acquire(&path, "x", limit, &mut |h| reported.push(h.clone()));
    assert!(busy.is_err_and(|e| e.to_string().contains("build of a/1")));
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_secs(3));
    assert_eq!(reported.len(), 1, "reported once");

    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        child.kill().expect("kill");
        child.wait().expect("wait");
    });
    let lock = take(&path, Some(Duration::from_secs(10))).expect("free after the kill");
    assert_eq!(Lock::holder(lock.path()).pid, std::process::id());
    killer.join().expect("thread");
}

#[test]
#[ignore = "a helper process of the test below"]
fn helper_hold_and_run() {
    let path = std::env::var_os("LOCK").expect("LOCK");
    let _lock = Lock::acquire(path, "make", None, &mut |_| {}).expect("lock");
    let pid = std::env::var("PID_FILE").expect("PID_FILE");
    // A shell and a child of it, both ignoring SIGTERM.
    let script = format!(
        "trap '' TERM HUP INT; (echo $$ $BASHPID >{pid}.new; mv {pid}.new {pid}; while :; do :; done) & wait"
    );
    let _ = dkms_sys::process::Command::new("/bin/bash").args(["-c", &script]).run();
}

#[test]
fn the_lock_of_a_killed_holder_is_free_when_its_children_have_ended() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (path, pids) = (dir.path().join("lock"), dir.path().join("pids"));
    let mut child = Command::new(std::env::current_exe().expect("exe"))
        .args(["--ignored", "--exact", "helper_hold_and_run", "--nocapture"])
        .env("LOCK", &path)
        .env("PID_FILE", &pids)
        .stdout(Stdio::null())
        .spawn()
        .expect("helper");
    let start = Instant::now();
    while !pids.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "the helper's program never ran");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    let _lock = take(&path, Some(Duration::from_secs(20))).expect("free at last");
    for pid in std::fs::read_to_string(&pids).expect("pids").split_whitespace() {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} still runs");
    }
}

#[test]
fn a_released_lock_is_free_while_programs_are_running() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lock");
    let lock = take(&path, TRY).expect("free");
    let ready = dir.path().join("ready");
    let script = format!("touch {}; sleep 3", ready.display());
    let other = std::thread::spawn(move || {
        dkms_sys::process::Command::new("/bin/sh").args(["-c", &script]).run().map(|_| ())
    });
    while !ready.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(lock);
    assert!(!Lock::is_taken(&path).expect("look"), "the program's supervisor kept it");
    assert!(other.join().expect("thread").is_ok());
}

#[test]
fn a_child_process_does_not_keep_the_lock() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lock");
    let lock = take(&path, TRY).expect("lock");
    let done = dkms_sys::process::Command::new("sh").args(["-c", "sleep 30 & echo $!"]).run().expect("run");
    drop(lock);
    let free = take(&path, TRY);
    let _ = Command::new("kill").arg(done.stdout_text().trim()).status();
    free.expect("the sleeper must not hold it");
}

#[test]
fn removing_the_file_does_not_make_two_holders() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lock");
    for _ in 0..20 {
        let lock = take(&path, TRY).expect("lock");
        let waiter = {
            let path = path.clone();
            std::thread::spawn(move || {
                let lock = take(&path, Some(Duration::from_secs(10))).expect("second");
                assert!(take(&path, TRY).is_err(), "the waiter's lock is on the named file");
                drop(lock);
            })
        };
        std::thread::sleep(Duration::from_millis(8));
        std::fs::remove_file(&path).expect("unlink");
        drop(lock);
        waiter.join().expect("waiter");
    }
}

#[test]
fn counting_under_the_lock_loses_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (path, counter) = (dir.path().join("lock"), dir.path().join("counter"));
    std::fs::write(&counter, "0").expect("write");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (path, counter) = (path.clone(), counter.clone());
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let _lock = take(&path, None).expect("lock");
                    let count: u32 =
                        std::fs::read_to_string(&counter).expect("read").parse().expect("number");
                    std::fs::write(&counter, (count + 1).to_string()).expect("write");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("thread");
    }
    assert_eq!(std::fs::read_to_string(&counter).expect("read"), "40");
}

#[test]
fn invalid_contents_and_a_missing_directory() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("lock");
    std::fs::write(&path, b"x\xff\n\x1b[2J\nevil\x1b[2J\n").expect("write");
    let holder = Lock::holder(&path);
    assert_eq!((holder.pid, holder.command.as_str()), (0, "evil[2J"));
    assert_eq!(holder.to_string(), "another process");
    take(&path, TRY).expect("lock");
    assert!(matches!(take(&dir.path().join("no/lock"), TRY), Err(LockError::Io(_))));
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).expect("link");
    assert!(matches!(take(&dir.path().join("link"), TRY), Err(LockError::Io(_))));
}

#[test]
fn checking_a_lock_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert!(!Lock::is_taken(&path).unwrap());
    assert!(!path.exists());
    let held = Lock::try_acquire(&path, "testing").unwrap().unwrap();
    let text = std::fs::read(&path).unwrap();
    assert!(Lock::is_taken(&path).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), text);
    drop(held);
    assert!(!Lock::is_taken(&path).unwrap());
}
