//! Computes the digest of a package's source.

use super::tree::{add_entry, add_field};
use crate::digest::{self, Hasher};
use dkms_sys::fs::{self, Scanned, ScannedKind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The maximum number of entries of a directory outside of the source.
const OUTSIDE_ENTRIES: usize = 20_000;

/// The maximum total size of the files of a directory outside of the source, in bytes.
const OUTSIDE_BYTES: u64 = 256 << 20;

/// The identity of a source.
pub(crate) struct Source {
    /// Digest of names, kinds, execute bits, contents and link targets, and of the files and directories
    /// outside of the source to which links point. Times, owners, and the `make.log` of dkms are not
    /// included.
    pub digest: String,
    /// A part of the source that the digest does not describe.
    pub undescribed: Option<String>,
}

/// Describes the source in `dir`. Links to the kernel's `headers` are not followed, because the fingerprint
/// describes the headers separately.
///
/// # Errors
/// A file of the source cannot be read.
pub(crate) fn digest(dir: &Path, headers: &Path) -> Result<Source, dkms_sys::IoError> {
    let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut walk = Walk {
        dir,
        real_dir: resolved(dir),
        headers: resolved(headers),
        hash: Hasher::new(),
        outside: Vec::new(),
        undescribed: None,
    };
    walk.add_directory(Path::new(""))?;
    Ok(Source { digest: walk.hash.finish(), undescribed: walk.undescribed })
}

struct Walk<'a> {
    dir: &'a Path,
    /// `dir` without symbolic links.
    real_dir: PathBuf,
    headers: PathBuf,
    hash: Hasher,
    /// Directories outside of the source that are already included.
    outside: Vec<PathBuf>,
    undescribed: Option<String>,
}

impl Walk<'_> {
    /// Adds the entries of the directory `below` of the source, in the order of their names.
    fn add_directory(&mut self, below: &Path) -> Result<(), dkms_sys::IoError> {
        for name in fs::list_dir(self.dir.join(below))? {
            let name = below.join(name);
            let path = self.dir.join(&name);
            if name == Path::new("make.log") {
                continue;
            }
            self.add(b"n", name.as_os_str().as_bytes());
            if fs::is_real_dir(&path) {
                self.hash.update(b"d");
                self.add_directory(&name)?;
            } else if fs::is_symlink(&path) {
                let target = fs::read_link(&path)?;
                self.add(b"l", target.as_os_str().as_bytes());
                self.add_outside(&path);
            } else {
                let file = fs::open_untrusted(self.dir, &name, None)?;
                let meta = file.metadata().map_err(|e| dkms_sys::IoError::new("examine", &path, e))?;
                let executable = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0;
                self.add(if executable { b"x" } else { b"f" }, &meta.len().to_le_bytes());
                self.hash.update_from(file, &path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: &[u8], data: &[u8]) {
        self.hash.update(kind);
        add_field(&mut self.hash, data);
    }

    /// Adds the file or directory outside of the source to which a link points, because it can change while
    /// the link stays the same. Ignores a file that cannot be read, because the build cannot read it either.
    fn add_outside(&mut self, link: &Path) {
        let Ok(target) = fs::canonicalize(link) else { return };
        if target.starts_with(&self.real_dir) || target.starts_with(&self.headers) || is_pseudo_file(&target)
        {
            return;
        }
        if !fs::is_real_dir(&target) {
            if let Ok(Some(contents)) = digest::file(&target) {
                self.add(b"o", contents.as_bytes());
            }
        } else if !self.outside.iter().any(|known| target.starts_with(known)) {
            match digest_of_tree(&target) {
                Some(contents) => self.add(b"o", contents.as_bytes()),
                None => {
                    self.add(b"o", b"not described");
                    self.undescribed.get_or_insert_with(|| {
                        format!(
                            "a link in its source leads to {}, which cannot be read or is too large",
                            target.display()
                        )
                    });
                }
            }
            self.outside.push(target);
        }
    }
}

/// Returns whether a path is in a pseudo file system of the kernel, such as /proc or /sys.
fn is_pseudo_file(path: &Path) -> bool {
    ["/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top))
}

/// Returns a digest of the names, kinds, contents and link targets of a directory outside of the source.
/// Returns `None` if it has too many files, if they are too large, or if one of them cannot be read.
fn digest_of_tree(top: &Path) -> Option<String> {
    let is_scanned = |dir: &Path, name: &OsStr| name != ".git" && !is_pseudo_file(&dir.join(name));
    let entries = fs::scan(top, &is_scanned, OUTSIDE_ENTRIES).ok()?;
    let sizes = entries.iter().filter(|entry| is_file(entry)).map(|entry| entry.stat.size);
    if sizes.fold(0u64, u64::saturating_add) > OUTSIDE_BYTES {
        return None;
    }
    let mut hash = Hasher::new();
    for entry in &entries {
        let contents = match entry.kind {
            ScannedKind::Link => fs::read_link(&entry.path).ok()?.into_os_string().into_encoded_bytes(),
            _ if is_file(entry) => digest::file(&entry.path).ok()??.into_bytes(),
            // Directories and special files have only a name and a kind.
            _ => Vec::new(),
        };
        add_entry(&mut hash, top, entry, &contents);
    }
    Some(hash.finish())
}

fn is_file(entry: &Scanned) -> bool {
    matches!(entry.kind, ScannedKind::File | ScannedKind::Executable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn source_digest(dir: &Path) -> Result<String, dkms_sys::IoError> {
        digest(dir, Path::new("/no/headers")).map(|source| source.digest)
    }

    #[test]
    fn the_digest_includes_a_file_outside_to_which_a_link_points() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = outside.path().join("shared.h");
        std::fs::write(&file, "1").unwrap();
        symlink(&file, dir.path().join("shared.h")).unwrap();
        for other in ["/dev/null", "/no/such/file", "/proc", "itself"] {
            symlink(other, dir.path().join(other.replace('/', "_"))).unwrap();
        }
        let before = source_digest(dir.path()).unwrap();
        assert_eq!(source_digest(dir.path()).unwrap(), before);
        std::fs::write(&file, "2").unwrap();
        assert_ne!(source_digest(dir.path()).unwrap(), before);
    }

    #[test]
    fn the_digest_includes_a_directory_outside_to_which_a_link_points() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shared = outside.path().join("shared");
        std::fs::create_dir_all(shared.join("sub")).unwrap();
        std::fs::write(shared.join("sub/a.h"), "1").unwrap();
        symlink(&shared, dir.path().join("shared")).unwrap();
        symlink("/proc/self", dir.path().join("of the kernel")).unwrap();
        symlink(shared.join("sub"), dir.path().join("again")).unwrap();
        let before = source_digest(dir.path()).unwrap();
        assert_eq!(source_digest(dir.path()).unwrap(), before);
        let time = std::fs::metadata(shared.join("sub/a.h")).unwrap().modified().unwrap();
        std::fs::write(shared.join("sub/a.h"), "2").unwrap();
        fs::set_modified(shared.join("sub/a.h"), time).unwrap();
        assert_ne!(source_digest(dir.path()).unwrap(), before);
        std::fs::write(shared.join("sub/a.h"), "1").unwrap();
        assert_eq!(source_digest(dir.path()).unwrap(), before);
        std::fs::create_dir(shared.join("new")).unwrap();
        assert_ne!(source_digest(dir.path()).unwrap(), before);
        assert_eq!(digest(dir.path(), &shared).unwrap().undescribed, None);
        // Large files are not read.
        std::fs::File::create(shared.join("large")).unwrap().set_len(OUTSIDE_BYTES).unwrap();
        let source = digest(dir.path(), Path::new("/no/headers")).unwrap();
        assert!(source.undescribed.unwrap().contains("is too large"));
        // The kernel's headers are described separately.
        assert_eq!(digest(dir.path(), &shared).unwrap().undescribed, None);
    }

    fn copy() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a.c"), "int a;\n").unwrap();
        std::fs::write(dir.path().join("dkms.conf"), "x\n").unwrap();
        symlink("a.c", dir.path().join("sub/link")).unwrap();
        dir
    }

    #[test]
    fn equal_copies_have_equal_digests_and_every_change_is_detected() {
        type Change = fn(&Path);
        let original = source_digest(copy().path()).unwrap();
        assert_eq!(original, source_digest(copy().path()).unwrap());
        let changes: [(&str, Change); 8] = [
            ("content", |d| std::fs::write(d.join("sub/a.c"), "int b;\n").unwrap()),
            ("name", |d| std::fs::rename(d.join("sub/a.c"), d.join("sub/b.c")).unwrap()),
            ("directory", |d| std::fs::rename(d.join("sub/a.c"), d.join("a.c")).unwrap()),
            ("new file", |d| std::fs::write(d.join("new"), "").unwrap()),
            ("new directory", |d| std::fs::create_dir(d.join("new")).unwrap()),
            ("execute bit", |d| {
                std::fs::set_permissions(d.join("sub/a.c"), PermissionsExt::from_mode(0o755)).unwrap();
            }),
            ("link target", |d| {
                std::fs::remove_file(d.join("sub/link")).unwrap();
                symlink("../dkms.conf", d.join("sub/link")).unwrap();
            }),
            ("kind", |d| {
                std::fs::remove_file(d.join("sub/link")).unwrap();
                std::fs::write(d.join("sub/link"), "a.c").unwrap();
            }),
        ];
        for (what, change) in changes {
            let dir = copy();
            change(dir.path());
            assert_ne!(original, source_digest(dir.path()).unwrap(), "{what}");
        }
    }

    #[test]
    fn times_permissions_and_the_log_are_not_included() {
        let dir = copy();
        let before = source_digest(dir.path()).unwrap();
        std::fs::write(dir.path().join("make.log"), "log\n").unwrap();
        std::fs::set_permissions(dir.path().join("dkms.conf"), PermissionsExt::from_mode(0o600)).unwrap();
        dkms_sys::fs::set_modified(dir.path().join("dkms.conf"), std::time::UNIX_EPOCH).unwrap();
        assert_eq!(before, source_digest(dir.path()).unwrap());
        std::fs::write(dir.path().join("sub/make.log"), "part of the source\n").unwrap();
        assert_ne!(before, source_digest(dir.path()).unwrap());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = copy();
        std::fs::hard_link(dir.path().join("dkms.conf"), dir.path().join("again")).unwrap();
        assert!(source_digest(dir.path()).is_err());
    }
}
