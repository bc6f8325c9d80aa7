//! Lists everything below a directory, with the data that shows whether a file has changed, in few system
//! calls.

use super::dir::Stat;
use crate::{IoError, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, statat};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The maximum number of levels of directories. No source tree has as many.
const DEPTH: usize = 64;

/// An entry below the directory of a [`scan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its path, which begins with the path of the directory.
    pub path: PathBuf,
    /// Its type.
    pub kind: ScannedKind,
    /// The data of the entry itself, without following a link.
    pub stat: Stat,
}

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScannedKind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A regular file with an execute bit.
    Executable,
    /// Another regular file.
    File,
    /// A socket, a device, a named pipe.
    Special,
}

/// Lists the entries below a directory in the order of their paths, so a directory comes before its entries.
/// Links are not followed. `includes` gets the directory and the name of an entry; if it returns false, the
/// entry and everything below it are left out. If `path` is not a directory, it is the only entry.
///
/// # Errors
/// A directory cannot be read; there are more entries than `limit`, or more than 64 levels.
pub fn scan(
    path: impl AsRef<Path>,
    includes: &dyn Fn(&Path, &OsStr) -> bool,
    limit: usize,
) -> Result<Vec<Scanned>> {
    let path = path.as_ref();
    let mut all = Vec::new();
    let stat = rustix::fs::lstat(path).map_err(|e| IoError::new("examine", path, e))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let dir = open(rustix::fs::CWD, path.as_os_str(), path)?;
        add_entries(&dir, path, &Rules { includes, limit }, 0, &mut all)?;
    } else {
        all.push(Scanned { path: path.to_owned(), kind: kind(&stat), stat: stat.into() });
    }
    Ok(all)
}

struct Rules<'a> {
    includes: &'a dyn Fn(&Path, &OsStr) -> bool,
    limit: usize,
}

fn add_entries(
    dir: &OwnedFd,
    path: &Path,
    rules: &Rules<'_>,
    depth: usize,
    all: &mut Vec<Scanned>,
) -> Result<()> {
    for name in names(dir, path)? {
        if !(rules.includes)(path, &name) {
            continue;
        }
        let path = path.join(&name);
        let stat = match statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It was removed in the meantime.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(e) => return Err(IoError::new("examine", path, e)),
        };
        if all.len() >= rules.limit || depth >= DEPTH {
            let reason = std::io::Error::other("there are more files or levels below it than dkms reads");
            return Err(IoError::new("examine", path, reason));
        }
        let kind = kind(&stat);
        all.push(Scanned { path: path.clone(), kind, stat: stat.into() });
        if kind == ScannedKind::Directory {
            let dir = open(dir, &name, &path)?;
            add_entries(&dir, &path, rules, depth + 1, all)?;
        }
    }
    Ok(())
}

fn open(base: impl std::os::fd::AsFd, name: &OsStr, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(base, name, flags, Mode::empty()).map_err(|e| IoError::new("open", path, e))
}

fn names(dir: &OwnedFd, path: &Path) -> Result<Vec<OsString>> {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 32 * 1024];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry.map_err(|e| IoError::new("read directory", path, e))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn kind(stat: &rustix::fs::Stat) -> ScannedKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => ScannedKind::Directory,
        FileType::Symlink => ScannedKind::Link,
        FileType::RegularFile if stat.st_mode & 0o111 != 0 => ScannedKind::Executable,
        FileType::RegularFile => ScannedKind::File,
        _ => ScannedKind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_with_their_kinds() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("b/.hidden")).unwrap();
        std::fs::create_dir_all(at("left-out/x")).unwrap();
        std::fs::write(at("b/.hidden/file"), "x").unwrap();
        std::fs::write(at("a"), "").unwrap();
        super::super::set_mode(at("a"), 0o755).unwrap();
        std::os::unix::fs::symlink("b", at("c")).unwrap();
        let wanted = |_: &Path, name: &OsStr| name != "left-out";
        let all = scan(dir.path(), &wanted, 100).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|s| (s.path.strip_prefix(dir.path()).unwrap().to_str().unwrap(), s.kind))
            .collect();
        let expected = [
            ("a", ScannedKind::Executable),
            ("b", ScannedKind::Directory),
            ("b/.hidden", ScannedKind::Directory),
            ("b/.hidden/file", ScannedKind::File),
            ("c", ScannedKind::Link),
        ];
        assert_eq!(seen, expected);
        assert_eq!(scan(at("b/.hidden/file"), &wanted, 100).unwrap().len(), 1);
        assert!(scan(dir.path(), &wanted, 3).is_err());
        assert!(scan(at("nothing"), &wanted, 3).is_err());
    }
}
