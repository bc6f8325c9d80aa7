//! The BTF of kernels, from which the BTF of modules is made: `btf/<SHA-256 of the kernel in the image>`.
//!
//! Unpacking a kernel takes longer than compiling a small module, so it is done once. A file consists of one
//! line of JSON, with the kernel and the digest of the BTF, and of the BTF. It is created with one rename,
//! and every use checks the digest. It counts towards the limit of the cache and is evicted like an entry.

use super::error::Untrusted;
use super::store::Measured;
use super::{Cache, Filter, Problem, StoreError, TEMPORARY, distrust};
use crate::digest;
use dkms_bundle::record::is_sha256;
use dkms_sys::fs::{self, TempDir};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The maximum size of a file. The BTF of Debian's kernels has 4 to 7 MB.
const MAX_SIZE: u64 = 64 << 20;

/// The maximum length of the first line.
const MAX_HEAD: usize = 4096;

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    kernel: String,
    sha256: String,
}

/// The BTF of a kernel, as it is listed.
#[derive(Clone, Debug)]
pub struct Base {
    /// The release of the kernel; `None` if the file is damaged.
    pub kernel: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// The size of the file in bytes.
    pub size: u64,
    /// The time of the last use.
    pub used: SystemTime,
}

impl Cache {
    /// Returns the BTF of the kernel with this digest. A damaged file is not used; the next
    /// [`Cache::store_base`] replaces it.
    #[must_use]
    pub fn find_base(&self, kernel_digest: &str) -> Option<Vec<u8>> {
        if !is_sha256(kernel_digest) {
            return None;
        }
        let bases = self.bases_dir();
        if let Ok((_, btf)) = read(&bases, Path::new(kernel_digest)) {
            // A failure is ignored: the time only decides when the file is evicted.
            let _ = fs::set_modified(bases.join(kernel_digest), SystemTime::now());
            return Some(btf);
        }
        let second = bases_of(self.second.as_ref()?);
        read(&second, Path::new(kernel_digest)).ok().map(|(_, btf)| btf)
    }

    /// Stores the BTF of a kernel. Does nothing if it is larger than the maximum.
    ///
    /// # Errors
    /// The same as those of [`Cache::store`].
    pub fn store_base(&self, kernel_digest: &str, kernel: &str, btf: &[u8]) -> Result<(), StoreError> {
        let head = Head { kernel: kernel.to_owned(), sha256: digest::bytes(btf) };
        // Serializing two strings cannot fail.
        let Ok(head) = serde_json::to_string(&head) else { return Ok(()) };
        let head = head + "\n";
        let size = (head.len() as u64).saturating_add(btf.len() as u64);
        if !is_sha256(kernel_digest) || head.len() > MAX_HEAD || size > MAX_SIZE {
            return Ok(());
        }
        let _lock = self.lock_for(size)?;
        let dir = self.bases_dir();
        if let Some(why) = distrust(&dir) {
            return Err(StoreError::Untrusted(Untrusted { dir, why }));
        }
        fs::create_dir_all(&dir)?;
        let staged = TempDir::new_in(self.dir(), TEMPORARY)?;
        let file = staged.path().join("base");
        fs::create_new(&file, &[head.as_bytes(), btf].concat(), 0o644)?;
        fs::rename(&file, dir.join(kernel_digest))?;
        self.evict(kernel_digest)
    }

    /// Lists the BTF of the kernels that a filter selects, the most recently used first. A filter for
    /// packages selects none. Damaged files are listed only if the filter is empty.
    #[must_use]
    pub fn bases(&self, filter: &Filter) -> Vec<Base> {
        let base = |Measured { fingerprint, dir: path, size, used }: Measured| {
            let head = read_head(&self.bases_dir(), Path::new(&fingerprint)).ok();
            Base { kernel: head.map(|(head, _)| head.kernel), path, size, used }
        };
        let is_selected = |base: &Base| {
            filter.is_empty()
                || filter.package.is_none()
                    && filter.version.is_none()
                    && base.kernel.as_ref().is_some_and(|kernel| filter.kernels.contains(kernel))
        };
        let mut bases: Vec<Base> = self.measured_bases().into_iter().map(base).filter(is_selected).collect();
        bases.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        bases
    }

    pub(super) fn bases_dir(&self) -> PathBuf {
        bases_of(self.dir())
    }

    /// Returns the sizes and the times of the last use of all files, without reading them.
    pub(super) fn measured_bases(&self) -> Vec<Measured> {
        let dir = self.bases_dir();
        if distrust(&dir).is_some() {
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
        if let Some(why) = distrust(&dir) {
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

/// Returns the directory with the BTF of kernels, which is next to the directory of the entries.
fn bases_of(entries: &Path) -> PathBuf {
    entries.parent().unwrap_or(entries).join("btf")
}

/// Reads the first line of a file. Returns it and the bytes that were read after it, not the complete file.
fn read_head(dir: &Path, name: &Path) -> Result<(Head, Vec<u8>), String> {
    read_at_most(dir, name, MAX_HEAD as u64)
}

/// Reads the complete file and compares its digest with the first line.
fn read(dir: &Path, name: &Path) -> Result<(Head, Vec<u8>), String> {
    let (head, bytes) = read_at_most(dir, name, MAX_SIZE)?;
    if digest::bytes(&bytes) == head.sha256 { Ok((head, bytes)) } else { Err("is damaged".into()) }
}

/// Reads at most `limit` bytes of a file. Fails if another user could have written it.
fn read_at_most(dir: &Path, name: &Path, limit: u64) -> Result<(Head, Vec<u8>), String> {
    if let Some(why) = distrust(dir).or_else(|| dir.parent().and_then(distrust)) {
        return Err(format!("is not used: {why}"));
    }
    let file = fs::open_untrusted(dir, name, None).map_err(|e| e.to_string())?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    if let Some(why) = fs::written_by_others(&metadata) {
        return Err(format!("is not used: {why}"));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let end = bytes.iter().take(MAX_HEAD).position(|byte| *byte == b'\n');
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
    fn stored_btf_is_found_unless_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), 1 << 20);
        assert_eq!(cache.find_base(KERNEL), None);
        cache.store_base(KERNEL, "6.1.0-1", b"types").unwrap();
        assert_eq!(cache.find_base(KERNEL).as_deref(), Some(&b"types"[..]));
        let listed = cache.bases(&Filter::default());
        assert_eq!((listed.len(), listed[0].kernel.as_deref()), (1, Some("6.1.0-1")));
        assert_eq!(cache.base_problems(), []);
        // The BTF in a second cache is used, but not changed.
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
        // The directory was deleted with its last file. Test an empty file, and a file without an end of
        // line.
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
    fn btf_counts_towards_the_limit_of_the_cache() {
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
