//! Archives of dkms trees: what `mktarball` writes and `ldtarball` reads; Debian packages, both ways.
//!
//! [`write()`] makes the same bytes from the same files. [`unpack`] trusts nothing: every entry is judged by
//! `names::Tree`, which knows no disk, before anything is made of it; one bad entry refuses the whole archive, and
//! nothing of it stays.

#![forbid(unsafe_code)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod deb;
mod entries;
mod names;
mod package;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use dkms_sys::IoError;

pub use deb::{Deb, gzip, write_deb, write_tar_xz};
pub use names::Refusal;
pub use package::is_tarball;
pub use read::{Entry, EntryKind, Format, Limits, Unpacked, fuzz_unpack, unpack, unpack_payload};
pub use write::{Member, Source, Written, write};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (`.gz`, `.tgz`).
    Gzip,
    /// xz (`.xz`, `.txz`).
    Xz,
    /// Zstandard (`.zst`, `.tzst`).
    Zstd,
    /// bzip2 (`.bz2`, `.tbz2`, `.tbz`).
    Bzip2,
}

impl Compression {
    /// By the end of the file name, as `tar --auto-compress` chooses; unknown ends mean none.
    pub fn from_name(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()) {
            Some("gz" | "tgz" | "taz") => Compression::Gzip,
            Some("xz" | "txz") => Compression::Xz,
            Some("zst" | "tzst") => Compression::Zstd,
            Some("bz2" | "tbz2" | "tbz" | "tz2") => Compression::Bzip2,
            _ => Compression::None,
        }
    }

    /// By the first bytes of the file; `None` when it is not compressed in a way we know.
    fn from_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }
}

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
