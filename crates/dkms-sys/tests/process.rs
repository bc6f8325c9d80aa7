//! Tests real processes: their output, how they end, and that they leave nothing behind.
#![allow(clippy::print_stderr, reason = "a test that cannot run prints the reason")]

use std::path::Path;
use std::time::{Duration, Instant};

use dkms_sys::process::{Command, Finished, ProcessError, Status, Stdin, Stream, which};
use dkms_sys::signal;

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn run(command: Command) -> Finished {
    let line = command.display();
    command.run().unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// Processes whose command line has this word.
fn alive(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.split(|b| *b == 0).any(|w| w == word.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(8), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number for `sleep` that no other test uses.
fn sleep_word(test: u32) -> String {
    format!("{}.{test:03}", 100_000 + std::process::id() % 800_000)
}

#[test]
fn streams_go_to_their_destinations() {
    let done = run(sh("echo out; echo err >&2; exit 3"));
    assert_eq!(
        (done.status, done.stdout_text(), done.stderr_text()),
        (Status::Exited(3), "out\n".to_owned(), "err\n".to_owned())
    );
    let both = run(sh("echo 1; echo 2 >&2; echo 3").stderr(Stream::ToStdout));
    assert_eq!(both.stdout_text(), "1\n2\n3\n");
    assert!(both.stderr.is_empty());
    let none = run(sh("echo 1; echo 2 >&2").stdout(Stream::Null).stderr(Stream::Null));
    assert!(none.stdout.is_empty() && none.stderr.is_empty());

    let dir = tempfile::tempdir().expect("tempdir");
    let log = dir.path().join("log");
    let file = std::fs::File::create(&log).expect("log");
    run(sh("echo 1; echo 2 >&2").stdout(Stream::File(file)).stderr(Stream::ToStdout));
    assert_eq!(std::fs::read_to_string(&log).expect("log"), "1\n2\n");

    let (sender, receiver) = std::sync::mpsc::channel();
    let each = Stream::Each(Box::new(move |piece| sender.send(piece.to_vec()).expect("send")));
    run(sh("echo a; sleep 0.1; echo b").stdout(each));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>().concat(), b"a\nb\n");
}

#[test]
fn the_environment_is_what_was_set() {
    let done = run(Command::new("env").env("A", "1").env("B", "two words").env("A", "2"));
    let mut lines: Vec<_> = done.stdout_text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["A=2", "B=two words"]);
}

#[test]
fn input_directory_and_umask() {
    let big = vec![b'x'; 3_000_000];
    let done = run(Command::new("wc").arg("-c").stdin(Stdin::Bytes(big.clone())));
    assert_eq!(done.stdout_text().trim(), "3000000");
    // Not reading it is not an error.
    assert!(run(Command::new("true").stdin(Stdin::Bytes(big))).status.success());
    assert_eq!(run(Command::new("cat")).stdout, b"");
    assert_eq!(run(Command::new("pwd").cwd("/usr")).stdout_text(), "/usr\n");
    assert_eq!(run(sh("umask")).stdout_text().trim(), "0022");
}

#[test]
fn both_pipes_at_once_and_truncated_output() {
    let done = run(sh("head -c 20000000 /dev/zero >&2; head -c 300000 /dev/zero; exit 0"));
    assert_eq!(done.stdout.len(), 300_000);
    assert_eq!(done.stderr.len(), dkms_sys::process::CAPTURE_LIMIT);
    assert!(done.cut);
}

#[test]
fn a_program_that_cannot_start_reports_the_reason() {
    assert!(matches!(
        Command::new("no-such-program-here").run(),
        Err(ProcessError::NotFound { program }) if program == Path::new("no-such-program-here")
    ));
    let refused = Command::new("/etc/passwd").run().expect_err("not executable").to_string();
    assert!(refused.contains("/etc/passwd") && refused.contains("executing"), "{refused}");
    let nowhere = Command::new("true").cwd("/no/such/dir").run().expect_err("no directory").to_string();
    assert!(nowhere.contains("entering its working directory"), "{nowhere}");
    assert!(Command::new("tr\0ue").run().is_err());
    assert!(Command::new("true").arg("a\0b").run().is_err());
    let dir = tempfile::tempdir().expect("tempdir");
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").expect("write");
    dkms_sys::fs::set_mode(&script, 0o755).expect("chmod");
    assert!(matches!(Command::new(&script).run(), Err(ProcessError::Start { .. })));
}

#[test]
fn programs_are_found_in_the_path_of_the_command() {
    let dir = tempfile::tempdir().expect("tempdir");
    let tool = dir.path().join("my-tool");
    std::fs::write(&tool, "#!/bin/sh\necho mine\n").expect("write");
    assert_eq!(which("my-tool", dir.path()), None, "not executable yet");
    dkms_sys::fs::set_mode(&tool, 0o755).expect("chmod");
    assert_eq!(which("my-tool", dir.path()), Some(tool));
    assert_eq!(run(Command::new("my-tool").env("PATH", dir.path())).stdout_text(), "mine\n");
    for (name, path) in [("my-tool", ""), ("my-tool", "::"), ("", "/bin"), ("/", "/bin"), ("/bin", "")] {
        assert_eq!(which(name, path), None, "{name:?} in {path:?}");
    }
}

#[test]
fn signals_and_exit_codes_are_distinguished() {
    let done = run(sh("kill -SEGV $$"));
    assert_eq!(done.status, Status::Signaled(11));
    assert_eq!(done.status.code_for_shell(), 139);
    assert_eq!(done.status.to_string(), "killed by SIGSEGV");
    // SIGPIPE has its default action in children.
    assert_eq!(run(sh("trap '' TERM; (kill -PIPE $$; exit 5); exit 6")).status, Status::Signaled(13));
}

#[test]
fn a_timeout_ends_even_detached_processes() {
    let word = sleep_word(1);
    let script = format!(
        "echo begun; trap '' TERM; sleep {word} & setsid sh -c 'trap \"\" TERM; sleep {word} & sleep {word}' & \
         (setsid sh -c 'setsid sleep {word} &' &); sleep {word}"
    );
    let start = Instant::now();
    let command = sh(&script).timeout(Duration::from_millis(700)).grace(Duration::from_millis(300));
    match command.run() {
        Err(ProcessError::TimedOut { output, after, .. }) => {
            assert_eq!(output.stdout_text(), "begun\n");
            assert_eq!(after, Duration::from_millis(700));
        }
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(alive(&word), [0u32; 0]);
}

#[test]
fn a_program_has_time_to_handle_sigterm() {
    let script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    match sh(script).timeout(Duration::from_millis(400)).run() {
        Err(ProcessError::TimedOut { output, .. }) => assert_eq!(output.stdout_text(), "ready\ncleaned\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn daemons_survive_unless_leftovers_are_ended() {
    let word = sleep_word(2);
    let script = format!("sleep {word} & echo $!");
    let start = Instant::now();
    let done = run(sh(&script));
    assert!(start.elapsed() < Duration::from_secs(5), "an open pipe must not hold us up");
    let pid: i32 = done.stdout_text().trim().parse().expect("pid");
    assert_eq!(alive(&word), [pid as u32]);
    assert!(run(sh(&format!("kill {pid}"))).status.success());
    eventually("the daemon is gone", || alive(&word).is_empty());

    let done = run(sh(&format!("setsid sleep {word} & sleep 0.1; exit 4")).end_leftovers());
    assert_eq!(done.status, Status::Exited(4));
    assert_eq!(alive(&word), [0u32; 0]);
}

#[test]
fn many_at_once() {
    let threads: Vec<_> = (0..8)
        .map(|n| {
            std::thread::spawn(move || {
                for round in 0..5 {
                    let done = run(sh(&format!("echo {n}.{round}; exit {n}")));
                    assert_eq!(done.stdout_text(), format!("{n}.{round}\n"));
                    assert_eq!(done.status, Status::Exited(n));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("thread");
    }
}

#[test]
fn only_passed_descriptors_are_inherited() {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
    let writer = std::sync::Arc::new(writer);
    let number = std::os::fd::AsRawFd::as_raw_fd(&*writer);
    let done =
        run(sh(&format!("echo hello >/proc/self/fd/{number}; ls /proc/self/fd | wc -l")).pass_fd(writer));
    // 0, 1, 2, the passed one, and the directory that ls reads.
    assert_eq!(done.stdout_text().trim(), "5");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(reader), &mut text).expect("read");
    assert_eq!(text, "hello\n");
}

#[test]
fn the_command_line_is_shown_quoted() {
    let command = Command::new("make").args(["-C", "/a b", "M=$x"]);
    assert_eq!(command.display(), "make -C '/a b' 'M=$x'");
}

/// Runs one of the ignored tests below in a separate process.
fn helper(test: &str, word: &str) -> std::process::Child {
    // A shell starts background processes with SIGINT ignored, and children inherit this.
    std::process::Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().expect("exe"))
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("WORD", word)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("helper")
}

#[test]
#[ignore = "a helper process of the test below"]
fn helper_without_child_signal() {
    signal::restore_child_signal();
    assert_eq!(run(sh("exit 3")).status, Status::Exited(3));
}

#[test]
fn children_are_waited_for_although_the_parent_ignores_sigchld() {
    let script = "trap '' CHLD; exec \"$0\" --ignored --exact helper_without_child_signal";
    let exe = std::env::current_exe().expect("exe");
    let mut child = std::process::Command::new("bash");
    let mut child =
        child.args(["-c", script]).arg(exe).stdout(std::process::Stdio::null()).spawn().expect("bash");
    assert!(child.wait().expect("wait").success());
}

fn send(child: &std::process::Child, number: &str) {
    let status = std::process::Command::new("kill").args([number, &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

#[test]
#[ignore = "a helper process of the tests below"]
fn helper_interrupted() {
    let word = std::env::var("WORD").expect("WORD");
    signal::install().expect("install");
    let stubborn = format!("trap '' TERM INT HUP; setsid sleep {word} & sleep {word}; sleep {word}");
    match sh(&stubborn).grace(Duration::from_millis(if word.ends_with("004") { 60_000 } else { 200 })).run() {
        Err(ProcessError::Interrupted { signal: 2 | 15, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(sh("true").run(), Err(ProcessError::Interrupted { .. })), "nothing new is begun");
    assert!(sh("true").ignore_interrupt().run().expect("clean up").status.success());
    assert!(signal::interrupted().is_some() && alive(&word).is_empty());
}

#[test]
#[ignore = "a helper process of the tests below"]
fn helper_killed() {
    let word = std::env::var("WORD").expect("WORD");
    let _ = sh(&format!("setsid sh -c 'trap \"\" TERM; sleep {word}' & sleep {word}")).run();
}

#[test]
fn an_interrupt_ends_the_children() {
    for (test, signals) in [(3, &["-INT"][..]), (4, &["-TERM", "-TERM"][..])] {
        let word = sleep_word(test);
        let mut child = helper("helper_interrupted", &word);
        eventually("it runs", || alive(&word).len() >= 2);
        for number in signals {
            send(&child, number);
            std::thread::sleep(Duration::from_millis(150));
        }
        let start = Instant::now();
        assert!(child.wait().expect("wait").success(), "see helper_interrupted");
        assert!(start.elapsed() < Duration::from_secs(8));
        assert_eq!(alive(&word), [0u32; 0]);
    }
}

#[test]
fn no_child_survives_a_killed_dkms() {
    let word = sleep_word(5);
    let mut child = helper("helper_killed", &word);
    eventually("it runs", || alive(&word).len() >= 2);
    child.kill().expect("kill");
    child.wait().expect("wait");
    eventually("all are gone", || alive(&word).is_empty());
}

#[test]
fn a_private_mount_is_visible_only_to_the_child() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    std::fs::create_dir(&source).expect("mkdir");
    std::fs::create_dir(&target).expect("mkdir");
    let command = sh("echo inside >file; pwd").bind(&source, &target).cwd(&target);
    if !dkms_sys::mount::is_available() {
        assert!(matches!(command.run(), Err(ProcessError::MountNotPermitted { .. })));
        eprintln!("skipped: private mounts are not permitted here");
        return;
    }
    let done = run(command);
    assert_eq!(done.stdout_text().trim(), target.to_str().expect("utf-8"));
    assert!(source.join("file").exists() && !target.join("file").exists());
    let missing = sh("true").bind(dir.path().join("absent"), &target).run().expect_err("no source");
    assert!(missing.to_string().contains("private mount"), "{missing}");
}

/// Threads copy a script and run it at once while others fork. None may fail with "Text file busy".
/// `DKMS_STRESS` sets the number of runs.
#[test]
fn a_fresh_copy_can_be_run_at_once() {
    let times: usize = std::env::var("DKMS_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let dir = dkms_sys::fs::TempDir::new_in(std::env::temp_dir(), "busy-").unwrap();
    let original = dir.path().join("original");
    std::fs::write(&original, "#!/bin/sh\nexit 7\n").unwrap();
    dkms_sys::fs::set_mode(&original, 0o755).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (dir, original) = (dir.path(), &original);
            scope.spawn(move || {
                for n in 0..times / 8 {
                    let copy = dir.join(format!("{thread}-{n}"));
                    dkms_sys::fs::copy_file(original, &copy).unwrap();
                    let done = Command::new(&copy).run().unwrap();
                    assert_eq!(done.status, Status::Exited(7), "{thread} {n}");
                    std::fs::remove_file(&copy).unwrap();
                }
            });
        }
    });
}

/// If the file stays open for writing, starting it fails; if it is closed in time, it runs and its own status
/// counts.
#[test]
fn a_busy_file_is_retried() {
    let dir = dkms_sys::fs::TempDir::new_in(std::env::temp_dir(), "busy-").unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/bin/sh\necho done; exit 3\n").unwrap();
    dkms_sys::fs::set_mode(&script, 0o755).unwrap();
    let writer = std::fs::OpenOptions::new().append(true).open(&script).unwrap();
    let closing = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(writer);
    });
    let done = Command::new(&script).run().unwrap();
    closing.join().unwrap();
    assert_eq!((done.status, done.stdout.as_slice()), (Status::Exited(3), &b"done\n"[..]));
}

#[test]
fn a_program_is_talked_to_and_stopped() {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let (sender, received) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let command = sh("while read -r line; do echo \"<$line>\"; [ \"$line\" = hang ] && sleep 600; done")
        .stdin(Stdin::Stream(OwnedFd::from(theirs)))
        .stdout(Stream::Each(Box::new(move |chunk| {
            let _ = sender.send(chunk.to_vec());
        })))
        .stop_on(stop.clone());
    let thread = std::thread::spawn(move || run(command));
    for word in ["one", "hang"] {
        ours.write_all(format!("{word}\n").as_bytes()).expect("written");
        let answer = received.recv_timeout(Duration::from_secs(8)).expect("an answer");
        assert_eq!(answer, format!("<{word}>\n").into_bytes());
    }
    stop.store(true, Ordering::Relaxed);
    let done = thread.join().expect("the thread");
    assert!(matches!(done.status, Status::Signaled(_)), "{}", done.status);
}
