//! The BTF of kernels, from which the BTF of modules is made: `btf/<SHA-256 of the kernel in the image>`.
//!
//! Unpacking a kernel costs more than compiling a small module, so it is done once. A file is one line of
//! JSON, which names the kernel and the digest of the rest, and the BTF. It appears with one rename, every
//! use checks the digest, and it counts towards the limit of the cache and is evicted like an entry.

use super::error::Untrusted;
use super::store::Measured;
use super::{Cache, Filter, Problem, StoreError, TEMPORARY, foreign};
use crate::digest;
use dkms_bundle::record::is_sha256;
use dkms_sys::fs::{self, TempDir};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// No kernel has as much; those of Debian have 4 to 7 MB.
const LARGEST: u64 = 64 << 20;

/// The longest first line.
const LONGEST_HEAD: usize = 4096;

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    kernel: String,
    sha256: String,
}

/// The BTF of a kernel in a list.
#[derive(Clone, Debug)]
pub struct Base {
    /// The release of the kernel; `None` if the file is damaged.
    pub kernel: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// When it was used last.
    pub used: SystemTime,
}

impl Cache {
    /// The BTF of the kernel with this digest. A damaged file is not used; the next [`Cache::store_base`]
    /// replaces it.
    #[must_use]
    pub fn find_base(&self, kernel_digest: &str) -> Option<Vec<u8>> {
        if !is_sha256(kernel_digest) {
            return None;
        }
        let bases = self.bases_dir();
        let also = self.also.as_ref().map(|dir| bases_of(dir));
        let found = [Some(&bases), also.as_ref()].into_iter().flatten().find_map(|dir| {
            let bytes = read(dir, Path::new(kernel_digest)).ok().map(|(_, bytes)| bytes)?;
            Some((dir, bytes))
        });
        let (dir, bytes) = found?;
        if *dir == bases {
            // Best effort: it decides only when the file is evicted.
            let _ = fs::set_modified(dir.join(kernel_digest), SystemTime::now());
        }
        Some(bytes)
    }

    /// Stores the BTF of a kernel.
    ///
    /// # Errors
    /// As for a build.
    pub fn store_base(&self, kernel_digest: &str, kernel: &str, btf: &[u8]) -> Result<(), StoreError> {
        let head = Head { kernel: kernel.to_owned(), sha256: digest::bytes(btf) };
        // Two strings can always be written as JSON.
        let Ok(head) = serde_json::to_string(&head) else { return Ok(()) };
        let head = head + "\n";
        let size = (head.len() as u64).saturating_add(btf.len() as u64);
        if !is_sha256(kernel_digest) || head.len() > LONGEST_HEAD || size > LARGEST {
            return Ok(());
        }
        let _lock = self.lock_for(size)?;
        let dir = self.bases_dir();
        if let Some(why) = foreign(&dir) {
            return Err(StoreError::Untrusted(Untrusted { dir, why }));
        }
        fs::create_dir_all(&dir)?;
        let staged = TempDir::new_in(self.dir(), TEMPORARY)?;
        let file = staged.path().join("base");
        fs::create_new(&file, &[head.as_bytes(), btf].concat(), 0o644)?;
        fs::rename(&file, dir.join(kernel_digest))?;
        self.evict(kernel_digest)
    }

    /// The BTF of kernels that a filter selects, the most recently used first. Packages have none, and
    /// damaged files are there only without a filter.
    #[must_use]
    pub fn bases(&self, filter: &Filter) -> Vec<Base> {
        let base = |one: Measured| {
            let kernel = read_head(&self.bases_dir(), Path::new(&one.fingerprint)).ok();
            Base {
                kernel: kernel.map(|(head, _)| head.kernel),
                path: one.dir,
                size: one.size,
                used: one.used,
            }
        };
        let selected = |base: &Base| {
            filter.is_empty()
                || filter.package.is_none()
                    && filter.version.is_none()
                    && base.kernel.as_ref().is_some_and(|kernel| filter.kernels.contains(kernel))
        };
        let mut found: Vec<Base> = self.measured_bases().into_iter().map(base).filter(selected).collect();
        found.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        found
    }

    pub(super) fn bases_dir(&self) -> PathBuf {
        bases_of(self.dir())
    }

    /// All of them with size and last use, without reading them.
    pub(super) fn measured_bases(&self) -> Vec<Measured> {
        let dir = self.bases_dir();
        if foreign(&dir).is_some() {
            return Vec::new();
        }
        let to_base = |name: std::ffi::OsString| {
            let fingerprint = name.into_string().ok().filter(|name| is_sha256(name))?;
            let path = dir.join(&fingerprint);
            let meta = fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            Some(Measured { fingerprint, dir: path, size: meta.len(), used })
        };
        fs::list_dir_optional(&dir).unwrap_or_default().into_iter().filter_map(to_base).collect()
    }

    /// Returns the problems of the directory and of the files of kernels' BTF.
    pub(super) fn base_problems(&self) -> Vec<Problem> {
        let dir = self.bases_dir();
        if let Some(why) = foreign(&dir) {
            return vec![Problem { path: dir, what: format!("is not used: {why}") }];
        }
        let problem = |name: std::ffi::OsString| {
            let path = dir.join(&name);
            let what = if name.to_str().is_some_and(is_sha256) {
                // It may have been evicted in the meantime.
                read(&dir, Path::new(&name)).err().filter(|_| fs::exists(&path))?
            } else {
                "is not part of the cache of builds".to_owned()
            };
            Some(Problem { path, what })
        };
        match fs::list_dir_optional(&dir) {
            Ok(names) => names.into_iter().filter_map(problem).collect(),
            Err(e) => vec![Problem { path: dir, what: e.to_string() }],
        }
    }
}

/// Beside the directory of the entries.
fn bases_of(entries: &Path) -> PathBuf {
    entries.parent().unwrap_or(entries).join("btf")
}

/// Opens a file that no other user can have written, and reads its first line. Returns that line and the
/// bytes that were read after it, not the complete file.
fn read_head(dir: &Path, name: &Path) -> Result<(Head, Vec<u8>), String> {
    read_at_most(dir, name, LONGEST_HEAD as u64)
}

/// Reads the complete file and compares its digest with the first line.
fn read(dir: &Path, name: &Path) -> Result<(Head, Vec<u8>), String> {
    let (head, bytes) = read_at_most(dir, name, LARGEST)?;
    if digest::bytes(&bytes) == head.sha256 { Ok((head, bytes)) } else { Err("is damaged".into()) }
}

fn read_at_most(dir: &Path, name: &Path, most: u64) -> Result<(Head, Vec<u8>), String> {
    if let Some(why) = foreign(dir).or_else(|| dir.parent().and_then(foreign)) {
        return Err(format!("is not used: {why}"));
    }
    let file = fs::open_untrusted(dir, name, None).map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if let Some(why) = fs::written_by_others(&meta) {
        return Err(format!("is not used: {why}"));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let end = bytes.iter().take(LONGEST_HEAD).position(|byte| *byte == b'\n');
    let head = end.and_then(|end| serde_json::from_slice::<Head>(bytes.get(..end)?).ok());
    let (Some(end), Some(head)) = (end, head) else { return Err("is damaged".into()) };
    bytes.drain(..=end);
    Ok((head, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa";

    fn cache(dir: &Path, limit: u64) -> Cache {
        Cache::new(dir.join("cache/v1"), None, limit)
    }

    #[test]
    fn what_was_stored_is_found_unless_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), 1 << 20);
        assert_eq!(cache.find_base(KERNEL), None);
        cache.store_base(KERNEL, "6.1.0-1", b"types").unwrap();
        assert_eq!(cache.find_base(KERNEL).as_deref(), Some(&b"types"[..]));
        let listed = cache.bases(&Filter::default());
        assert_eq!((listed.len(), listed[0].kernel.as_deref()), (1, Some("6.1.0-1")));
        assert_eq!(cache.base_problems(), []);
        // Those that a second cache has are used, and not changed.
        let other = Cache::new(dir.path().join("roots/v1"), Some(dir.path().join("cache/v1")), 1 << 20);
        assert_eq!(other.find_base(KERNEL).as_deref(), Some(&b"types"[..]));
        assert!(other.bases(&Filter::default()).is_empty());
        let file = dir.path().join("cache/btf").join(KERNEL);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        std::fs::write(dir.path().join("cache/btf/x"), "").unwrap();
        assert_eq!(cache.find_base(KERNEL), None);
        let problems = cache.problems().unwrap();
        assert_eq!(problems.len(), 2);
        problems.iter().for_each(|problem| cache.remove_problem(&problem.path).unwrap());
        assert_eq!(cache.problems().unwrap(), []);
        // The directory was deleted with its last file. An empty file and one without an end of line:
        std::fs::create_dir(dir.path().join("cache/btf")).unwrap();
        for content in ["", "{\"kernel\":\"x\""] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(cache.find_base(KERNEL), None);
            assert_eq!(cache.bases(&Filter::default())[0].kernel, None);
        }
        cache.store_base(KERNEL, "6.1.0-1", b"again").unwrap();
        assert_eq!(cache.find_base(KERNEL).as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn a_file_that_others_can_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), 1 << 20);
        cache.store_base(KERNEL, "6.1.0-1", b"types").unwrap();
        let file = dir.path().join("cache/btf").join(KERNEL);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.find_base(KERNEL), None);
        std::fs::remove_file(&file).unwrap();
        let link = dir.path().join("link");
        std::fs::write(&link, "{\"kernel\":\"x\",\"sha256\":\"\"}\n").unwrap();
        std::os::unix::fs::symlink(&link, &file).unwrap();
        assert_eq!(cache.find_base(KERNEL), None);
        std::fs::remove_file(&file).unwrap();
        std::fs::set_permissions(dir.path().join("cache/btf"), std::fs::Permissions::from_mode(0o777))
            .unwrap();
        assert!(matches!(cache.store_base(KERNEL, "6.1.0-1", b"types"), Err(StoreError::Untrusted(_))));
        assert_eq!(cache.problems().unwrap().len(), 1);
    }

    #[test]
    fn the_limit_of_the_cache_counts_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), 1000);
        assert!(matches!(cache.store_base(KERNEL, "k", &[0; 2000]), Err(StoreError::TooLarge { .. })));
        cache.store_base(KERNEL, "k", &[0; 500]).unwrap();
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::set_modified(dir.path().join("cache/btf").join(KERNEL), old).unwrap();
        cache.store_base(&KERNEL.replace('a', "b"), "k", &[0; 500]).unwrap();
        assert_eq!(cache.bases(&Filter::default()).len(), 1);
        assert_eq!(cache.find_base(KERNEL), None);
    }
}
