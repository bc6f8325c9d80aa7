//! The reasons why an entry of the cache cannot be used, or a build cannot be stored.

use dkms_bundle::record::RecordError;
use dkms_sys::IoError;
use dkms_sys::fs::Distrust;
use dkms_sys::lock::LockError;
use std::path::PathBuf;

/// The space that a store leaves free on its file system, because an installation needs space too.
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
    /// Another process holds the lock for too long.
    #[error(transparent)]
    Busy(#[from] LockError),
    /// The file system is nearly full.
    #[error("{}: only {free} bytes are free, and storing {size} bytes would leave less than {RESERVE}", .path.display())]
    Full {
        /// The cache.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes of the entry.
        size: u64,
    },
    /// The build is larger than the limit of the cache.
    #[error("it has {size} bytes, more than cache_size ({limit})")]
    TooLarge {
        /// Bytes of the build.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The record would be refused when it is read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file does not match the record.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}
