//! Checks the cache for inconsistencies, for `fsck`.

use super::store::Measured;
use super::{Cache, Entry, LOCK, StoreError, TEMPORARY, distrust};
use dkms_bundle::record::is_sha256;
use dkms_sys::fs;
use dkms_sys::lock::Lock;
use std::path::{Path, PathBuf};

/// A problem of the cache. [`Cache::remove_problem`] fixes it by removing a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The damaged file or directory.
    pub path: PathBuf,
    /// The description, as the rest of a sentence that begins with the path.
    pub what: String,
}

impl Cache {
    /// Lists damaged entries, foreign files, leftovers of killed processes, and a cache that is over its
    /// limit. Compares all files with their records.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn problems(&self) -> Result<Vec<Problem>, StoreError> {
        let mut problems = self.foreign_files()?;
        problems.extend(self.base_problems());
        let entries = self.measured_entries()?;
        let problem = |entry: &Measured| Some(Problem { path: entry.dir.clone(), what: check_entry(entry)? });
        problems.extend(entries.iter().filter_map(problem));
        let bases = self.measured_bases();
        let total = entries.iter().chain(&bases).fold(0u64, |sum, entry| sum.saturating_add(entry.size));
        if total > self.limit() {
            let what = format!("has {total} bytes of builds, more than cache_size ({})", self.limit());
            problems.push(Problem { path: self.dir().to_owned(), what });
        }
        Ok(problems)
    }

    /// Removes a problem that [`Cache::problems`] found.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_problem(&self, path: &Path) -> Result<(), StoreError> {
        if path == self.dir() {
            return self.shrink();
        }
        self.drop_entry(path)
    }

    /// Finds files and directories that are not entries.
    fn foreign_files(&self) -> Result<Vec<Problem>, StoreError> {
        let mut problems = Vec::new();
        let mut add = |path: PathBuf, what: &str| problems.push(Problem { path, what: what.to_owned() });
        // If the lock cannot be opened, it is unknown whether it is held.
        let is_idle = || Lock::is_taken(self.dir().join(LOCK)).is_ok_and(|taken| !taken);
        for name in fs::list_dir_optional(self.dir())? {
            let path = self.dir().join(&name);
            let text = name.to_string_lossy();
            if text == LOCK {
                continue;
            }
            if text.starts_with(TEMPORARY) {
                if is_idle() && fs::exists(&path) {
                    add(path, "was left by a command that was killed");
                }
            } else if text.len() != 2 || !is_sha256(&text.repeat(32)) {
                add(path, "is not part of the cache of builds");
            } else if let Some(why) = distrust(&path) {
                add(path, &format!("is not used: {why}"));
            } else {
                for rest in fs::list_dir_optional(&path)? {
                    let entry = path.join(&rest);
                    if !is_sha256(&format!("{text}{}", rest.to_string_lossy())) || !fs::is_real_dir(&entry) {
                        add(entry, "is not part of the cache of builds");
                    }
                }
            }
        }
        Ok(problems)
    }
}

/// Returns a description of the problem of an entry.
fn check_entry(measured: &Measured) -> Option<String> {
    let entry = match Entry::open(&measured.dir, &measured.fingerprint) {
        Ok(entry) => entry?,
        // It was evicted in the meantime.
        Err(_) if !fs::exists(&measured.dir) => return None,
        Err(damaged) => return Some(damaged.reason),
    };
    match entry.check().and_then(|()| entry.foreign_files()) {
        Err(_) if !fs::exists(&measured.dir) => None,
        Err(damaged) => Some(damaged.reason),
        Ok(foreign) => {
            foreign.first().map(|name| format!("contains {}, which its record does not list", name.display()))
        }
    }
}
