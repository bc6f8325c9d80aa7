//! Tests the sandbox with real programs.
#![allow(clippy::print_stderr, reason = "a test that cannot run prints the reason")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dkms_sys::process::{Command, Finished, ProcessError, Stream};
use dkms_sys::sandbox::{Access, Limits, Part, Place, Profile, can_become, lacks, landlock_abi};

const USER: (u32, u32) = (64990, 64990);

fn root() -> bool {
    dkms_sys::sys::effective_uid() == 0
}

fn user() -> Option<(u32, u32)> {
    can_become(USER.0).then_some(USER)
}

/// A directory that the confined user can reach, outside its private directories, with space for its own
/// files and for the mounts.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let parent = std::env::var_os("ROOMS").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        let dir = tempfile::Builder::new().prefix("fixture").tempdir_in(parent).expect("tempdir");
        let fixture = Fixture { dir };
        fixture.directory("scratch", 0o700);
        fixture.directory("work", 0o777);
        fixture.directory("outside", 0o777);
        dkms_sys::fs::set_mode(fixture.dir.path(), 0o755).expect("chmod");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn directory(&self, name: &str, mode: u32) -> PathBuf {
        std::fs::create_dir_all(self.path(name)).expect("mkdir");
        dkms_sys::fs::set_mode(self.path(name), mode).expect("chmod");
        self.path(name)
    }

    fn profile(&self) -> Profile {
        let mut profile = Profile::new(self.path("scratch"));
        profile.user = user();
        profile.places.push(Place::new(self.path("work"), Access::Write));
        profile
    }
}

fn command(script: &str) -> Command {
    Command::new("bash").args(["--norc", "-c", script]).stderr(Stream::ToStdout)
}

fn confined(script: &str, profile: Profile) -> Finished {
    command(script).confine(profile).run().unwrap_or_else(|e| panic!("{script}: {e}"))
}

#[test]
fn everything_is_enforced_for_root_on_this_machine() {
    if !root() || !dkms_sys::mount::is_available() || landlock_abi() == 0 {
        eprintln!("skipped: needs root, private mounts and Landlock");
        return;
    }
    let fixture = Fixture::new();
    let done = confined("true", fixture.profile());
    assert!(done.enforced.is_complete(), "{:?}", done.enforced);
    let e = done.enforced;
    assert!(e.filesystem && e.network && e.user && e.processes && e.view && e.keys);
}

#[test]
fn writing_is_confined_to_the_given_directories() {
    let fixture = Fixture::new();
    let inside = fixture.path("work");
    let done = confined(
        &format!("cd '{}' && echo x >f && mkdir a b && mv f b/f && ln -s x y", inside.display()),
        fixture.profile(),
    );
    assert!(done.status.success() && done.enforced.filesystem, "{done:?}");
    let there = fixture.path("outside/there");
    std::fs::write(&there, "old").expect("write");
    for attempt in [
        "rm -f '@'",
        "mv '@' '@2'",
        "ln '@' '@3'",
        "mkdir '@4'",
        ": >'@'",
        "truncate -s 0 '@'",
        "chmod 777 '@'",
    ] {
        confined(&attempt.replace('@', &there.display().to_string()), fixture.profile());
    }
    assert_eq!(std::fs::read_to_string(&there).expect("still there"), "old");
    assert_eq!(std::fs::read_dir(fixture.path("outside")).expect("list").count(), 1);
}

#[test]
fn devices_and_reading_stay_usable() {
    let script = "echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null && \
                  cat /etc/passwd >/dev/null && cat <(echo done) && echo more >/dev/stdout";
    let fixture = Fixture::new();
    let done = confined(script, fixture.profile());
    assert_eq!(done.stdout_text(), "done\nmore\n");
}

#[test]
fn another_user_without_groups_and_privileges() {
    let fixture = Fixture::new();
    let done = confined(
        "id -u; id -g; id -G; cat /etc/shadow; grep -E 'NoNewPrivs|CapEff' /proc/self/status",
        fixture.profile(),
    );
    let output = done.stdout_text();
    if can_become(USER.0) {
        assert!(output.starts_with("64990\n64990\n64990\n"), "{output}");
        assert!(output.contains("Permission denied") && done.enforced.user);
    } else {
        assert!(!done.enforced.user);
    }
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("CapEff:\t0000000000000000"), "{output}");
}

#[test]
fn no_terminal_and_not_the_session_of_the_caller() {
    let fixture = Fixture::new();
    let done = confined(
        "(: </dev/tty) 2>/dev/null && echo terminal; ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/self/stat",
        fixture.profile(),
    );
    let output = done.stdout_text();
    assert!(!output.contains("terminal"), "{output}");
    // From /proc: in a container the leader of the session may be outside, which reads as session 0.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let ours = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).expect("session");
    assert!(output.trim() != ours || ours == "0", "{output}");
}

#[test]
fn it_sees_no_other_process_and_can_signal_none() {
    let fixture = Fixture::new();
    let me = std::process::id();
    let done = confined(&format!("kill -0 {me} 2>&1; ls -d /proc/[0-9]* | wc -l"), fixture.profile());
    if !done.enforced.processes {
        eprintln!("skipped: no process namespaces here");
        return;
    }
    let output = done.stdout_text();
    let count: u32 = output.split_whitespace().last().and_then(|n| n.parse().ok()).expect("a number");
    assert!(count < 10, "{output}");
}

#[test]
fn temporary_directories_are_private_bounded_and_gone_afterwards() {
    let fixture = Fixture::new();
    let name = format!("dkms-test-{}", std::process::id());
    let mut profile = fixture.profile();
    profile.temporary = 1 << 20;
    let script = format!(
        "for d in /tmp /var/tmp /dev/shm; do echo x >$d/{name} || echo failed; done; \
                          head -c 4000000 /dev/zero >/tmp/big 2>&1; stat -c %s /tmp/big"
    );
    let done = confined(&script, profile);
    if !done.enforced.view {
        eprintln!("skipped: no private mounts here");
        return;
    }
    let output = done.stdout_text();
    assert!(!output.contains("failed"), "{output}");
    let size: u64 = output.split_whitespace().last().and_then(|n| n.parse().ok()).expect("a size");
    assert!(size <= 1 << 20, "{output}");
    for dir in ["/tmp", "/var/tmp", "/dev/shm"] {
        assert!(!Path::new(dir).join(&name).exists());
    }
    assert_eq!(std::fs::read_dir(fixture.path("scratch/.view")).expect("list").count(), 0);
}

#[test]
fn hidden_paths_are_empty_and_places_below_them_are_visible() {
    let fixture = Fixture::new();
    let secret = fixture.directory("secret", 0o700);
    let source = fixture.directory("secret/source", 0o755);
    std::fs::write(secret.join("key"), "key").expect("write");
    std::fs::write(source.join("dkms.conf"), "found").expect("write");
    let key = fixture.path("outside/key");
    std::fs::write(&key, "key").expect("write");
    let mut profile = fixture.profile();
    profile.hidden = vec![secret.clone(), key.clone()];
    profile.places.push(Place::new(&source, Access::Read));
    let script = format!(
        "ls '{0}'; cat '{0}/key' '{1}'; cat '{2}/dkms.conf'; echo x >'{2}/new'",
        secret.display(),
        key.display(),
        source.display()
    );
    let done = confined(&script, profile);
    let output = done.stdout_text();
    assert!(!output.lines().any(|l| l == "key") || !done.enforced.view, "{output}");
    if done.enforced.view {
        assert!(output.contains("found") && output.starts_with("source\n"), "{output}");
    }
    assert!(!source.join("new").exists());
}

#[test]
fn writes_to_a_layer_are_discarded() {
    let fixture = Fixture::new();
    let source = fixture.directory("outside/source,with:odd\\name", 0o755);
    std::fs::write(source.join("VERSION"), "1").expect("write");
    let mut profile = fixture.profile();
    profile.places.push(Place::new(&source, Access::Layer));
    let script =
        format!("cd '{}' && cat VERSION && echo 2 >cache && cat cache && rm VERSION && ls", source.display());
    let done = match command(&script).confine(profile).run() {
        Ok(done) => done,
        Err(ProcessError::NoView { .. }) => {
            assert!(lacks(Part::Layer) || lacks(Part::Mounts));
            eprintln!("skipped: overlayfs cannot be had here");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    assert_eq!(done.stdout_text(), "12\ncache\n", "{done:?}");
    assert_eq!(std::fs::read_dir(&source).expect("list").count(), 1);
}

#[test]
fn a_copy_can_be_read_and_changed_regardless_of_modes() {
    let fixture = Fixture::new();
    let secret = fixture.directory("secret", 0o700);
    let source = fixture.directory("secret/source", 0o700);
    std::fs::write(source.join("VERSION"), "1").expect("write");
    dkms_sys::fs::set_mode(source.join("VERSION"), 0o600).expect("chmod");
    std::fs::write(secret.join("other"), "secret").expect("write");
    fixture.directory("secret/source/sub", 0o700);
    std::os::unix::fs::symlink("VERSION", source.join("link")).expect("link");
    rustix::fs::mknodat(rustix::fs::CWD, source.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("fifo");
    let mut profile = fixture.profile();
    profile.places.push(Place::new(&source, Access::Copy));
    let script = format!(
        "cd '{}' && cat link && echo 2 >>VERSION && echo x >sub/new && cat VERSION && ls; ls ../other",
        source.display()
    );
    let done = match command(&script).confine(profile).run() {
        Err(ProcessError::NoView { .. }) => return eprintln!("skipped: no private mounts here"),
        done => done.expect("run"),
    };
    let output = done.stdout_text();
    assert!(output.starts_with("112\nVERSION\nlink\nsub\n") && output.contains("No such file"), "{output}");
    assert_eq!(std::fs::read_to_string(source.join("VERSION")).expect("read"), "1");
}

/// As with `tmp_location=/tmp`: the private directory covers the one in which the mounts were prepared.
#[test]
fn directories_may_be_below_those_that_become_private() {
    let dir = tempfile::tempdir_in("/tmp").expect("tempdir");
    let (scratch, work) = (dir.path().join("scratch"), dir.path().join("work/deep"));
    std::fs::create_dir(&scratch).expect("mkdir");
    std::fs::create_dir_all(&work).expect("mkdir");
    dkms_sys::fs::set_mode(&work, 0o777).expect("chmod");
    let mut profile = Profile::new(&scratch);
    profile.user = user();
    profile.places.push(Place::new(&work, Access::Write));
    let done =
        confined(&format!("cd '{}' && echo x >file; ls '{}'", work.display(), dir.path().display()), profile);
    assert!(work.join("file").exists(), "{done:?}");
    assert!(!done.enforced.view || done.stdout_text() == "work\n", "{done:?}");
}

#[test]
fn the_network_is_not_reachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let fixture = Fixture::new();
    let open = Profile { network: true, ..fixture.profile() };
    assert!(command(&connect).confine(open).run().expect("bash").status.success(), "reachable when allowed");
    let done = confined(&connect, fixture.profile());
    assert!(done.enforced.network && !done.status.success(), "{done:?}");
}

/// The sandbox of an unprivileged user: a user namespace, or Landlock and seccomp without one. Uses a helper
/// that drops root.
#[test]
fn an_unprivileged_user_is_confined_too() {
    if !root() {
        eprintln!("skipped: covered by the tests above when not root");
        return;
    }
    // The user can reach /tmp, whatever the directory of the sources.
    let copy = tempfile::tempdir().expect("tempdir");
    dkms_sys::fs::set_mode(copy.path(), 0o777).expect("chmod");
    let tool = copy.path().join("tool");
    // Written by another process: a fork of another test could inherit this process's descriptor and keep the
    // file busy.
    let exe = std::env::current_exe().expect("exe");
    Command::new("install").args(["-m", "755"]).arg(exe).arg(&tool).run().expect("install");
    let names = [
        "the_network_is_not_reachable",
        "devices_and_reading_stay_usable",
        "writing_is_confined_to_the_given_directories",
        "temporary_directories_are_private_bounded_and_gone_afterwards",
        "it_sees_no_other_process_and_can_signal_none",
        "another_user_without_groups_and_privileges",
        "leftover_processes_of_a_confined_program_are_killed",
    ];
    let done = Command::new("setpriv")
        .args(["--reuid=64991", "--regid=64991", "--clear-groups"])
        .arg(&tool)
        .arg("--exact")
        .args(names)
        .env("ROOMS", copy.path())
        .stderr(Stream::ToStdout)
        .run()
        .expect("run");
    assert!(done.status.success(), "{}", done.stdout_text());
    assert!(done.stdout_text().contains("7 passed"), "{}", done.stdout_text());
}

#[test]
fn limits_apply_to_all_processes_together() {
    let fixture = Fixture::new();
    let limits = |limits| Profile { limits, ..fixture.profile() };
    let big = fixture.path("work/big");
    let small = limits(Limits { file_size: Some(4096), ..Limits::default() });
    let done = confined(&format!("head -c 100000 /dev/zero >'{}'", big.display()), small);
    assert!(!done.status.success());
    assert_eq!(std::fs::metadata(&big).expect("file").len(), 4096);

    let memory = limits(Limits { memory: Some(200 << 20), ..Limits::default() });
    let hungry = "for i in 1 2 3 4; do { printf -v x %100000000s; sleep 30; } & done; wait";
    let start = Instant::now();
    let late = command(hungry).confine(memory).run();
    assert!(
        matches!(&late, Err(ProcessError::OverLimit { limit, .. }) if limit == "200 MiB of memory"),
        "{late:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));

    let processes = limits(Limits { processes: Some(40), ..Limits::default() });
    let many = command("for i in {1..200}; do sleep 30 & done; wait")
        .confine(processes)
        .timeout(Duration::from_secs(60))
        .run();
    let refused = match &many {
        Err(ProcessError::OverLimit { .. } | ProcessError::TimedOut { .. }) => true,
        Ok(done) => done.stdout_text().contains("fork"),
        Err(_) => false,
    };
    assert!(refused, "{many:?}");
}

#[test]
fn a_bound_build_directory_is_writable_under_its_target_name() {
    if !dkms_sys::mount::is_available() {
        eprintln!("skipped: needs private mounts");
        return;
    }
    let fixture = Fixture::new();
    let (source, target) = (fixture.directory("source", 0o777), fixture.directory("target", 0o777));
    let mut profile = fixture.profile();
    profile.places.push(Place::new(&target, Access::Write));
    let done =
        command("echo x >file").bind(&source, &target).cwd(&target).confine(profile).run().expect("run");
    assert!(done.status.success() && done.enforced.filesystem, "{done:?}");
    assert!(source.join("file").exists() && !target.join("file").exists());
}

#[test]
fn leftover_processes_of_a_confined_program_are_killed() {
    let (start, fixture) = (Instant::now(), Fixture::new());
    let done = confined("trap '' TERM INT HUP; setsid sleep 300 >/dev/null 2>&1 & exit 3", fixture.profile());
    assert_eq!(done.status.code_for_shell(), 3);
    let deaf = "trap '' TERM INT HUP; while :; do sleep 1; done";
    let late = command(deaf).confine(fixture.profile()).timeout(Duration::from_millis(200)).run();
    assert!(matches!(late, Err(ProcessError::TimedOut { .. })));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn signals_and_exit_codes_are_passed_on() {
    let fixture = Fixture::new();
    let status = |script| confined(script, fixture.profile()).status.code_for_shell();
    assert_eq!(status("exit 0"), 0);
    assert_eq!(status("exit 77"), 77);
    assert_eq!(status("kill -KILL $$"), 137);
    assert_eq!(status("kill -SEGV $$"), 139);
}
