//! The one way to run a program: argv, not shell strings; a clean environment; every stream accounted for; and nothing
//! left running behind a timeout, an interrupt or the death of dkms.
//!
//! Between dkms and the program stands a small *supervisor*, a fork of dkms that never executes anything:
//!
//! ```text
//! dkms ── supervisor ── the program (its own process group) ── whatever it starts
//! ```
//!
//! It is the subreaper of all that runs below it, so even a grandchild that called `setsid` and lost its parent comes
//! back to it and can be found. SIGTERM tells it to end everything gently, SIGUSR1 to kill everything; the kernel
//! sends it SIGUSR1 when dkms dies (`PR_SET_PDEATHSIG`), also by SIGKILL. It holds no descriptor but a pipe on which it
//! reports how the program ended, so it keeps no lock and no pipe open.
//!
//! What the program leaves running when it ends by itself (a daemon started by a script) lives on, unless
//! [`Command::end_leftovers`] or a sandbox says otherwise.

mod busy;
mod child;
mod notes;
mod quote;
mod run;
mod supervisor;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::IoError;
use crate::sandbox::{Enforced, Profile};
use crate::signal;

pub use quote::quote;

/// Where programs are looked for when the command's environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is kept of a captured stream; the rest is read and dropped ([`Finished::cut`]).
pub const CAPTURE_LIMIT: usize = 16 * 1024 * 1024;

/// What the program reads.
#[derive(Debug, Default)]
pub enum Stdin {
    /// Nothing (`/dev/null`).
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What dkms reads. On a terminal the program then stays in dkms's process group, or it could not read.
    Inherit,
}

/// Gets the output of a program while it comes, in pieces of any size.
pub type Listener = Box<dyn FnMut(&[u8]) + Send>;

/// Where a stream of the program goes.
#[derive(Default)]
pub enum Stream {
    /// Nowhere.
    Null,
    /// Into [`Finished`], up to [`CAPTURE_LIMIT`].
    #[default]
    Capture,
    /// Where dkms's own goes.
    Inherit,
    /// Into this open file, at its position.
    File(File),
    /// For stderr: where stdout goes, in order (`2>&1`). For stdout: as `Capture`.
    ToStdout,
    /// To this function, piece by piece as it comes (pieces need not be whole lines).
    Each(Listener),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stream::Null => "Null",
            Stream::Capture => "Capture",
            Stream::Inherit => "Inherit",
            Stream::File(_) => "File",
            Stream::ToStdout => "ToStdout",
            Stream::Each(_) => "Each",
        })
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Status {
    /// Exit code 0.
    pub fn success(self) -> bool {
        self == Status::Exited(0)
    }

    /// The number a shell would have in `$?`: the code, or 128 and the signal.
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

/// What a program did.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended. Ending badly is no [`ProcessError`]: the caller knows what a code means.
    pub status: Status,
    /// Its captured output; empty when it went elsewhere.
    pub stdout: Vec<u8>,
    /// Its captured error output; empty when it went elsewhere.
    pub stderr: Vec<u8>,
    /// More than [`CAPTURE_LIMIT`] came on a stream, and the rest of it was dropped.
    pub cut: bool,
    /// From start to end.
    pub elapsed: Duration,
    /// What of [`Command::confine`] holds.
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

/// Why a program did not run to its own end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program on the path, or no such file.
    #[error("the program {} was not found; install the package that provides it", .program.display())]
    NotFound {
        /// As it was asked for.
        program: PathBuf,
    },
    /// This machine or user may not make private mounts; [`Command::bind`] needs them.
    #[error("a private mount for {command} is not permitted here: {source}")]
    MountNotPermitted {
        /// The command line.
        command: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It could not be started.
    #[error("cannot start {command}: {step}: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Which preparation failed, in words.
        step: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ran too long and was ended with everything it had started.
    #[error("{command} did not end within {} s and was stopped", .after.as_secs_f64())]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it was given.
        after: Duration,
        /// What it had said until then.
        output: Box<Finished>,
    },
    /// It and what it started needed more than it was allowed ([`crate::sandbox::Limits`]), and all of it was ended.
    #[error("{command} needed more than {limit} and was stopped")]
    OverLimit {
        /// The command line.
        command: String,
        /// The limit, in words: `1024 MiB of memory`.
        limit: String,
    },
    /// A place was to be seen elsewhere than it is, or with a throw-away copy or layer
    /// ([`crate::sandbox::Place`]), and this machine turned out to have no private mounts for it
    /// ([`crate::sandbox::lacks`]).
    #[error("private mounts for {command} cannot be had here")]
    NoView {
        /// The command line.
        command: String,
    },
    /// dkms was told to stop, so it was ended (or not begun).
    #[error("{command} was stopped because dkms got {}", signal::name(*.signal))]
    Interrupted {
        /// The command line.
        command: String,
        /// The signal that dkms got.
        signal: i32,
    },
    /// A file or pipe around it failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A program to run. The environment starts empty.
#[derive(Debug)]
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
    umask: u32,
    nice: i32,
    profile: Option<Profile>,
    binds: Vec<(PathBuf, PathBuf)>,
    pass: Vec<Arc<OwnedFd>>,
    end_leftovers: bool,
    ignore_interrupt: bool,
    private_home: bool,
}

impl Command {
    /// `program`: a path, or a name that is looked for in the `PATH` given by [`Command::env`], else [`DEFAULT_PATH`].
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
            umask: 0o022,
            nice: 0,
            profile: None,
            binds: Vec::new(),
            pass: Vec::new(),
            end_leftovers: false,
            ignore_interrupt: false,
            private_home: false,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
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

    /// The directory it runs in; entered after the bind mounts, so it may lie in one.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// What it reads; [`Stdin::Null`] unless set.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where its output goes; [`Stream::Capture`] unless set.
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.stdout = stream;
        self
    }

    /// Where its error output goes; [`Stream::Capture`] unless set.
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.stderr = stream;
        self
    }

    /// After this time it is ended with everything it started.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long it has between SIGTERM and SIGKILL; 5 s unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Its file creation mask; 022 unless set.
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = mask & 0o777;
        self
    }

    /// Adds to its niceness (-20 to 19). Failing to lower it is not an error.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = nice.clamp(-20, 19);
        self
    }

    /// Confines it; implies [`Command::end_leftovers`]. It has no terminal, and nothing of it outlives it: an interrupt
    /// ends it at once.
    pub fn confine(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self.end_leftovers = true;
        self.grace = Duration::ZERO;
        self
    }

    /// Where it is confined with private temporary directories, an empty one of these is its working directory, `HOME`
    /// and `TMPDIR`, whatever was set before.
    pub fn private_home(mut self) -> Self {
        self.private_home = true;
        self
    }

    /// Lets it see `source` at the existing directory `target`, and nobody else
    /// ([`ProcessError::MountNotPermitted`] where that cannot be). See [`crate::mount::is_available`].
    pub fn bind(mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.binds.push((source.into(), target.into()));
        self
    }

    /// Keeps it from reading the existing file `path`: it finds an empty one there. Needs what [`Command::bind`] needs. It
    /// keeps out who reads what lies around; a program with all rights can take the mount away.
    pub fn hide(self, path: impl Into<PathBuf>) -> Self {
        self.bind("/dev/null", path)
    }

    /// Lets it inherit this descriptor under the same number (a jobserver's pipe). All others are closed.
    pub fn pass_fd(mut self, fd: Arc<OwnedFd>) -> Self {
        self.pass.push(fd);
        self
    }

    /// When it ends by itself, ends what it left running.
    pub fn end_leftovers(mut self) -> Self {
        self.end_leftovers = true;
        self
    }

    /// For cleaning up: starts although a signal told dkms to stop, and only a further one ends it.
    pub fn ignore_interrupt(mut self) -> Self {
        self.ignore_interrupt = true;
        self
    }

    /// The command line, quoted as a shell would read it. The environment is not in it.
    pub fn display(&self) -> String {
        let mut line = quote(&self.program);
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quote(arg));
        }
        line
    }

    /// The value a variable of its environment will have.
    pub fn env_value(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str())
    }
}

/// Looks for an executable file.
///
/// A name with a slash is taken as it is; else the directories of `path_var` (`a:b:c`; empty entries are skipped, the
/// current directory is never meant) are searched in order.
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
