//! The errors of reading and writing archives.

use super::names::Refusal;
use dkms_sys::IoError;
use std::path::PathBuf;

/// The reason why an archive could not be read or written.
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
    #[error("{} is damaged: {damage}. Get the archive again and compare its checksum", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        #[source]
        damage: Damage,
    },
    /// The archive has an entry that must not be unpacked.
    #[error("{} is refused because of its entry {entry:?}: {why}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        entry: String,
        /// The reason.
        why: Refusal,
    },
    /// The unpacked archive would exceed the limits.
    #[error("{} is refused: it unpacks to more than {limit} {unit}", .path.display())]
    TooBig {
        /// The file.
        path: PathBuf,
        /// The limit it exceeds.
        limit: u64,
        /// The unit of the limit.
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

/// The damage of an archive.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It cannot be decompressed, or a header of it is not valid.
    #[error("{}", .0.to_string().trim_end_matches('.'))]
    Read(#[from] std::io::Error),
    /// A member or entry is longer than the rest of the file.
    #[error("it is cut off")]
    CutOff,
    /// The tar archive has no end mark.
    #[error("it ends before its end mark")]
    NoEndMark,
    /// The last entry is a long name.
    #[error("a long name belongs to no entry")]
    StrayName,
    /// Two entries with a long name for the same entry.
    #[error("an entry has two long names")]
    TwoNames,
    /// Readers that disagree about a size see different archives.
    #[error("an entry has two sizes")]
    TwoSizes,
    /// An extended header does not consist of records.
    #[error("an extended header cannot be parsed")]
    ExtendedHeader,
    /// A global header must not name files.
    #[error("a global header names files")]
    GlobalHeader,
    /// A long name or an extended header has more than 64 KiB.
    #[error("a name or header in it is longer than 64 KiB")]
    LongHeader,
    /// It was created with tar's option `--sparse`.
    #[error("it has sparse files; create it again without tar's option --sparse")]
    Sparse,
    /// Only files have contents.
    #[error("a directory or link in it has contents")]
    Contents,
    /// A Debian package of another version.
    #[error("its format is {0:?}, and only 2.0 is supported")]
    PackageFormat(String),
    /// A Debian package without payload.
    #[error("it ends before data.tar")]
    NoData,
    /// A header of a Debian package.
    #[error("a header of its ar archive cannot be parsed")]
    ArHeader,
}
