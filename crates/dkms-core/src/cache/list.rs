//! What is in the cache, and how it is cleared.

use super::{Cache, Damaged, Entry, Record, StoreError};
use std::path::PathBuf;
use std::time::SystemTime;

/// One entry in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub fingerprint: String,
    /// Its directory.
    pub dir: PathBuf,
    /// What it contains, or why it cannot be used. The digests of its files are not compared.
    pub record: Result<Record, Damaged>,
    /// Bytes.
    pub size: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// Selects entries; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// PACKAGE_NAME
    pub package: Option<String>,
    /// PACKAGE_VERSION
    pub version: Option<String>,
    /// Kernel releases; empty: all.
    pub kernels: Vec<String>,
}

impl Filter {
    /// Whether it restricts anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.package.is_none() && self.version.is_none() && self.kernels.is_empty()
    }

    /// Whether it selects this build.
    #[must_use]
    pub fn selects(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        is(&self.package, &record.package)
            && is(&self.version, &record.version)
            && (self.kernels.is_empty() || self.kernels.contains(&record.kernel))
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

    /// Removes the entries that a filter selects, and returns how many they were and their bytes.
    ///
    /// # Errors
    /// The cache cannot be read or written.
    pub fn clear(&self, filter: &Filter) -> Result<(usize, u64), StoreError> {
        let entries = self.entries(filter)?;
        if entries.is_empty() {
            return Ok((0, 0));
        }
        let _lock = self.lock()?;
        self.remove_leftovers()?;
        let mut bytes = 0u64;
        for entry in &entries {
            self.discard(&entry.dir)?;
            bytes = bytes.saturating_add(entry.size);
        }
        Ok((entries.len(), bytes))
    }
}
