//! Reads dpkg's database without running dpkg: which package contains a file, its version, and the digests of
//! its files.

use super::sums::{self, Record};
use crate::digest;
use dkms_sys::fs::{self, Limit};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The directory of dpkg's database.
const ADMIN: &str = "/var/lib/dpkg";

/// The database of a system.
pub(super) struct Dpkg {
    admin: PathBuf,
    status: OnceLock<String>,
}

impl Dpkg {
    /// The database of this system, if it has one.
    pub(super) fn detect() -> Option<Self> {
        Self::at(Path::new(ADMIN))
    }

    fn at(admin: &Path) -> Option<Self> {
        let exists = fs::is_dir(admin.join("info"));
        exists.then(|| Self { admin: admin.to_owned(), status: OnceLock::new() })
    }

    /// Finds the package that contains `path`, among the packages with these names. Returns `None` if none of
    /// them contains it, or if their records cannot be read.
    pub(super) fn owner(&self, path: &Path, names: &[String]) -> Option<Record> {
        names.iter().find_map(|name| self.record_with_path(name, path))
    }

    /// Finds the package of kernel headers or of the kernel's build tools that contains `path`. Usually, a
    /// directory in the path has the name of the package. Otherwise, all packages with such names are
    /// searched.
    pub(super) fn owner_of_headers(&self, path: &Path) -> Option<Record> {
        let mut names: Vec<String> = path.iter().filter_map(|c| Some(c.to_str()?.to_owned())).collect();
        names.reverse();
        self.owner(path, &names).or_else(|| {
            let infos = fs::list_dir_optional(self.admin.join("info")).ok()?;
            let names = infos.iter().filter_map(|name| name.to_str()?.strip_suffix(".list"));
            let names = names.filter(|name| name.contains("headers") || name.contains("kbuild"));
            let names: Vec<String> = names.map(str::to_owned).collect();
            self.owner(path, &names)
        })
    }

    /// Returns the record of a package, if the package contains `path`. `name` is the package's name, or
    /// `NAME:ARCH` if packages of several architectures have that name.
    fn record_with_path(&self, name: &str, path: &Path) -> Option<Record> {
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return None;
        }
        let info = |suffix: &str| self.admin.join("info").join(format!("{name}.{suffix}"));
        let list = fs::read_bounded(info("list"), Limit::RECORD).ok()?;
        if !lists(&list, path) {
            return None;
        }
        let sums = fs::read_optional(info("md5sums"), Limit::RECORD).ok()?.unwrap_or_default();
        let (name, arch) = name.split_once(':').map_or((name, None), |(n, arch)| (n, Some(arch)));
        let status = self
            .status
            .get_or_init(|| fs::read_text(self.admin.join("status"), Limit::RECORD).unwrap_or_default());
        Some(Record {
            label: format!("{name}={}", version(status, name, arch)?),
            digest: digest::bytes(&sums),
            sums,
            // dpkg keeps the modification time that this file has in the package.
            created: fs::Stat::lstat(info("md5sums")).map_or(i64::MIN, |stat| stat.mtime),
            // dpkg writes this list after it has unpacked the files.
            unpacked: fs::Stat::lstat(info("list")).map_or(i64::MIN, |stat| stat.ctime),
        })
    }
}

/// Returns whether a `.list` contains a path.
fn lists(list: &[u8], path: &Path) -> bool {
    let mut names = sums::names_of(path);
    names.any(|name| list.split(|b| *b == b'\n').any(|line| line.strip_prefix(b"/") == Some(name)))
}

/// Returns the version of an installed package from the text of the `status` file.
fn version(status: &str, name: &str, arch: Option<&str>) -> Option<String> {
    let mut rest = status;
    let header = format!("Package: {name}\n");
    while let Some(at) = rest.find(&header) {
        let starts_line = at == 0 || rest.as_bytes().get(at - 1) == Some(&b'\n');
        let paragraph = rest.get(at..)?;
        let paragraph = paragraph.get(..paragraph.find("\n\n").unwrap_or(paragraph.len()))?;
        rest = rest.get(at + header.len()..)?;
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        let has_arch = arch.is_none_or(|arch| field("Architecture") == Some(arch));
        if let (true, true, Some(version)) = (starts_line, has_arch, field("Version")) {
            return Some(version.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &str = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\n\n\
        Package: lib\nArchitecture: amd64\nVersion: 4\nDescription: x\n Package: b\n\n\
        Package: lib\nArchitecture: i386\nVersion: 5\n\nPackage: removed\nStatus: deinstall ok config-files\n";

    #[test]
    fn versions() {
        let table = [
            ("a", None, Some("1:2-3")),
            ("lib", None, Some("4")),
            ("lib", Some("i386"), Some("5")),
            ("lib", Some("arm64"), None),
            ("b", None, None),
            ("removed", None, None),
            ("li", None, None),
            ("", None, None),
        ];
        for (name, arch, expected) in table {
            assert_eq!(version(STATUS, name, arch).as_deref(), expected, "{name} {arch:?}");
        }
    }

    #[test]
    fn lists_contain_complete_paths() {
        let list = b"/.\n/usr\n/usr/src/linux-headers-1\n/lib/modules/1/build\n";
        for (path, expected) in [
            ("/usr/src/linux-headers-1", true),
            ("/usr/lib/modules/1/build", true),
            ("/lib/modules/1/build", true),
            ("/usr/src/linux-headers", false),
            ("/usr/src/linux-headers-1/x", false),
        ] {
            assert_eq!(lists(list, Path::new(path)), expected, "{path}");
        }
    }

    /// A database with one package, and its header directory.
    fn database(list: &[u8], md5sums: &[u8], status: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("info")).unwrap();
        std::fs::write(dir.path().join("info/linux-headers-1.list"), list).unwrap();
        std::fs::write(dir.path().join("info/linux-headers-1.md5sums"), md5sums).unwrap();
        std::fs::write(dir.path().join("status"), status).unwrap();
        dir
    }

    #[test]
    fn the_owner_is_found_by_the_name_of_the_directory_or_by_the_list() {
        let list = b"/usr/src/linux-headers-1\n/usr/src/other-name\n";
        let dir = database(list, b"", b"Package: linux-headers-1\nVersion: 7\n");
        let dpkg = Dpkg::at(dir.path()).unwrap();
        for path in ["/usr/src/linux-headers-1", "/usr/src/other-name"] {
            let owner = dpkg.owner_of_headers(Path::new(path)).unwrap();
            assert_eq!(owner.label, "linux-headers-1=7");
        }
        assert!(dpkg.owner_of_headers(Path::new("/usr/src/linux-headers-2")).is_none());
    }

    proptest! {
        #[test]
        fn a_damaged_database_causes_no_panic(
            list in prop::collection::vec(any::<u8>(), 0..200),
            sums in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..80,
            flip in 0usize..80,
            bit in 0u8..8,
        ) {
            let path = Path::new("/usr/src/linux-headers-1");
            let mut good = b"/usr/src/linux-headers-1\nPackage: linux-headers-1\nVersion: 1\n\n".to_vec();
            good.truncate(cut);
            if let Some(byte) = good.get_mut(flip) {
                *byte ^= 1 << bit;
            }
            for text in [&list, &sums, &good] {
                let dir = database(text, &sums, &good);
                let owner = Dpkg::at(dir.path()).unwrap().owner_of_headers(path);
                let _ = owner.map(|owner| sums::digests(&owner.sums).len());
                let _ = sums::digests(text);
                let _ = version(&String::from_utf8_lossy(text), "a", Some("b"));
            }
        }
    }
}
