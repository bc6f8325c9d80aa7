//! The reasons why an entry of the cache cannot be used, or a build cannot be stored.

use dkms_bundle::record::RecordError;
use dkms_sys::IoError;
use dkms_sys::fs::Distrust;
use dkms_sys::lock::LockError;
use std::path::PathBuf;

/// The number of bytes that storing a build must leave free on the file system, because an installation needs
/// space too.
pub(super) const RESERVE: u64 = 32 << 20;

/// An entry that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct Damaged {
    /// The entry.
    pub path: PathBuf,
    /// A description of the damage.
    pub reason: String,
}

/// A directory of a cache that is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", .dir.display())]
pub struct Untrusted {
    /// The directory of the cache, or its parent.
    pub dir: PathBuf,
    /// The reason.
    #[source]
    pub why: Distrust,
}

/// The reason why a build was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory of the cache is not trusted.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It cannot be written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Another process held the lock for too long.
    #[error(transparent)]
    Busy(#[from] LockError),
    /// The file system is nearly full.
    #[error("{}: only {free} bytes are free, and storing {size} bytes would leave less than {RESERVE}", .path.display())]
    Full {
        /// The directory of the cache.
        path: PathBuf,
        /// The number of free bytes.
        free: u64,
        /// The size of the entry in bytes.
        size: u64,
    },
    /// The build is larger than the limit of the cache.
    #[error("it has {size} bytes, more than cache_size ({limit})")]
    TooLarge {
        /// The size of the build in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The record is invalid, so it could not be read later.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file does not match the record.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}
