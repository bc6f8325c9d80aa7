//! Why an archive could not be read or written.

use super::names::Refusal;
use dkms_sys::IoError;
use std::path::PathBuf;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An I/O error on a local file.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The file is not an archive.
    #[error("{} is not a tar archive{}", .path.display(), .looks_like.map(|l| format!(": it looks like {l}")).unwrap_or_default())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// The detected format, if known.
        looks_like: Option<&'static str>,
    },
    /// The archive is truncated or corrupt.
    #[error("{} is damaged: {reason}. Get the archive again and compare its checksum", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive has an entry that must not be unpacked.
    #[error("{} is refused because of its entry {entry:?}: {why}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        entry: String,
        /// What is wrong with it.
        why: Refusal,
    },
    /// The unpacked archive would exceed the limits.
    #[error("{} is refused: it unpacks to more than {limit} {unit}", .path.display())]
    TooBig {
        /// The file.
        path: PathBuf,
        /// The limit it exceeds.
        limit: u64,
        /// What the limit counts.
        unit: &'static str,
    },
    /// The directory to unpack into is not empty.
    #[error("{} is not empty; archives are unpacked into an empty directory only", .0.display())]
    NotEmpty(PathBuf),
    /// A file to be archived is not a file, directory or link, or has an invalid name.
    #[error("{} cannot be put into an archive: {reason}", .path.display())]
    BadMember {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: &'static str,
    },
}
