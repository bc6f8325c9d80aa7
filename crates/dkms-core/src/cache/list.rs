//! Lists and clears the cache.

use super::filter::Filter;
use super::{Base, Cache, Damaged, Entry, Record, StoreError};
use std::path::PathBuf;
use std::time::SystemTime;

/// One entry in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub fingerprint: String,
    /// Its directory.
    pub dir: PathBuf,
    /// The record of the build, or the reason why the entry cannot be used. The digests of its files are not
    /// compared.
    pub record: Result<Record, Damaged>,
    /// Bytes.
    pub size: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// The content of a cache.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Builds.
    pub entries: Vec<Listed>,
    /// The BTF of kernels.
    pub bases: Vec<Base>,
}

impl Contents {
    /// The sum of the sizes, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|entry| entry.size);
        sizes.chain(self.bases.iter().map(|base| base.size)).fold(0, u64::saturating_add)
    }
}

impl Cache {
    /// All entries that a filter selects, the most recently used first. Damaged entries are there only
    /// without a filter.
    ///
    /// # Errors
    /// The directory of the cache cannot be read or is not trusted.
    pub fn entries(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError> {
        if let Some(why) = self.distrust() {
            return Err(why.into());
        }
        let mut found = Vec::new();
        for entry in self.sizes()? {
            let record = match Entry::open(&entry.dir, &entry.fingerprint) {
                Ok(Some(opened)) => Ok(opened.record),
                // It was evicted in the meantime.
                Ok(None) => continue,
                Err(damaged) => Err(damaged),
            };
            let selected = match &record {
                Ok(record) => filter.selects(record),
                Err(_) => filter.is_empty(),
            };
            if selected {
                let (fingerprint, dir) = (entry.fingerprint, entry.dir);
                found.push(Listed { fingerprint, dir, record, size: entry.size, used: entry.used });
            }
        }
        found.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
        Ok(found)
    }

    /// Lists the entries that a filter selects.
    ///
    /// # Errors
    /// As for [`Cache::entries`].
    pub fn contents(&self, filter: &Filter) -> Result<Contents, StoreError> {
        Ok(Contents { entries: self.entries(filter)?, bases: self.bases(filter) })
    }

    /// Removes the entries that a filter selects, and returns them.
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
        let entries = contents.entries.iter().map(|entry| &entry.dir);
        entries
            .chain(contents.bases.iter().map(|base| &base.path))
            .try_for_each(|path| self.discard(path))?;
        Ok(contents)
    }
}
