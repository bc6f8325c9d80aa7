//! Lists and clears the cache.

use super::filter::Filter;
use super::store::Measured;
use super::{Base, Cache, Damaged, Entry, Record, StoreError};
use std::path::PathBuf;
use std::time::SystemTime;

/// An entry, as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The fingerprint of the build.
    pub fingerprint: String,
    /// The directory of the entry.
    pub dir: PathBuf,
    /// The record of the build, or the reason why the entry cannot be used. The digests of its files are not
    /// compared.
    pub record: Result<Record, Damaged>,
    /// The size of the entry in bytes.
    pub size: u64,
    /// The time of the last use.
    pub used: SystemTime,
}

/// The content of a cache.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The builds.
    pub entries: Vec<Listed>,
    /// The BTF of kernels.
    pub bases: Vec<Base>,
}

impl Contents {
    /// Returns the sum of the sizes, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|entry| entry.size);
        sizes.chain(self.bases.iter().map(|base| base.size)).fold(0, u64::saturating_add)
    }
}

impl Cache {
    /// Lists the builds that a filter selects, the most recently used first. Damaged entries are listed only
    /// if the filter is empty.
    ///
    /// # Errors
    /// The directory of the cache cannot be read or is not trusted.
    pub fn entries(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError> {
        if let Some(why) = self.distrust() {
            return Err(why.into());
        }
        let mut listed = Vec::new();
        for Measured { fingerprint, dir, size, used } in self.measured_entries()? {
            // An entry that no longer exists was evicted in the meantime.
            let Some(entry) = Entry::open(&dir, &fingerprint).transpose() else { continue };
            let record = entry.map(|entry| entry.record);
            let is_selected = match &record {
                Ok(record) => filter.selects(record),
                Err(_) => filter.is_empty(),
            };
            if is_selected {
                listed.push(Listed { fingerprint, dir, record, size, used });
            }
        }
        listed.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
        Ok(listed)
    }

    /// Lists the builds and the BTF of kernels that a filter selects.
    ///
    /// # Errors
    /// The same as those of [`Cache::entries`].
    pub fn contents(&self, filter: &Filter) -> Result<Contents, StoreError> {
        Ok(Contents { entries: self.entries(filter)?, bases: self.bases(filter) })
    }

    /// Removes the builds and the BTF of kernels that a filter selects, and returns what was removed.
    ///
    /// # Errors
    /// The cache cannot be read or written.
    pub fn clear(&self, filter: &Filter) -> Result<Contents, StoreError> {
        let contents = self.contents(filter)?;
        if contents.entries.is_empty() && contents.bases.is_empty() {
            return Ok(contents);
        }
        let _lock = self.lock()?;
        self.remove_leftovers()?;
        let mut entries = contents.entries.iter().map(|entry| &entry.dir);
        entries.try_for_each(|path| self.discard(path))?;
        contents.bases.iter().try_for_each(|base| self.discard(&base.path))?;
        Ok(contents)
    }
}
