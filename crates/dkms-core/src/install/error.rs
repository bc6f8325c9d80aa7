//! Errors of installing modules.

use crate::build::error::NotForKernel;
use crate::cause::Cause;
use dkms_sys::IoError;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use kmodule::verdict::Reason;
use std::path::PathBuf;

/// Modules cannot be installed, or depmod failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum InstallError {
    #[error("the kernel directory {0} does not exist")]
    KernelDirMissing(PathBuf),
    #[error("nothing is built of {0}")]
    NothingBuilt(Build),
    #[error("{}", .0.iter().map(Newer::to_string).collect::<Vec<_>>().join("; "))]
    Newer(Vec<Newer>),
    #[error("the built module {name} is missing in {dir}")]
    BuiltModuleMissing { name: String, dir: PathBuf },
    #[error("{path} is not installed: {cause}")]
    Unusable {
        path: PathBuf,
        #[source]
        cause: NotForKernel,
    },
    #[error("{0} is a directory, so the module cannot be installed there")]
    TargetIsDirectory(PathBuf),
    #[error("{build} is not installed: {cause}")]
    Failed {
        build: Build,
        #[source]
        cause: IoError,
    },
    #[error("{} is not installed: kernel {release} would not load it: {}", .path.display(), reasons.first().map_or_else(String::new, ToString::to_string))]
    WouldNotLoad { path: PathBuf, release: Release, reasons: Vec<Reason> },
    #[error("PRE_INSTALL of {package} ({command}) ended with {status}")]
    PreInstallFailed { package: PackageId, command: String, status: String },
    #[error("depmod failed for kernel {kernel}: {cause}")]
    DepmodFailed {
        kernel: Kernel,
        #[source]
        cause: Cause,
    },
}

/// An installed file that is newer than the built file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// The installed file.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    /// The version of the built module.
    pub own: String,
    /// The package that the built module belongs to.
    pub package: PackageId,
}

impl std::fmt::Display for Newer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, version, own, package } = self;
        write!(f, "{} has version {version}, which is newer than {own} of {package}", path.display())
    }
}

impl InstallError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::WouldNotLoad { reasons, .. } => {
                let more = reasons.iter().skip(1).take(4).map(ToString::to_string);
                let help = reasons.first().map(|reason| reason.help().to_owned());
                more.chain(help).chain(["--force overrides this check".to_owned()]).collect()
            }
            Self::PreInstallFailed { .. } => {
                vec!["nothing was installed; --force ignores the failure of PRE_INSTALL".into()]
            }
            Self::DepmodFailed { .. } => {
                vec!["everything that this command installed for that kernel was rolled back".into()]
            }
            Self::Newer(_) => vec!["--force installs it anyway".into()],
            Self::BuiltModuleMissing { .. } => vec!["build it again: dkms build --force".into()],
            Self::KernelDirMissing(_)
            | Self::NothingBuilt(_)
            | Self::Unusable { .. }
            | Self::TargetIsDirectory(_)
            | Self::Failed { .. } => Vec::new(),
        }
    }
}
