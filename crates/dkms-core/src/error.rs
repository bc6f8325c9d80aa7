//! The error of an action. [`Error`] wraps the error enums of the areas, which each area defines itself.
//!
//! `Display` prints the failed action, the path and the cause; [`std::error::Error::source`] returns the
//! cause itself. [`Error::help`] returns hints. The program maps errors to exit codes (`exit.rs`).

use crate::build::error::BuildError;
pub use crate::cause::Cause;
use crate::conf::error::ConfError;
use crate::install::error::InstallError;
use crate::look::LookError;
use crate::origin::error::OriginError;
use crate::pack::error::PackError;
use crate::package::PackageError;
use crate::program::ProgramError;
use crate::registry::error::RegistryError;
use crate::reload::error::ReloadError;
use crate::request::{RequestError, UsageError};
use crate::trust::signing::error::SigningError;
use dkms_sys::IoError;
use dkms_tree::ids::{BadName, Kernel, PackageId};
use std::path::PathBuf;
use std::sync::Arc;

/// The result of a function that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error with which an action can fail.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
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
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Reload(#[from] ReloadError),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("the cache of builds: {0}")]
    Cache(#[from] crate::cache::error::StoreError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
    #[error(
        "there is no os-release in {} or {}, so the distribution's paths are unknown",
        .0.join("etc").display(), .0.join("usr/lib").display()
    )]
    NoOsRelease(PathBuf),
    #[error("the distribution's paths are unknown: {0}")]
    OsReleaseUnusable(#[source] IoError),
    #[error("the dkms tree cannot be changed: {0}")]
    TreeNotWritable(#[source] IoError),
    #[error(transparent)]
    Tree(dkms_tree::Error),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AutoinstallFailed(Vec<FailedKernel>),
    #[error("{failed} of {total} failed")]
    SeveralFailed { first: Arc<Error>, failed: usize, total: usize },
    #[error("{action} for kernel {kernel} failed for {}", .failed.join(", "))]
    KernelHookFailed { action: String, kernel: Kernel, failed: Vec<String> },
}

/// The failures of an autoinstall for a kernel.
#[derive(Clone, Debug)]
pub struct FailedKernel {
    /// The kernel.
    pub kernel: Kernel,
    /// The packages that failed.
    pub failed: Vec<PackageId>,
    /// The number of packages that were to be installed.
    pub total: usize,
    /// Whether all failures were reported before, in the same run of the package manager.
    pub known: bool,
}

impl std::fmt::Display for FailedKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernel, failed, total, .. } = self;
        write!(f, "{} of {total} modules failed for kernel {kernel}", failed.len())
    }
}

impl From<BadName> for Error {
    fn from(name: BadName) -> Self {
        RequestError::BadName(name).into()
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        RequestError::Usage(error).into()
    }
}

impl From<dkms_tree::Error> for Error {
    /// Errors that can occur in all areas have the same variants for all of them.
    fn from(error: dkms_tree::Error) -> Self {
        match error {
            dkms_tree::Error::Io(e) => Self::Io(e),
            dkms_tree::Error::NotWritable(e) => Self::TreeNotWritable(e),
            dkms_tree::Error::Interrupted(signal) => Self::Interrupted(signal),
            other => Self::Tree(other),
        }
    }
}

impl Error {
    /// Unwraps the error, if this is the last reference to it.
    pub(crate) fn unshared(error: Arc<Error>) -> Self {
        Arc::try_unwrap(error).unwrap_or_else(|first| Self::SeveralFailed { first, failed: 1, total: 1 })
    }

    /// Returns whether the rest of the command would fail in the same way.
    #[must_use]
    pub fn ends_the_command(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::TreeNotWritable(_))
    }

    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        let hint = |s: &str| vec![s.to_owned()];
        match self {
            Self::Request(e) => e.help(),
            Self::Package(e) => e.help(),
            Self::Origin(e) => e.help(),
            Self::Build(e) => e.help(),
            Self::Install(e) => e.help(),
            Self::Signing(e) => e.help(),
            Self::Program(e) => e.help(),
            Self::Registry(e) => e.help(),
            Self::Pack(e) => e.help(),
            Self::Reload(e) => e.help(),
            Self::NoOsRelease(_) | Self::OsReleaseUnusable(_) => {
                hint("create a file /etc/os-release there that contains ID=...")
            }
            Self::TreeNotWritable(_) => hint("use another tree with --dkmstree"),
            Self::SeveralFailed { failed, total, .. } if failed == total => hint("the errors are above"),
            Self::SeveralFailed { .. } => hint("the errors are above; the others succeeded"),
            Self::AutoinstallFailed(_) => hint("the errors are above; the other modules are in place"),
            Self::Tree(e) => e.help(),
            Self::Look(e) => e.help(),
            Self::Conf(_)
            | Self::Cache(_)
            | Self::Io(_)
            | Self::Interrupted(_)
            | Self::KernelHookFailed { .. } => Vec::new(),
        }
    }
}
