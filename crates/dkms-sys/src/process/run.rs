//! Starts a command, reads its output, and ends it in time.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use super::child::Plan;
use super::notes::{Notes, Step};
use super::streams::{Reader, Streams, output, stdin};
use super::supervisor::{REPORT_BYTES, Rows};
use super::{Command, DEFAULT_PATH, Finished, ProcessError, Status, Stdin, Stream, which};
use crate::mount::Bind;
use crate::sandbox::parts::note_lacking;
use crate::sandbox::{Access, Enforced, Limits, Part, Place, Prepared, lacks};
use crate::signal;

/// Time to keep reading pipes after the program ended, if a process that it left behind keeps them open.
const DRAIN: Duration = Duration::from_millis(500);
/// The time after which the supervisor itself is killed; longer than its own time limit.
const SUPERVISOR_LIMIT: Duration = Duration::from_secs(15);

impl Command {
    /// Runs it to completion.
    ///
    /// An exit code other than 0 is not an error here. The calling thread waits; several threads may run
    /// commands at the same time.
    pub fn run(self) -> Result<Finished, ProcessError> {
        run(self)
    }
}

fn run(mut command: Command) -> Result<Finished, ProcessError> {
    let line = command.display();
    if let (Some(signal), false) = (signal::interrupted(), command.ignore_interrupt) {
        return Err(ProcessError::Interrupted { command: line, signal });
    }
    let start = Instant::now();
    let (child, streams, life, enforced) = start_child(&mut command, &line)?;
    let mut child = child;
    let mut watch = Watch::new(&command, &child.0, streams, life, start);
    watch.wait_for_end();
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
        None | Some(Reason::Stopped) => Ok(finished),
        Some(Reason::Time(after)) => {
            Err(ProcessError::TimedOut { command: line, after, output: Box::new(finished) })
        }
        Some(Reason::Signal(signal)) => Err(ProcessError::Interrupted { command: line, signal }),
        Some(Reason::Limit(limit)) => Err(ProcessError::OverLimit { command: line, limit }),
    }
}

/// The supervisor, which is killed and reaped in any case.
struct Child(std::process::Child);

impl Child {
    fn signal(child: &std::process::Child, number: rustix::process::Signal) {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It has not been reaped yet, so the number is still its own.
            let _ = rustix::process::kill_process(pid, number);
        }
    }

    /// Waits. The status is used only if the supervisor could not report.
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

type Started = (Child, [Reader; 2], OwnedFd, Enforced);

/// Starts it. If this machine turns out to lack a part of the sandbox, retries without that part.
fn start_child(command: &mut Command, line: &str) -> Result<Started, ProcessError> {
    let plain = |source| start_error(line, Step::Start, source);
    let path = command.env_value("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    let Some(program) = which(&command.program, path) else { return Err(missing(command, line)) };
    let own_group =
        command.profile.is_some() || !matches!(command.stdin, Stdin::Inherit) || !crate::sys::is_terminal(0);
    let input = stdin(std::mem::take(&mut command.stdin)).map_err(plain)?;
    let confined = command.profile.is_some();
    let (out, out_reader) = output(std::mem::take(&mut command.stdout), 1, confined).map_err(plain)?;
    let (err, err_reader) = match std::mem::take(&mut command.stderr) {
        Stream::ToStdout => (out.try_clone().map_err(plain)?, Reader::closed()),
        stream => output(stream, 2, confined).map_err(plain)?,
    };
    if let Some((uid, gid)) = command.profile.as_ref().and_then(|p| p.user) {
        // So that it can open /dev/stdout and /dev/stderr. If this is not permitted, it has our user anyway.
        for pipe in [(&out, &out_reader), (&err, &err_reader)].into_iter().filter(|(_, r)| r.pipe.is_some()) {
            let _ = std::os::unix::fs::fchown(pipe.0, Some(uid), Some(gid));
        }
    }
    let streams = Streams { input, out, err };
    loop {
        match try_to_start(command, line, &program, own_group, &streams)? {
            Some((child, life, enforced)) => {
                // Closes our copies of the child's descriptors.
                drop(streams);
                return Ok((child, [out_reader, err_reader], life, enforced));
            }
            // The machine lacks a part that was not known to be missing: retry without it.
            None => continue,
        }
    }
}

fn start_error(line: &str, step: Step, source: std::io::Error) -> ProcessError {
    ProcessError::Start { command: line.to_owned(), step: step.words(), source }
}

/// Returns `None` if this machine lacks a part of the sandbox, which is now recorded as missing.
fn try_to_start(
    command: &Command,
    line: &str,
    program: &Path,
    own_group: bool,
    streams: &Streams,
) -> Result<Option<(Child, OwnedFd, Enforced)>, ProcessError> {
    let plain = |source| start_error(line, Step::Start, source);
    let prepared = command.profile.as_ref().map(|profile| profile.prepare(&command.binds)).transpose();
    let sandbox = prepared.map_err(|e| start_error(line, Step::Confine, e))?.map(Arc::new);
    let mut std_command = std_command(command, program, sandbox.as_deref());
    streams.give_to(&mut std_command).map_err(plain)?;
    let (life, life_child) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| plain(e.into()))?;
    let notes = Notes::new().map_err(plain)?;
    let mut plan = Plan {
        parent: i32::try_from(std::process::id()).unwrap_or(0),
        life: life_child,
        rows: Rows::new(),
        own_group,
        end_leftovers: command.end_leftovers,
        pass: command.pass.clone(),
        binds: command.binds.iter().map(|(s, t)| Bind::new(s, t)).collect::<Result<_, _>>().map_err(plain)?,
        cwd: directory(command, sandbox.as_deref())
            .map(|dir| CString::new(dir.into_os_string().into_encoded_bytes()))
            .transpose()
            .map_err(|e| start_error(line, Step::Directory, e.into()))?,
        sandbox_binds: sandbox.as_ref().is_some_and(|s| s.has_view()),
        sandbox: sandbox.clone(),
        notes: notes.clone(),
    };
    // SAFETY: `run_in_child` neither allocates nor locks; everything that it needs was created above.
    unsafe { std_command.pre_exec(move || plan.run_in_child()) };
    let spawned = super::busy::spawn(&mut std_command, &life);
    drop(std_command);
    match (spawned, notes.refused()) {
        (Ok(child), _) => {
            let enforced = sandbox.map(|s| s.enforced(notes.missing())).unwrap_or_default();
            Ok(Some((Child(child), life, enforced)))
        }
        (Err(_), Some(part)) => {
            note_lacking(part);
            if command.profile.as_ref().is_some_and(|profile| !profile.places.iter().all(can_be_shown)) {
                return Err(ProcessError::NoView { command: line.to_owned() });
            }
            Ok(None)
        }
        (Err(source), None) => Err(match notes.step() {
            Step::Mount if is_refusal(&source) => {
                ProcessError::MountNotPermitted { command: line.to_owned(), source }
            }
            step => start_error(line, step, source),
        }),
    }
}

/// The program with its arguments and environment.
fn std_command(command: &Command, program: &Path, sandbox: Option<&Prepared>) -> std::process::Command {
    let mut std_command = std::process::Command::new(program);
    std_command.arg0(&command.program).args(&command.args).env_clear().envs(command.env.iter().cloned());
    if let (Some(sandbox), Some(profile)) = (sandbox, &command.profile) {
        // An inherited value names a directory that it cannot write to.
        let set = command.env_value("TMPDIR").is_some();
        sandbox.temporary_directory(profile, set).map(|dir| std_command.env("TMPDIR", dir));
    }
    if let Some(home) = private_home(command, sandbox) {
        std_command.env("HOME", home).env("TMPDIR", home);
    }
    std_command
}

/// The directory in which it starts.
fn directory(command: &Command, sandbox: Option<&Prepared>) -> Option<PathBuf> {
    let at_home = command.cwd.as_ref().map(|dir| dir.as_os_str()) == command.env_value("HOME");
    let home = private_home(command, sandbox).filter(|_| at_home).cloned();
    // It must not see the directory in which its mounts are prepared.
    home.or_else(|| command.cwd.clone()).or_else(|| sandbox.map(|_| "/".into()))
}

fn private_home<'a>(command: &Command, sandbox: Option<&'a Prepared>) -> Option<&'a PathBuf> {
    sandbox.and_then(|sandbox| sandbox.home.as_ref()).filter(|_| command.private_home)
}

/// Whether this machine can show a place. If not, the caller has an alternative.
fn can_be_shown(place: &Place) -> bool {
    match place.access {
        Access::Layer => !lacks(Part::Layer) && !lacks(Part::Mounts),
        Access::Copy => !lacks(Part::Mounts),
        Access::Read | Access::Write => place.source == place.target || !lacks(Part::Mounts),
    }
}

fn is_refusal(e: &std::io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EINVAL | libc::ENOSPC | libc::EUSERS)
    )
}

/// A file that exists but cannot be executed is a different error from a missing one.
fn missing(command: &Command, line: &str) -> ProcessError {
    let path = Path::new(&command.program);
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

enum Reason {
    Time(Duration),
    Signal(i32),
    Limit(String),
    Stopped,
}

/// Reads and watches until the supervisor has ended and the pipes are empty.
struct Watch<'a> {
    child: &'a std::process::Child,
    streams: [Reader; 2],
    life: Option<File>,
    report: Option<Status>,
    ended_by: Option<Reason>,
    /// The time at which everything is killed if it has not ended after SIGTERM.
    kill_at: Option<Instant>,
    killed_at: Option<Instant>,
    deadline: Option<(Instant, Duration)>,
    grace: Duration,
    /// The number of signals that do not end it.
    ignored_signals: Option<u32>,
    ended_at: Option<Instant>,
    limits: Limits,
    stop: Option<Arc<AtomicBool>>,
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
            kill_at: None,
            killed_at: None,
            deadline: command.timeout.and_then(|t| Some((start.checked_add(t)?, t))),
            grace: command.grace,
            ignored_signals: command.ignore_interrupt.then(|| signal::count().max(1)),
            ended_at: None,
            limits: command.profile.as_ref().map(|p| p.limits.clone()).unwrap_or_default(),
            stop: command.stop.clone(),
        }
    }

    fn has_limits(&self) -> bool {
        self.limits.memory.is_some() || self.limits.processes.is_some()
    }

    /// The limit that the program and its descendants exceed, if any, in words.
    fn over_limit(&self) -> Option<String> {
        if !self.has_limits() {
            return None;
        }
        let used = crate::sys::usage_below(self.child.id());
        match (self.limits.memory, self.limits.processes) {
            (Some(most), _) if used.memory > most => Some(format!("{} MiB of memory", most >> 20)),
            (_, Some(most)) if used.processes > most => Some(format!("{most} processes")),
            _ => None,
        }
    }

    fn wait_for_end(&mut self) {
        loop {
            self.poll();
            let now = Instant::now();
            if let Some(ended_at) = self.ended_at {
                let all_closed = self.streams.iter().all(|stream| stream.pipe.is_none());
                if all_closed || now.duration_since(ended_at) >= DRAIN {
                    return;
                }
            } else {
                self.end_if_necessary(now);
                if self.killed_at.is_some_and(|at| now.duration_since(at) >= SUPERVISOR_LIMIT) {
                    Child::signal(self.child, rustix::process::Signal::KILL);
                    return;
                }
            }
        }
    }

    /// Sends SIGTERM because of a limit or a signal, and SIGKILL if the program has not ended after that.
    fn end_if_necessary(&mut self, now: Instant) {
        let count = signal::count();
        if self.ended_by.is_none() {
            let signal = match self.ignored_signals {
                Some(ignored) if count <= ignored => None,
                _ => signal::interrupted(),
            };
            self.ended_by = match (signal, self.deadline) {
                (Some(signal), _) => Some(Reason::Signal(signal)),
                (None, Some((at, after))) if now >= at => Some(Reason::Time(after)),
                _ if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) => {
                    Some(Reason::Stopped)
                }
                _ => self.over_limit().map(Reason::Limit),
            };
            if self.ended_by.is_none() {
                return;
            }
            Child::signal(self.child, rustix::process::Signal::TERM);
            self.kill_at = now.checked_add(self.grace);
        }
        let is_interrupted_again = count > self.ignored_signals.unwrap_or(0).max(1);
        let grace_is_over = self.kill_at.is_some_and(|at| now >= at);
        if self.killed_at.is_none() && (grace_is_over || is_interrupted_again) {
            Child::signal(self.child, rustix::process::Signal::USR1);
            self.killed_at = Some(now);
        }
    }

    /// Waits for the next event and handles it.
    fn poll(&mut self) {
        let [out, err] = &self.streams;
        let mut fds = Vec::with_capacity(4);
        let mut sources = Vec::with_capacity(4);
        for (number, file) in [(0, &out.pipe), (1, &err.pipe), (2, &self.life)] {
            if let Some(file) = file {
                fds.push(PollFd::new(file, PollFlags::IN));
                sources.push(number);
            }
        }
        // After a signal the descriptor stays readable, so from then on the time is checked often instead.
        let wake = signal::wake_fd().filter(|_| signal::count() == 0);
        if let Some(fd) = &wake {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        let limit = self.time_to_next_action();
        let time = Timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
        if rustix::event::poll(&mut fds, Some(&time)).is_err() {
            return;
        }
        let ready: Vec<usize> = fds
            .iter()
            .zip(sources)
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

    /// The time until the next action, if no event arrives.
    fn time_to_next_action(&self) -> Duration {
        let now = Instant::now();
        let mut limit = Duration::from_secs(60);
        let deadline = self.deadline.map(|(at, _)| at).filter(|_| self.ended_by.is_none());
        let kill_at = self.kill_at.filter(|_| self.killed_at.is_none());
        for at in [deadline, kill_at, self.ended_at.map(|at| at + DRAIN)] {
            if let Some(left) = at.map(|at| at.saturating_duration_since(now)) {
                limit = limit.min(left.max(Duration::from_millis(1)));
            }
        }
        let is_checked_often = self.has_limits() || self.stop.is_some();
        if self.ended_by.is_some() || is_checked_often || signal::count() > 0 || signal::wake_fd().is_none() {
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
        self.ended_at = Some(Instant::now());
    }
}
