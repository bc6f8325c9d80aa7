//! The local cache of builds: `v1/<2 hex>/<62 hex>/{record.json, module/*.ko, Module.symvers, ...}`.
//!
//! The name of an entry is the fingerprint of its build, and `record.json` ([`Record`]) lists its files with
//! their sizes and digests. Modules are stripped, unsigned and uncompressed; `built/` contains the files that
//! POST_BUILD added to `K/A`, and `make.log.zst` is the log of the build.
//!
//! The directory `btf` next to `v1` contains the BTF of kernels (`base`).
//!
//! Readers take no lock. An entry is created with one rename and removed with one rename; if it is in a lower
//! layer of an overlay, its record is removed first. So an entry is complete or absent. Every byte is
//! compared with the record before it is used. Writers take an exclusive lock, so any temporary directory
//! that they find is a leftover of a killed process, and is removed. Nothing is synced: if a crash of the
//! machine damages an entry, its check fails and it is dropped.
//!
//! An error of the cache never fails a build: callers turn every error into a warning.

mod base;
mod check;
mod entry;
pub(crate) mod error;
mod filter;
mod list;
mod store;
#[cfg(test)]
mod tests;
mod why;

pub use base::Base;
pub use check::Problem;
pub use dkms_bundle::record::{File, Record};
pub use entry::{Entry, RECORD};
use error::Untrusted;
pub use error::{Damaged, StoreError};
pub use filter::Filter;
pub use list::{Contents, Listed};
pub use store::Draft;
pub use why::{Difference, Nearest};

use crate::system::System;
use dkms_bundle::record;
use dkms_sys::fs;
use entry::distrust;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The limit in bytes if framework.conf does not set `cache_size`: 1 GiB.
pub const DEFAULT_SIZE: u64 = 1 << 30;

/// The name of the log of a build in an entry.
pub const LOG: &str = "make.log.zst";

/// The directory in an entry with the files that POST_BUILD added to `K/A`.
pub const ADDED: &str = "built";

/// The name of the lock file of writers.
const LOCK: &str = ".lock";

/// The prefix of the names of temporary directories.
const TEMPORARY: &str = ".tmp-";

/// A cache of builds.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The directory of the entries. It is in the directory of the cache.
    dir: PathBuf,
    /// The directory of the entries of a second cache, which is only read.
    second: Option<PathBuf>,
    /// The maximum size in bytes.
    limit: u64,
}

impl Cache {
    /// Creates a cache whose entries are in `dir`, of at most `limit` bytes. `second` is the directory of the
    /// entries of a second cache, which is only read.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, second: Option<PathBuf>, limit: u64) -> Self {
        Self { dir: dir.into(), second, limit }
    }

    /// Returns the cache of a system; `None` if it is disabled (`cache_size=0`, `--no-cache`).
    ///
    /// Builds for other roots have a separate cache, because this machine must not use modules that the
    /// compiler and the headers of an image produced. They may use the builds of this machine.
    #[must_use]
    pub fn of(system: &System) -> Option<Self> {
        (!system.settings.no_cache).then(|| Self::to_inspect(system)).filter(|cache| cache.limit > 0)
    }

    /// Returns the cache of a system for actions that inspect or clear it, even if it is disabled.
    #[must_use]
    pub fn to_inspect(system: &System) -> Self {
        let layout = &system.layout;
        let limit = system.settings.framework.cache_size.unwrap_or(DEFAULT_SIZE);
        match system.host.other_root {
            Some(_) => Self::new(layout.cache_of_roots(), Some(layout.cache()), limit),
            None => Self::new(layout.cache(), None, limit),
        }
    }

    /// Returns whether its directory is a mount point. This is so if several builds of containers share a
    /// cache.
    pub(crate) fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::symlink_metadata(path).ok().map(|metadata| metadata.dev());
        let top = self.dir.parent();
        let (Some(top), Some(parent)) = (top, top.and_then(Path::parent)) else { return false };
        device(top).is_some_and(|device_of_top| Some(device_of_top) != device(parent))
    }

    /// Returns the directory of its entries.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns its maximum size in bytes; 0 if it is disabled.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Finds the entry of a fingerprint. Checks its record and the sizes of its files; [`Entry::read`]
    /// compares the digest when a file is read.
    ///
    /// # Errors
    /// The entry is damaged. [`Cache::drop_entry`] removes it.
    pub fn find(&self, fingerprint: &str) -> Result<Option<Entry>, Damaged> {
        if !record::is_sha256(fingerprint) {
            return Ok(None);
        }
        for top in std::iter::once(&self.dir).chain(&self.second) {
            if untrusted(top).is_some() {
                continue;
            }
            let dir = entry_dir(top, fingerprint);
            match Entry::open(&dir, fingerprint) {
                Ok(Some(entry)) => return Ok(Some(entry)),
                // Another process evicted it in the meantime.
                Err(_) if !fs::exists(&dir) => {}
                Ok(None) => {}
                Err(damaged) => return Err(damaged),
            }
        }
        Ok(None)
    }

    /// Like [`Cache::find`], but also compares the digests of all files.
    ///
    /// # Errors
    /// The entry is damaged.
    pub fn lookup(&self, fingerprint: &str) -> Result<Option<Entry>, Damaged> {
        let Some(entry) = self.find(fingerprint)? else { return Ok(None) };
        match entry.check() {
            Err(_) if !fs::exists(&entry.dir) => Ok(None),
            checked => checked.map(|()| Some(entry)),
        }
    }

    /// Returns the reason why the cache cannot be trusted: its directory is a link or a file, or other users
    /// can write to it.
    #[must_use]
    pub fn distrust(&self) -> Option<Untrusted> {
        untrusted(&self.dir)
    }
}

/// Returns the directory of the entry with a fingerprint.
fn entry_dir(top: &Path, fingerprint: &str) -> PathBuf {
    let (start, rest) = fingerprint.split_at_checked(2).unwrap_or((fingerprint, ""));
    top.join(start).join(rest)
}

/// Returns the reason why the directory of a cache, or its parent, is not trusted. A directory that does not
/// exist is trusted.
fn untrusted(top: &Path) -> Option<Untrusted> {
    let mut dirs = top.parent().into_iter().chain([top]);
    dirs.find_map(|dir| Some(Untrusted { dir: dir.to_owned(), why: distrust(dir)? }))
}
