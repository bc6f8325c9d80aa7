//! The local cache of builds: `v1/<2 hex>/<62 hex>/{record.json, module/*.ko, Module.symvers, ...}`.
//!
//! The name of an entry is the fingerprint of its build, and `record.json` ([`Record`]) lists its files with
//! size and digest. Modules are stripped, unsigned and uncompressed; `built/` has the files that POST_BUILD
//! added to `K/A`, and `make.log.zst` is the log of the build.
//!
//! Beside `v1`, `btf` has the BTF of kernels (`base`).
//!
//! Readers take no lock. An entry appears with one rename and disappears with one rename, or by losing its
//! record first if it is in a lower layer of an overlay. So it is complete or absent; every byte that is used
//! is checked against the record first. Writers take an exclusive lock, so whatever temporary directory they
//! find is that of a killed process, and is removed. Nothing is synced: an entry that a crash of the machine
//! damaged fails its check and is dropped.
//!
//! The cache never fails a build: callers turn every error here into a warning.

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
use entry::foreign;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The limit without `cache_size` in framework.conf: 1 GiB.
pub const DEFAULT_SIZE: u64 = 1 << 30;

/// The log of a build in an entry.
pub const LOG: &str = "make.log.zst";

/// The directory in an entry of files that POST_BUILD added to `K/A`.
pub const ADDED: &str = "built";

/// The lock of writers.
const LOCK: &str = ".lock";

/// The prefix of the names of temporary directories.
const TEMPORARY: &str = ".tmp-";

/// One cache.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The directory of the entries. Its parent is that of the cache.
    dir: PathBuf,
    /// A second cache that is only read.
    also: Option<PathBuf>,
    /// The most bytes that it keeps.
    limit: u64,
}

impl Cache {
    /// A cache in this directory, of at most `limit` bytes. `also` is the directory of a second one, which is
    /// only read.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, also: Option<PathBuf>, limit: u64) -> Self {
        Self { dir: dir.into(), also, limit }
    }

    /// The cache of a system; `None` if it is switched off (`cache_size=0`, `--no-cache`).
    ///
    /// Builds for other roots have a cache of their own: what an image's compiler and headers produce must
    /// not get into the modules of this machine. They may use what this machine built.
    #[must_use]
    pub fn of(system: &System) -> Option<Self> {
        (!system.settings.no_cache).then(|| Self::to_inspect(system)).filter(|cache| cache.limit > 0)
    }

    /// The same for actions that inspect or clear it, even if it is switched off.
    #[must_use]
    pub fn to_inspect(system: &System) -> Self {
        let layout = &system.layout;
        let limit = system.settings.framework.cache_size.unwrap_or(DEFAULT_SIZE);
        match system.host.other_root {
            Some(_) => Self::new(layout.cache_of_roots(), Some(layout.cache()), limit),
            None => Self::new(layout.cache(), None, limit),
        }
    }

    /// Returns whether its directory is a mount point, as a cache that several builds of containers share is.
    pub(crate) fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::symlink_metadata(path).ok().map(|meta| meta.dev());
        let Some(top) = self.dir.parent() else { return false };
        top.parent().is_some_and(|above| device(top).is_some_and(|here| Some(here) != device(above)))
    }

    /// The directory of its entries.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The most bytes that it keeps; 0 if it is switched off.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Finds the entry of a fingerprint. Its record is checked, and its files exist with their sizes; each
    /// read of a file ([`Entry::read`]) compares the digest.
    ///
    /// # Errors
    /// The entry is damaged. [`Cache::drop_entry`] removes it.
    pub fn find(&self, fingerprint: &str) -> Result<Option<Entry>, Damaged> {
        if !record::is_sha256(fingerprint) {
            return Ok(None);
        }
        for top in [Some(&self.dir), self.also.as_ref()].into_iter().flatten() {
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

    /// Like [`Cache::find`], and compares all digests.
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
    dirs.find_map(|dir| Some(Untrusted { dir: dir.to_owned(), why: foreign(dir)? }))
}
