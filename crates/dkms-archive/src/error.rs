//! Why an archive could not be read or written.

use super::names::Refusal;
use dkms_sys::IoError;
use std::path::PathBuf;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file on our side failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The file is something else.
    #[error("{} is not a tar archive{}", .path.display(), .looks_like.map(|l| format!(": it looks like {l}")).unwrap_or_default())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What it is, if that can be told.
        looks_like: Option<&'static str>,
    },
    /// It is cut off or corrupt.
    #[error("{} is damaged: {reason}. Get the archive again and compare its checksum", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds something that must not be unpacked.
    #[error("{} is refused because of its entry {entry:?}: {why}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        entry: String,
        /// What is wrong with that.
        why: Refusal,
    },
    /// It would unpack to more than the limits allow.
    #[error("{} is refused: it unpacks to more than {limit} {unit}", .path.display())]
    TooBig {
        /// The file.
        path: PathBuf,
        /// The limit it exceeds.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The place to unpack to is not empty.
    #[error("{} is not empty; archives are unpacked into an empty directory only", .0.display())]
    NotEmpty(PathBuf),
    /// A file to be archived is neither file, directory nor link, or has an impossible name.
    #[error("{} cannot be put into an archive: {reason}", .path.display())]
    BadMember {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}
