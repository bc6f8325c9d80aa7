//! Stores, evicts and drops entries.

use super::error::{RESERVE, StoreError};
use super::{Cache, Entry, File, LOCK, RECORD, Record, TEMPORARY, distrust, entry_dir, untrusted};
use crate::digest;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::lock::Lock;
use dkms_tree::layers;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long to wait for another process that changes the cache.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum difference between the clocks of machines that share a cache.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// The files of a build that will be stored when the build is complete.
#[derive(Debug, Default)]
pub struct Draft {
    files: Vec<(File, Vec<u8>)>,
}

impl Draft {
    /// Adds a file. `path` is relative to the entry.
    pub fn add(&mut self, path: impl Into<String>, bytes: Vec<u8>) {
        let (size, sha256) = (bytes.len() as u64, digest::bytes(&bytes));
        self.files.push((File { path: path.into(), size, sha256, executable: false }, bytes));
    }

    /// Returns the sum of the sizes, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, (file, _)| sum.saturating_add(file.size))
    }
}

impl Cache {
    /// Stores a build with the files of the draft. An existing entry is only replaced if `replace` is set.
    ///
    /// # Errors
    /// Each variant of [`StoreError`]. Nothing is left behind.
    pub fn store(&self, mut record: Record, mut draft: Draft, replace: bool) -> Result<(), StoreError> {
        draft.files.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        record.files = draft.files.iter().map(|(file, _)| file.clone()).collect();
        let mut files = draft.files.into_iter().map(|(_, bytes)| Ok(bytes));
        self.insert(&record, replace, |_| files.next().unwrap_or_else(|| Ok(Vec::new())))
    }

    /// Stores a build from another source: its files are in `dir`, at the paths in its record. Each file is
    /// compared with the record while it is copied. An existing entry is kept.
    ///
    /// # Errors
    /// Each variant of [`StoreError`]. Nothing is left behind.
    pub fn store_from(&self, dir: &Path, record: &Record) -> Result<(), StoreError> {
        let source = Entry { record: record.clone(), dir: dir.to_owned() };
        // The layer describes the build in a registry. A local record does not depend on the source of the
        // build.
        let local = Record { layer: None, ..record.clone() };
        self.insert(&local, false, |file| Ok(source.read(file)?))
    }

    /// Creates an entry. `read` returns the contents of a file of the record.
    fn insert(
        &self,
        record: &Record,
        replace: bool,
        mut read: impl FnMut(&File) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        let json = record.to_json()?;
        let size = record.total_size().saturating_add(json.len() as u64);
        let _lock = self.lock_for(size)?;
        let staged = TempDir::new_in(&self.dir, TEMPORARY)?;
        for file in &record.files {
            let path = staged.path().join(&file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::create_new(&path, &read(file)?, if file.executable { 0o755 } else { 0o644 })?;
        }
        fs::create_new(staged.path().join(RECORD), &json, 0o644)?;
        fs::set_mode(staged.path(), 0o755)?;
        let place = entry_dir(&self.dir, &record.fingerprint);
        if replace && fs::exists(&place) {
            self.discard(&place)?;
        }
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        if !fs::exists(&place) {
            fs::rename_noreplace(staged.path(), &place)?;
            let _ = staged.keep();
        }
        self.evict(&record.fingerprint)
    }

    /// Takes the exclusive lock, if this many bytes can be stored.
    pub(super) fn lock_for(&self, size: u64) -> Result<Lock, StoreError> {
        if size > self.limit {
            return Err(StoreError::TooLarge { size, limit: self.limit });
        }
        let lock = self.lock()?;
        let free = fs::free_space(&self.dir)?;
        if free < size.saturating_add(RESERVE) {
            return Err(StoreError::Full { path: self.dir.clone(), free, size });
        }
        self.remove_leftovers()?;
        Ok(lock)
    }

    /// Removes an entry. Readers see either the complete entry or nothing.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn drop_entry(&self, dir: &Path) -> Result<(), StoreError> {
        // An entry of the machine's cache is not removed by a command that works on another root.
        if !dir.starts_with(&self.dir) && !dir.starts_with(self.bases_dir()) {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.discard(dir)
    }

    /// Removes entries and the BTF of kernels, the least recently used first, until the cache is within its
    /// limit. The entry with the fingerprint `keep` is not removed.
    pub(super) fn evict(&self, keep: &str) -> Result<(), StoreError> {
        let mut entries = self.measured_entries()?;
        entries.extend(self.measured_bases());
        let mut total = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
        // A time in the future is a mistake. Such an entry is evicted first, otherwise it would be kept
        // forever.
        let latest = SystemTime::now() + MAX_CLOCK_SKEW;
        entries.sort_by_key(|entry| Some(entry.used).filter(|used| *used <= latest));
        for entry in entries {
            if total <= self.limit {
                break;
            }
            if entry.fingerprint != keep {
                self.discard(&entry.dir)?;
                total = total.saturating_sub(entry.size);
            }
        }
        Ok(())
    }

    /// Removes leftovers of killed processes, and removes entries until the cache is within its limit.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn shrink(&self) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        self.remove_leftovers()?;
        self.evict("")
    }

    /// Takes the exclusive lock. Creates the directory if it does not exist.
    pub(super) fn lock(&self) -> Result<Lock, StoreError> {
        if let Some(why) = untrusted(&self.dir) {
            return Err(why.into());
        }
        fs::create_dir_all(&self.dir)?;
        Ok(Lock::acquire(
            self.dir.join(LOCK),
            "changes the cache of builds",
            Some(LOCK_TIMEOUT),
            &mut |_| {},
        )?)
    }

    /// Removes temporary directories. The caller holds the lock, so they are not in use.
    pub(super) fn remove_leftovers(&self) -> Result<(), StoreError> {
        for name in fs::list_dir(&self.dir)? {
            if name.to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_tree(self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Renames an entry aside and removes it. The caller holds the lock.
    pub(super) fn discard(&self, dir: &Path) -> Result<(), StoreError> {
        let trash = TempDir::new_in(&self.dir, TEMPORARY)?;
        match fs::rename(dir, trash.path().join("entry")) {
            Err(e) if e.is_not_found() => return Ok(()),
            // It is in a lower layer of a container image, so it cannot be renamed. Without its record, it is
            // no longer an entry.
            Err(e) if layers::is_of_lower_layer(&e, dir) => {
                fs::remove_file(dir.join(RECORD))?;
                fs::remove_tree(dir)?;
            }
            renamed => renamed?,
        }
        // The parent can only be removed if it contains no other entries.
        let _ = dir.parent().map(fs::remove_dir);
        Ok(trash.remove()?)
    }

    /// Returns the sizes and the times of the last use of all entries, without reading them.
    pub(super) fn measured_entries(&self) -> Result<Vec<Measured>, StoreError> {
        let mut entries = Vec::new();
        for start in fs::list_dir_optional(&self.dir)? {
            let parent = self.dir.join(&start);
            if start.len() != 2 || distrust(&parent).is_some() || !fs::is_real_dir(&parent) {
                continue;
            }
            for rest in fs::list_dir_optional(&parent)? {
                let fingerprint = format!("{}{}", start.to_string_lossy(), rest.to_string_lossy());
                let dir = parent.join(&rest);
                if dkms_bundle::record::is_sha256(&fingerprint) && fs::is_real_dir(&dir) {
                    let (size, used) = measure(&dir);
                    entries.push(Measured { fingerprint, dir, size, used });
                }
            }
        }
        Ok(entries)
    }
}

/// The data of an entry that can be determined without reading its files.
#[derive(Debug)]
pub(super) struct Measured {
    pub fingerprint: String,
    pub dir: PathBuf,
    pub size: u64,
    pub used: SystemTime,
}

/// Returns the number of bytes in the directory of an entry, and the modification time of its record. Files
/// that cannot be examined are ignored.
fn measure(entry: &Path) -> (u64, SystemTime) {
    let record = fs::symlink_metadata(entry.join(RECORD)).ok();
    let used = record.and_then(|metadata| metadata.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut size = 0u64;
    let mut pending = vec![entry.to_owned()];
    while let Some(dir) = pending.pop() {
        for name in fs::list_dir_optional(&dir).unwrap_or_default() {
            let path = dir.join(&name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => pending.push(path),
                Ok(metadata) => size = size.saturating_add(metadata.len()),
                Err(_) => {}
            }
        }
    }
    (size, used)
}
