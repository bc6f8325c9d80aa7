//! Runs programs: with an argument list instead of a shell string, a clean environment, a destination for
//! every stream, and without leaving processes behind after a timeout, an interrupt or the death of dkms.
//!
//! Between dkms and the program there is a small *supervisor*, a fork of dkms that never calls exec:
//!
//! ```text
//! dkms ── supervisor ── the program (its own process group) ── whatever it starts
//! ```
//!
//! The supervisor is the subreaper of all its descendants: a grandchild that called `setsid` and lost its
//! parent becomes its child and can be found. After SIGTERM, it ends all of them with SIGTERM, after SIGUSR1
//! with SIGKILL. The kernel sends it SIGUSR1 when dkms dies, even by SIGKILL (`PR_SET_PDEATHSIG`). Its only
//! descriptors are those of locks and a pipe, on which it reports how the program ended.
//!
//! Processes that the program leaves running when it exits (a daemon started by a script) survive, unless
//! [`Command::end_leftovers`] or a sandbox is used.

mod busy;
mod child;
mod notes;
mod quote;
mod run;
mod streams;
mod supervisor;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::sandbox::{Enforced, Profile};
use crate::{IoError, signal};

pub use quote::quote;

/// The default `PATH`, if the command's environment has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The maximum size of a captured stream; the rest is read and discarded ([`Finished::cut`]).
pub const CAPTURE_LIMIT: usize = 16 * 1024 * 1024;

/// The standard input of a program.
#[derive(Debug, Default)]
pub enum Stdin {
    /// Nothing (`/dev/null`).
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The reading end of a pipe or one end of a pair of sockets: the caller talks to the program while it
    /// runs.
    Stream(OwnedFd),
    /// The standard input of dkms. If it is a terminal, the program stays in dkms's process group, otherwise
    /// it could not read.
    Inherit,
}

/// Receives the output of a program as it arrives, in pieces of any size.
pub type Listener = Box<dyn FnMut(&[u8]) + Send>;

/// The destination of an output stream.
#[derive(Default)]
pub enum Stream {
    /// Discarded.
    Null,
    /// Stored in [`Finished`], up to [`CAPTURE_LIMIT`].
    #[default]
    Capture,
    /// The same as dkms's own stream.
    Inherit,
    /// This open file, at its current position.
    File(File),
    /// For stderr: the destination of stdout, in order (`2>&1`). For stdout: like `Capture`.
    ToStdout,
    /// This function, piece by piece (pieces need not be whole lines).
    Each(Listener),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by this signal.
    Signaled(i32),
}

impl Status {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Status::Exited(0)
    }

    /// The value that a shell has in `$?`: the code, or 128 plus the signal.
    pub fn code_for_shell(self) -> i32 {
        match self {
            Status::Exited(code) => code,
            Status::Signaled(signal) => 128i32.saturating_add(signal),
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exit code {code}"),
            Status::Signaled(signal) => write!(f, "killed by {}", signal::name(*signal)),
        }
    }
}

/// The result of a program.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended. A failure is not a [`ProcessError`], because only the caller knows the meaning of a
    /// code.
    pub status: Status,
    /// Its captured output; empty if it was not captured.
    pub stdout: Vec<u8>,
    /// Its captured error output; empty if it was not captured.
    pub stderr: Vec<u8>,
    /// Whether a stream exceeded [`CAPTURE_LIMIT`] and was truncated.
    pub cut: bool,
    /// The time from start to end.
    pub elapsed: Duration,
    /// The enforced parts of [`Command::confine`].
    pub enforced: Enforced,
}

impl Finished {
    /// The captured output as text; bytes that are not UTF-8 are replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The captured error output as text; bytes that are not UTF-8 are replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Why a program was not started or did not run to completion.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not in `PATH`, or the file does not exist.
    #[error("the program {} was not found; install the package that provides it", .program.display())]
    NotFound {
        /// The requested name.
        program: PathBuf,
    },
    /// This machine or user may not create private mounts, which [`Command::bind`] needs.
    #[error("a private mount for {command} is not permitted on this system: {source}")]
    MountNotPermitted {
        /// The command line.
        command: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// It could not be started.
    #[error("cannot start {command}: {step}: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The step that failed, in words.
        step: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// It exceeded its time limit and was killed with everything it had started.
    #[error("{command} did not end within {} s and was stopped", .after.as_secs_f64())]
    TimedOut {
        /// The command line.
        command: String,
        /// The time limit.
        after: Duration,
        /// Its output until then.
        output: Box<Finished>,
    },
    /// It and its descendants exceeded a limit ([`crate::sandbox::Limits`]) and were killed.
    #[error("{command} needed more than {limit} and was stopped")]
    OverLimit {
        /// The command line.
        command: String,
        /// The limit, in words: `1024 MiB of memory`.
        limit: String,
    },
    /// A place needs a private mount, a temporary copy or a layer ([`crate::sandbox::Place`]), which this
    /// machine turned out not to support ([`crate::sandbox::lacks`]).
    #[error("private mounts for {command} are unavailable")]
    NoView {
        /// The command line.
        command: String,
    },
    /// A signal asked dkms to stop, so the program was killed or not started.
    #[error("{command} was stopped because dkms got {}", signal::name(*.signal))]
    Interrupted {
        /// The command line.
        command: String,
        /// The signal.
        signal: i32,
    },
    /// A file or pipe of the program failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A program to run. Its environment is empty at first.
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Stdin,
    stdout: Stream,
    stderr: Stream,
    timeout: Option<Duration>,
    grace: Duration,
    profile: Option<Profile>,
    binds: Vec<(PathBuf, PathBuf)>,
    pass: Vec<Arc<OwnedFd>>,
    end_leftovers: bool,
    ignore_interrupt: bool,
    private_home: bool,
    stop: Option<Arc<AtomicBool>>,
}

impl Command {
    /// `program` is a path, or a name that is looked up in the `PATH` set by [`Command::env`], otherwise in
    /// [`DEFAULT_PATH`].
    pub fn new(program: impl Into<OsString>) -> Self {
        Command {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Stdin::Null,
            stdout: Stream::Capture,
            stderr: Stream::Capture,
            timeout: None,
            grace: Duration::from_secs(5),
            profile: None,
            binds: Vec::new(),
            pass: Vec::new(),
            end_leftovers: false,
            ignore_interrupt: false,
            private_home: false,
            stop: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the environment; a later value replaces an earlier one.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets several variables.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.env.extend(vars.into_iter().map(|(n, v)| (n.into(), v.into())));
        self
    }

    /// Sets the working directory. It is entered after the bind mounts, so it may be in one.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets its standard input; [`Stdin::Null`] by default.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets the destination of its output; [`Stream::Capture`] by default.
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.stdout = stream;
        self
    }

    /// Sets the destination of its error output; [`Stream::Capture`] by default.
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.stderr = stream;
        self
    }

    /// Sets a time limit, after which it is killed with everything it started.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time between SIGTERM and SIGKILL; 5 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs it in a sandbox; implies [`Command::end_leftovers`]. It has no terminal, none of its processes
    /// survives, and an interrupt kills it immediately.
    pub fn confine(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self.end_leftovers = true;
        self.grace = Duration::ZERO;
        self
    }

    /// If the sandbox has private temporary directories, an empty one of these is its `HOME` and `TMPDIR`,
    /// overriding other settings, and also its working directory if that was to be `HOME`.
    pub fn private_home(mut self) -> Self {
        self.private_home = true;
        self
    }

    /// When the flag becomes true, the program is ended with everything it started, as after a timeout, but
    /// this is not an error.
    pub fn stop_on(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Shows `source` at the existing directory `target`, only to this program
    /// ([`ProcessError::MountNotPermitted`] if that is impossible). See [`crate::mount::is_available`].
    pub fn bind(mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.binds.push((source.into(), target.into()));
        self
    }

    /// Hides the existing file `path`: the program sees an empty one. Needs the same as [`Command::bind`].
    /// This prevents accidental access; a program with all privileges can unmount it.
    pub fn hide(self, path: impl Into<PathBuf>) -> Self {
        self.bind("/dev/null", path)
    }

    /// Lets it inherit this descriptor under the same number (a jobserver's pipe). All others are closed.
    pub fn pass_fd(mut self, fd: Arc<OwnedFd>) -> Self {
        self.pass.push(fd);
        self
    }

    /// When it exits, kills the processes that it left running.
    pub fn end_leftovers(mut self) -> Self {
        self.end_leftovers = true;
        self
    }

    /// For cleanup: it starts even after a signal asked dkms to stop. Only another signal ends it.
    pub fn ignore_interrupt(mut self) -> Self {
        self.ignore_interrupt = true;
        self
    }

    /// The command line, quoted for a shell, without the environment.
    pub fn display(&self) -> String {
        let mut line = quote(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quote(arg));
        }
        line
    }

    /// The value of a variable in its environment.
    pub fn env_value(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str())
    }
}

/// Finds an executable file.
///
/// A name with a slash is used as it is. Otherwise the directories of `path_var` (`a:b:c`; empty entries are
/// skipped and do not mean the current directory) are searched in order.
pub fn which(program: impl AsRef<OsStr>, path_var: impl AsRef<OsStr>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let program = program.as_ref();
    if program.is_empty() {
        return None;
    }
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return can_execute(path).then(|| path.to_owned());
    }
    std::env::split_paths(path_var.as_ref())
        .filter(|dir| !dir.as_os_str().is_empty())
        .map(|dir| dir.join(program))
        .find(|path| can_execute(path))
}

fn can_execute(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
