//! What a confined program can and cannot do, tried by a real one.
#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

use std::path::Path;

use dkms_sys::process::{Command, Finished, ProcessError, Status};
use dkms_sys::sandbox::{Profile, landlock_abi};

const NOBODY: (u32, u32) = (65534, 65534);

fn root() -> bool {
    dkms_sys::sys::effective_uid() == 0
}

fn confined(script: &str, profile: Profile) -> Finished {
    let command = Command::new("sh").args(["-c", script]).confine(profile);
    command.run().unwrap_or_else(|e| panic!("{script}: {e}"))
}

/// A directory anybody may write, outside of what only root can reach.
fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("tempdir");
    dkms_sys::fs::set_mode(dir.path(), 0o777).expect("chmod");
    dir
}

fn can_write(path: &Path, profile: Profile) -> (bool, Finished) {
    let done = confined(&format!("echo x >'{}'", path.display()), profile);
    (done.status.success(), done)
}

#[test]
fn writing_is_confined_to_the_given_directories() {
    if landlock_abi() == 0 {
        eprintln!("skipped: this kernel has no Landlock");
        return;
    }
    let (inside, outside) = (open_dir(), open_dir());
    let profile = || Profile {
        read_write: vec![inside.path().to_owned()],
        read_only_everything: true,
        ..Profile::default()
    };
    let (ok, done) = can_write(&inside.path().join("f"), profile());
    assert!(ok && done.enforced.filesystem && done.enforced.is_complete(), "{done:?}");
    let (ok, _) = can_write(&outside.path().join("f"), profile());
    assert!(!ok && !outside.path().join("f").exists());
    std::fs::write(outside.path().join("there"), "old").expect("write");
    let there = outside.path().join("there");
    for attempt in ["rm -f '@'", "mv '@' '@2'", "ln '@' '@3'", "mkdir '@4'", ": >'@'", "truncate -s 0 '@'"] {
        confined(&attempt.replace('@', &there.display().to_string()), profile());
    }
    assert_eq!(std::fs::read_to_string(&there).expect("still there"), "old");
    assert_eq!(std::fs::read_dir(outside.path()).expect("list").count(), 1);
    let moved =
        format!("cd '{}' && mkdir a b && echo 1 >a/f && mv a/f b/f && ln -s x y", inside.path().display());
    assert!(confined(&moved, profile()).status.success(), "inside everything goes");
}

#[test]
fn devices_and_reading_stay_usable() {
    let profile = Profile { read_only_everything: true, ..Profile::default() };
    let script = "echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null && \
                  cat /etc/passwd >/dev/null && echo done >/dev/stdout";
    let done = confined(script, profile);
    assert!(done.status.success(), "{}", done.stderr_text());
    assert_eq!(done.stdout, b"done\n");
}

#[test]
fn another_user_without_groups() {
    let profile = Profile { user: Some(NOBODY), ..Profile::default() };
    let done = confined("id -u; id -g; id -G; cat /etc/shadow", profile);
    if root() {
        assert_eq!(done.stdout_text(), "65534\n65534\n65534\n");
        assert!(!done.status.success() && done.enforced.user);
    } else {
        assert!(!done.enforced.user && !done.enforced.is_complete());
    }
}

#[test]
fn privileges_cannot_be_regained() {
    let done = confined("grep NoNewPrivs /proc/self/status", Profile::default());
    assert_eq!(done.stdout_text().split_whitespace().last(), Some("1"));
}

#[test]
fn the_network_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let bash = |profile| Command::new("bash").args(["-c", &connect]).confine(profile).run().expect("bash");
    assert!(bash(Profile::default()).status.success(), "reachable when not confined");
    let done = bash(Profile { no_network: true, ..Profile::default() });
    assert!(done.enforced.network && !done.status.success(), "{done:?}");
    let as_nobody = Profile { no_network: true, user: Some(NOBODY), ..Profile::default() };
    assert!(!bash(as_nobody).status.success());
}

/// The way of an unprivileged dkms: seccomp, as no namespace is to be had. Played by a helper that gave up root.
#[test]
fn the_network_is_out_of_reach_without_root_too() {
    if !root() {
        eprintln!("skipped: covered by the test above when not root");
        return;
    }
    let exe = std::env::current_exe().expect("exe");
    let copy = open_dir();
    let tool = copy.path().join("tool");
    dkms_sys::fs::copy_file(exe, &tool).expect("copy");
    dkms_sys::fs::set_mode(&tool, 0o755).expect("chmod");
    let done = Command::new(&tool)
        .args(["--exact", "the_network_is_out_of_reach", "devices_and_reading_stay_usable"])
        .env("TMPDIR", copy.path())
        .confine(Profile { user: Some(NOBODY), ..Profile::default() })
        .run()
        .expect("run");
    assert!(done.status.success(), "{}", done.stdout_text());
    assert!(done.stdout_text().contains("2 passed"), "{}", done.stdout_text());
}

#[test]
fn limits_hold() {
    let dir = open_dir();
    let file = dir.path().join("big");
    let small = Profile { file_size: Some(4096), ..Profile::default() };
    let done = confined(&format!("head -c 100000 /dev/zero >'{}'", file.display()), small);
    assert!(!done.status.success());
    assert_eq!(std::fs::metadata(&file).expect("file").len(), 4096);

    let busy = Profile { cpu_seconds: Some(1), ..Profile::default() };
    let done = confined("while :; do :; done", busy);
    assert!(matches!(done.status, Status::Signaled(24 | 9)), "{:?}", done.status);

    let tight = Profile { memory: Some(64 << 20), ..Profile::default() };
    assert!(!confined("exec bash -c 'printf -v x %200000000s; echo ${#x}'", tight).status.success());

    if root() {
        let alone = Profile { processes: Some(0), user: Some((64999, 64999)), ..Profile::default() };
        assert!(!confined("sleep 0 & wait $!", alone).status.success());
    }
}

#[test]
fn a_bound_build_directory_is_writable_under_its_target_name() {
    if !root() || !dkms_sys::mount::is_available() || landlock_abi() == 0 {
        eprintln!("skipped: needs root, private mounts and Landlock");
        return;
    }
    let dir = open_dir();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    for path in [&source, &target] {
        std::fs::create_dir(path).expect("mkdir");
        dkms_sys::fs::set_mode(path, 0o777).expect("chmod");
    }
    let profile = Profile {
        read_write: vec![target.clone()],
        read_only_everything: true,
        user: Some(NOBODY),
        no_network: true,
        ..Profile::default()
    };
    let done = Command::new("sh")
        .args(["-c", "echo x >file"])
        .bind(&source, &target)
        .cwd(&target)
        .confine(profile)
        .run()
        .expect("run");
    assert!(done.status.success() && done.enforced.is_complete(), "{done:?}");
    assert!(source.join("file").exists() && !target.join("file").exists());
}

#[test]
fn what_does_not_exist_is_reported() {
    let profile =
        Profile { read_write: vec!["/no/such/dir".into()], read_only_everything: true, ..Profile::default() };
    let done = confined("true", profile);
    assert!(done.enforced.missing.iter().any(|m| m.contains("/no/such/dir")), "{:?}", done.enforced);
}

#[test]
fn leftovers_of_a_confined_program_are_ended() {
    let start = std::time::Instant::now();
    let done = confined("setsid sleep 300 & exit 0", Profile::default());
    assert!(done.status.success() && start.elapsed().as_secs() < 5);
    let late = Command::new("sleep")
        .arg("300")
        .confine(Profile { user: root().then_some(NOBODY), ..Profile::default() })
        .timeout(std::time::Duration::from_millis(200))
        .run();
    assert!(matches!(late, Err(ProcessError::TimedOut { .. })));
}
