//! Everything that can go wrong: [`Error`] wraps the error enums of the areas, each of which stands in its area's module.
//!
//! `Display` says what failed, where and why, including the cause; [`std::error::Error::source`] gives the cause itself.
//! [`Error::help`] says what to do. The program maps errors to exit codes (`exit.rs`).

use crate::build::BuildError;
use crate::conf::ConfError;
use crate::ids::{BadName, Kernel, PackageId};
use crate::install::InstallError;
use crate::look::LookError;
use crate::origin::OriginError;
use crate::package::PackageError;
use crate::packaging::PackError;
use crate::program::ProgramError;
use crate::request::RequestError;
use crate::signing::SigningError;
use dkms_sys::IoError;
use std::path::PathBuf;

/// Result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error is caused by: another error, or a sentence.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything an action can fail with.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum Error {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
    #[error("there is no os-release in /etc or /usr/lib, so the distribution's places are unknown")]
    NoOsRelease,
    #[error("the dkms tree cannot be changed: {0}")]
    TreeNotWritable(#[source] IoError),
    #[error("{0} is a journal that this dkms does not understand")]
    JournalUnknown(PathBuf),
    #[error("{path}:{line}: this line of a journal cannot be read: {reason}")]
    JournalDamaged { path: PathBuf, line: usize, reason: String },
    #[error("the journal {path} is not trusted: {}{why}", if .what == .path { String::new() } else { format!("{}: ", .what.display()) })]
    JournalRefused { path: PathBuf, what: PathBuf, why: String },
    #[error("{path}:{line}: this journal wants to change {wanted}: {reason}")]
    JournalLeaves { path: PathBuf, line: usize, wanted: PathBuf, reason: String },
    #[error("{path} is not used: {reason}")]
    LeavesTree { path: PathBuf, reason: String },
    #[error("{path} cannot be used: {reason}")]
    RecordDamaged { path: PathBuf, reason: String },
    #[error("gave up waiting for {holder}, before {what}")]
    Busy { what: String, holder: String },
    #[error("{} of {of} modules failed for kernel {kernel}", .failed.len())]
    AutoinstallFailed { kernel: Kernel, failed: Vec<PackageId>, of: usize },
    #[error("{failed} of {of} failed")]
    SeveralFailed { first: Box<Error>, failed: usize, of: usize },
    #[error("{action} for kernel {kernel} failed for {}", .failed.join(", "))]
    KernelHookFailed { action: String, kernel: Kernel, failed: Vec<String> },
}

impl From<BadName> for Error {
    fn from(name: BadName) -> Self {
        RequestError::BadName(name).into()
    }
}

impl Error {
    /// It would be the same for everything else that the command has to do.
    #[must_use]
    pub fn ends_the_command(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::TreeNotWritable(_))
    }

    /// What to do about it; empty when the message says it.
    pub fn help(&self) -> Vec<String> {
        let one = |s: &str| vec![s.to_owned()];
        match self {
            Self::Request(e) => e.help(),
            Self::Package(e) => e.help(),
            Self::Origin(e) => e.help(),
            Self::Build(e) => e.help(),
            Self::Install(e) => e.help(),
            Self::Signing(e) => e.help(),
            Self::Program(e) => e.help(),
            Self::NoOsRelease => one("put a file /etc/os-release there that says ID=..."),
            Self::TreeNotWritable(_) => one("--dkmstree names another tree"),
            Self::SeveralFailed { failed, of, .. } if failed == of => one("the errors are above"),
            Self::SeveralFailed { .. } => one("the errors are above; the others are done"),
            Self::AutoinstallFailed { .. } => one("the errors are above; the other modules are in place"),
            Self::Busy { .. } => {
                one("try again later, or wait longer: --lock-timeout, lock_timeout in framework.conf")
            }
            Self::JournalUnknown(_) => one(
                "another version of dkms was interrupted: let that one finish it (any command that changes something), or look at what it says and delete it",
            ),
            Self::JournalDamaged { .. } => one(
                "nothing was changed, and the journal is kept: undo by hand what its lines say was begun, delete it, then run 'dkms fsck'",
            ),
            Self::JournalRefused { path, .. } => vec![format!(
                "nothing was changed: if you trust {} and who could write it, give it to root (chown, chmod go-w); else delete it",
                path.display()
            )],
            Self::JournalLeaves { path, .. } => vec![format!(
                "nothing was changed: dkms changes only its tree and the modules of the kernel; if {} does not come from dkms on this system, delete it",
                path.display()
            )],
            Self::LeavesTree { .. } => {
                one("nothing was changed: remove or correct that link or path, then try again")
            }
            Self::RecordDamaged { path, .. } => vec![format!(
                "build it again (dkms build --force), or delete {}: dkms then looks at the files instead, as for builds of dkms 3.x",
                path.display()
            )],
            Self::Conf(_)
            | Self::Pack(_)
            | Self::Look(_)
            | Self::Io(_)
            | Self::Interrupted(_)
            | Self::KernelHookFailed { .. } => Vec::new(),
        }
    }
}
