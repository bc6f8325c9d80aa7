//! Errors of adding a module from a directory, a tarball, a Debian package or an rpm package.

use crate::cause::Cause;
use std::path::PathBuf;

/// A module cannot be added from a file or directory.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum OriginError {
    #[error("the source directory {0} does not exist")]
    SourceMissing(PathBuf),
    #[error("{0} contains no dkms.conf")]
    DirectoryWithoutConf(PathBuf),
    #[error("{0} does not exist")]
    ArchiveMissing(PathBuf),
    #[error("{0} contains no dkms.conf")]
    ArchiveWithoutConf(PathBuf),
    #[error("{path} is not a dkms archive: {cause}")]
    BadArchive {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("rpm could not install {path}: {cause}")]
    RpmFailed {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
}

impl OriginError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::SourceMissing(path) => vec![format!(
                "unpack the module's source to {}, or add it from its directory: dkms add DIRECTORY",
                path.display()
            )],
            Self::DirectoryWithoutConf(_)
            | Self::ArchiveMissing(_)
            | Self::ArchiveWithoutConf(_)
            | Self::BadArchive { .. }
            | Self::RpmFailed { .. } => Vec::new(),
        }
    }
}
