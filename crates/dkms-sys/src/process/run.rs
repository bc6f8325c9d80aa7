//! Starting a command, reading what it says, and ending it in time.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use super::child::{Notes, Plan, Step};
use super::supervisor::{REPORT_BYTES, Rows};
use super::{
    CAPTURE_LIMIT, Command, DEFAULT_PATH, Finished, Listener, ProcessError, Status, Stdin, Stream, which,
};
use crate::mount::Bind;
use crate::sandbox::{Enforced, Prepared};
use crate::signal;

/// How long pipes are read on after the program ended, when something it left behind keeps them open.
const DRAIN: Duration = Duration::from_millis(500);
/// The supervisor gives up by itself before this.
const GIVE_UP: Duration = Duration::from_secs(15);

pub(super) fn run(mut command: Command) -> Result<Finished, ProcessError> {
    let line = command.display();
    if let (Some(signal), false) = (signal::interrupted(), command.ignore_interrupt) {
        return Err(ProcessError::Interrupted { command: line, signal });
    }
    let start = Instant::now();
    let (mut child, streams, life, notes, mut enforced) = start_child(&mut command, &line)?;
    let network_asked = command.profile.as_ref().is_some_and(|p| p.no_network);
    enforced.network = network_asked && notes.network_closed();
    if network_asked && !enforced.network {
        enforced
            .missing
            .push("the network is not closed: neither a namespace nor seccomp is to be had".to_owned());
    }
    let mut watch = Watch::new(&command, &child.0, streams, life, start);
    watch.until_the_end();
    let Watch { streams: [out, err], report, ended_by, .. } = watch;
    let fallback = child.finish();
    let finished = Finished {
        status: report.unwrap_or(fallback),
        cut: out.cut || err.cut,
        stdout: out.kept,
        stderr: err.kept,
        elapsed: start.elapsed(),
        enforced,
    };
    match ended_by {
        None => Ok(finished),
        Some(Reason::Time(after)) => {
            Err(ProcessError::TimedOut { command: line, after, output: Box::new(finished) })
        }
        Some(Reason::Signal(signal)) => Err(ProcessError::Interrupted { command: line, signal }),
    }
}

/// The supervisor, which is killed and waited for whatever happens to us.
struct Child(std::process::Child);

impl Child {
    fn signal(child: &std::process::Child, number: rustix::process::Signal) {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It was not waited for yet, so the number is still its own.
            let _ = rustix::process::kill_process(pid, number);
        }
    }

    /// Waits; the answer counts only when the supervisor could not report.
    fn finish(&mut self) -> Status {
        use std::os::unix::process::ExitStatusExt;
        match self.0.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (_, Some(signal)) => Status::Signaled(signal),
                (code, _) => Status::Exited(code.unwrap_or(1).max(1)),
            },
            Err(_) => Status::Exited(1),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            Child::signal(&self.0, rustix::process::Signal::USR1);
            let _ = self.0.wait();
        }
    }
}

type Started = (Child, [Reader; 2], OwnedFd, std::sync::Arc<Notes>, Enforced);

fn start_child(command: &mut Command, line: &str) -> Result<Started, ProcessError> {
    let path = command.env_value("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    let Some(program) = which(&command.program, path) else { return Err(missing(command, line)) };
    let start_error =
        |step: Step, source| ProcessError::Start { command: line.to_owned(), step: step.words(), source };
    let plain = |source| start_error(Step::Start, source);

    let mut std_command = std::process::Command::new(&program);
    std_command.arg0(&command.program).args(&command.args).env_clear().envs(command.env.iter().cloned());
    let own_group = !matches!(command.stdin, Stdin::Inherit) || !crate::sys::is_terminal(0);
    std_command.stdin(stdin(std::mem::take(&mut command.stdin)).map_err(plain)?);
    let (out, out_reader) = output(std::mem::take(&mut command.stdout), 1).map_err(plain)?;
    let (err, err_reader) = match std::mem::take(&mut command.stderr) {
        Stream::ToStdout => (out.try_clone().map_err(plain)?, Reader::closed()),
        stream => output(stream, 2).map_err(plain)?,
    };
    std_command.stdout(Stdio::from(out)).stderr(Stdio::from(err));

    let (life, life_child) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| plain(e.into()))?;
    let notes = Notes::new().map_err(plain)?;
    let sandbox: Option<Prepared> = command.profile.as_ref().map(|p| p.prepare(&command.binds));
    let enforced = sandbox.as_ref().map(|s| s.enforced.clone()).unwrap_or_default();
    let mut plan = Plan {
        parent: i32::try_from(std::process::id()).unwrap_or(0),
        life: life_child,
        rows: Rows::new(),
        own_group,
        end_leftovers: command.end_leftovers,
        pass: std::mem::take(&mut command.pass),
        binds: command.binds.iter().map(|(s, t)| Bind::new(s, t)).collect::<Result<_, _>>().map_err(plain)?,
        cwd: command
            .cwd
            .as_ref()
            .map(|dir| CString::new(dir.as_os_str().as_bytes()))
            .transpose()
            .map_err(|e| start_error(Step::Directory, e.into()))?,
        umask: command.umask,
        nice: command.nice,
        sandbox,
        notes: notes.clone(),
    };
    // SAFETY: `carry_out` neither allocates nor locks; all it needs was made above.
    unsafe { std_command.pre_exec(move || plan.carry_out()) };
    let spawned = super::busy::spawn(&mut std_command, &life);
    // Closes our ends of what the child has now.
    drop(std_command);
    match spawned {
        Ok(child) => Ok((Child(child), [out_reader, err_reader], life, notes, enforced)),
        Err(source) => Err(match notes.step() {
            Step::Mount if is_refusal(&source) => {
                ProcessError::MountNotPermitted { command: line.to_owned(), source }
            }
            step => start_error(step, source),
        }),
    }
}

fn is_refusal(e: &std::io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EINVAL | libc::ENOSPC | libc::EUSERS)
    )
}

/// A file that is there but cannot be executed is another trouble than none.
fn missing(command: &Command, line: &str) -> ProcessError {
    let path = std::path::Path::new(&command.program);
    if command.program.as_bytes().contains(&b'/') && path.exists() {
        ProcessError::Start {
            command: line.to_owned(),
            step: Step::Execute.words(),
            source: std::io::Error::from_raw_os_error(libc::EACCES),
        }
    } else {
        ProcessError::NotFound { program: path.to_owned() }
    }
}

fn stdin(stdin: Stdin) -> std::io::Result<Stdio> {
    Ok(match stdin {
        Stdin::Null => Stdio::null(),
        Stdin::Inherit => Stdio::inherit(),
        // A file in memory: the program may read as slowly or as little as it likes.
        Stdin::Bytes(bytes) => {
            use std::io::{Seek, Write};
            let fd = rustix::fs::memfd_create(c"dkms-stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
            let mut file = File::from(fd);
            file.write_all(&bytes)?;
            file.rewind()?;
            Stdio::from(file)
        }
    })
}

/// The child's end of a stream, and what reads ours.
fn output(stream: Stream, number: i32) -> std::io::Result<(OwnedFd, Reader)> {
    Ok(match stream {
        Stream::Null => (std::fs::OpenOptions::new().write(true).open("/dev/null")?.into(), Reader::closed()),
        Stream::Inherit if number == 1 => (std::io::stdout().as_fd().try_clone_to_owned()?, Reader::closed()),
        Stream::Inherit => (std::io::stderr().as_fd().try_clone_to_owned()?, Reader::closed()),
        Stream::File(file) => (file.into(), Reader::closed()),
        Stream::Capture | Stream::ToStdout => piped(None)?,
        Stream::Each(function) => piped(Some(function))?,
    })
}

fn piped(function: Option<Listener>) -> std::io::Result<(OwnedFd, Reader)> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((theirs, Reader { pipe: Some(File::from(ours)), kept: Vec::new(), cut: false, function }))
}

struct Reader {
    pipe: Option<File>,
    kept: Vec<u8>,
    cut: bool,
    function: Option<Listener>,
}

impl Reader {
    fn closed() -> Self {
        Reader { pipe: None, kept: Vec::new(), cut: false, function: None }
    }

    /// Takes what is there; the caller knows that something is, or that it is the end.
    fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0u8; 64 * 1024];
        match pipe.read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(size) => {
                let chunk = chunk.get(..size).unwrap_or_default();
                match &mut self.function {
                    Some(function) => function(chunk),
                    None => {
                        let room = CAPTURE_LIMIT.saturating_sub(self.kept.len());
                        self.kept.extend(chunk.iter().take(room));
                        self.cut |= size > room;
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.pipe = None,
        }
    }
}

enum Reason {
    Time(Duration),
    Signal(i32),
}

/// Reading and watching, until the supervisor is gone and the pipes are empty.
struct Watch<'a> {
    child: &'a std::process::Child,
    streams: [Reader; 2],
    life: Option<File>,
    report: Option<Status>,
    ended_by: Option<Reason>,
    /// When everything is to be killed, once it was asked to end.
    hard_at: Option<Instant>,
    killed_at: Option<Instant>,
    deadline: Option<(Instant, Duration)>,
    grace: Duration,
    /// Signals that had come when it began, or that it may overlook.
    overlooked: Option<u32>,
    gone_at: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(
        command: &Command,
        child: &'a std::process::Child,
        streams: [Reader; 2],
        life: OwnedFd,
        start: Instant,
    ) -> Self {
        Watch {
            child,
            streams,
            life: Some(File::from(life)),
            report: None,
            ended_by: None,
            hard_at: None,
            killed_at: None,
            deadline: command.timeout.and_then(|t| Some((start.checked_add(t)?, t))),
            grace: command.grace,
            overlooked: command.ignore_interrupt.then(|| signal::count().max(1)),
            gone_at: None,
        }
    }

    fn until_the_end(&mut self) {
        loop {
            self.poll();
            let now = Instant::now();
            if let Some(gone) = self.gone_at {
                let silent = self.streams.iter().all(|s| s.pipe.is_none());
                if silent || now.duration_since(gone) >= DRAIN {
                    return;
                }
            } else {
                self.look_at_the_clock(now);
                if self.killed_at.is_some_and(|at| now.duration_since(at) >= GIVE_UP) {
                    Child::signal(self.child, rustix::process::Signal::KILL);
                    return;
                }
            }
        }
    }

    /// Begins and presses the end, for want of time or because of a signal.
    fn look_at_the_clock(&mut self, now: Instant) {
        let count = signal::count();
        if self.ended_by.is_none() {
            let signal = match self.overlooked {
                Some(overlooked) if count <= overlooked => None,
                _ => signal::interrupted(),
            };
            self.ended_by = match (signal, self.deadline) {
                (Some(signal), _) => Some(Reason::Signal(signal)),
                (None, Some((at, after))) if now >= at => Some(Reason::Time(after)),
                _ => return,
            };
            Child::signal(self.child, rustix::process::Signal::TERM);
            self.hard_at = now.checked_add(self.grace);
        }
        let pressed = count > self.overlooked.unwrap_or(0).max(1);
        let out_of_patience = self.hard_at.is_some_and(|at| now >= at);
        if self.killed_at.is_none() && (out_of_patience || pressed) {
            Child::signal(self.child, rustix::process::Signal::USR1);
            self.killed_at = Some(now);
        }
    }

    /// Waits for the next thing to happen and takes it in.
    fn poll(&mut self) {
        let [out, err] = &self.streams;
        let mut fds = Vec::with_capacity(4);
        let mut whose = Vec::with_capacity(4);
        for (number, file) in [(0, &out.pipe), (1, &err.pipe), (2, &self.life)] {
            if let Some(file) = file {
                fds.push(PollFd::new(file, PollFlags::IN));
                whose.push(number);
            }
        }
        // Once a signal came the descriptor stays readable; from then on the clock is looked at often enough.
        let wake = signal::wake_fd().filter(|_| signal::count() == 0);
        if let Some(fd) = &wake {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        let limit = self.patience();
        let time = Timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
        if rustix::event::poll(&mut fds, Some(&time)).is_err() {
            return;
        }
        let ready: Vec<usize> = fds
            .iter()
            .zip(whose)
            .filter(|(fd, _)| !fd.revents().is_empty())
            .map(|(_, number)| number)
            .collect();
        for number in ready {
            match number {
                0 => self.streams[0].take(),
                1 => self.streams[1].take(),
                _ => self.take_report(),
            }
        }
    }

    /// How long nothing needs to be done if nothing happens.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let mut limit = Duration::from_secs(60);
        let deadline = self.deadline.map(|(at, _)| at).filter(|_| self.ended_by.is_none());
        let hard_at = self.hard_at.filter(|_| self.killed_at.is_none());
        for at in [deadline, hard_at, self.gone_at.map(|at| at + DRAIN)] {
            if let Some(left) = at.map(|at| at.saturating_duration_since(now)) {
                limit = limit.min(left.max(Duration::from_millis(1)));
            }
        }
        if self.ended_by.is_some() || signal::count() > 0 || signal::wake_fd().is_none() {
            limit = limit.min(Duration::from_millis(50));
        }
        limit
    }

    fn take_report(&mut self) {
        let Some(life) = &mut self.life else { return };
        let mut bytes = [0u8; REPORT_BYTES];
        if life.read_exact(&mut bytes).is_ok() {
            let [a, b, c, d, e, f, g, h] = bytes;
            let (kind, value) = (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]));
            self.report = Some(if kind == 0 { Status::Exited(value) } else { Status::Signaled(value) });
        }
        self.life = None;
        self.gone_at = Some(Instant::now());
    }
}
