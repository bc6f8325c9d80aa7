//! Reads below an open directory, with short paths and few system calls. Nothing is changed. Everything that
//! cannot be read is treated as missing.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, readlinkat, statat};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// The type of an entry, as stored in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// The values of stat(2) that change when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Size in bytes.
    pub size: u64,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime: i64,
}

impl Dir {
    /// Opens a directory.
    pub fn open(path: impl AsRef<Path>) -> Option<Self> {
        Self::at(rustix::fs::CWD, path.as_ref())
    }

    fn at(base: impl std::os::fd::AsFd, path: &Path) -> Option<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        openat(base, path, flags, Mode::empty()).ok().map(Self)
    }

    /// Opens a directory below.
    pub fn below(&self, name: impl AsRef<Path>) -> Option<Self> {
        Self::at(&self.0, name.as_ref())
    }

    /// The names in it that are text and do not begin with a dot, sorted bytewise. Can be called only once.
    pub fn entries(&self) -> Vec<(String, Kind)> {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 4096];
        let mut raw = RawDir::new(&self.0, &mut buffer);
        let mut entries = Vec::new();
        while let Some(Ok(entry)) = raw.next() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not store the type.
                FileType::Unknown => self.kind(name),
                kind => Self::kind_of(kind),
            };
            entries.push((name.to_owned(), kind));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        entries
    }

    fn kind_of(kind: FileType) -> Kind {
        match kind {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }
    }

    fn kind(&self, name: &str) -> Kind {
        statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(Kind::Other, |s| Self::kind_of(FileType::from_raw_mode(s.st_mode)))
    }

    /// The number of subdirectories of the directory `name`, including hidden ones, if the file system counts
    /// them as links (ext4, xfs, tmpfs; btrfs and overlayfs always report 1). `None` if it does not count
    /// them or it is not a directory.
    pub fn subdirectories(&self, name: impl AsRef<Path>) -> Option<u64> {
        let stat = statat(&self.0, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        #[allow(clippy::unnecessary_cast)]
        let links = stat.st_nlink as u64;
        links.checked_sub(2).filter(|_| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    }

    /// Whether a name leads to a directory, following links.
    pub fn has_dir(&self, name: impl AsRef<Path>) -> bool {
        statat(&self.0, name.as_ref(), AtFlags::empty())
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
    }

    /// Examines the name itself, without following a link.
    pub fn stat(&self, name: impl AsRef<Path>) -> Option<Stat> {
        statat(&self.0, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW).ok().map(Stat::from)
    }

    /// The target of a link.
    pub fn link(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        let target = readlinkat(&self.0, name.as_ref(), Vec::new()).ok()?;
        Some(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    /// Reads a regular file. `buffer` holds the bytes and can be reused. `None` if this fails or the file is
    /// larger than 16 MiB.
    pub fn read<'b>(&self, name: impl AsRef<Path>, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        const LIMIT: usize = 16 << 20;
        // Opening a device can have side effects, so check the type first. O_NONBLOCK covers a file that is
        // replaced after the check.
        let stat = statat(&self.0, name.as_ref(), AtFlags::empty()).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(&self.0, name.as_ref(), flags, Mode::empty()).ok()?;
        let mut filled = 0;
        loop {
            // One call is enough for most files: the buffer is larger than the file, so a short read is the
            // end.
            if buffer.len() < filled + 8 * 1024 {
                buffer.resize((filled * 2).max(16 * 1024), 0);
            }
            let room = buffer.get_mut(filled..)?;
            let want = room.len();
            match rustix::io::read(&file, room) {
                Ok(n) if n < want => return buffer.get(..filled + n),
                Ok(n) => filled += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
            if filled > LIMIT {
                return None;
            }
        }
    }
}

impl Stat {
    /// Examines the path itself, without following a link; `None` if it does not exist.
    pub fn lstat(path: impl AsRef<Path>) -> Option<Self> {
        rustix::fs::lstat(path.as_ref()).ok().map(Self::from)
    }

    /// Examines the file that a path leads to, following links; `None` if it does not exist.
    pub fn following_links(path: impl AsRef<Path>) -> Option<Self> {
        rustix::fs::stat(path.as_ref()).ok().map(Self::from)
    }
}

impl From<rustix::fs::Stat> for Stat {
    fn from(s: rustix::fs::Stat) -> Self {
        // The types of the fields differ between architectures.
        #[allow(clippy::unnecessary_cast)]
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
        Self {
            size: s.st_size as u64,
            inode: s.st_ino as u64,
            device: s.st_dev as u64,
            mtime: nanoseconds(s.st_mtime as i64, s.st_mtime_nsec as i64),
            ctime: nanoseconds(s.st_ctime as i64, s.st_ctime_nsec as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_below_an_open_directory() {
        let t = crate::fs::TempDir::new_in(std::env::temp_dir(), "dir").unwrap();
        std::fs::create_dir_all(t.path().join("b/c")).unwrap();
        std::fs::write(t.path().join("a"), vec![7u8; 40_000]).unwrap();
        std::fs::write(t.path().join(".hidden"), "x").unwrap();
        std::os::unix::fs::symlink("b", t.path().join("l")).unwrap();
        let d = Dir::open(t.path()).unwrap();
        let names = [("a", Kind::Other), ("b", Kind::Directory), ("l", Kind::Link)];
        assert_eq!(d.entries(), names.map(|(n, k)| (n.to_owned(), k)));
        assert!(d.has_dir("b/c") && d.has_dir("l") && !d.has_dir("a") && !d.has_dir("none"));
        assert_eq!(d.link("l"), Some("b".into()));
        let mut buffer = Vec::new();
        assert_eq!(d.read("a", &mut buffer), Some(&[7u8; 40_000][..]));
        std::fs::write(t.path().join("a"), "short").unwrap();
        assert_eq!(d.read("a", &mut buffer), Some(&b"short"[..]));
        assert!(d.read("none", &mut buffer).is_none() && d.read("b", &mut buffer).is_none());
        assert_eq!(d.stat("a").map(|s| s.size), Some(5));
        assert_eq!(d.stat("a"), Stat::lstat(t.path().join("a")));
        assert_eq!(d.below("b").map(|b| b.entries().len()), Some(1));
        let counted = d.subdirectories("b");
        assert!(counted.is_none() || counted == Some(1), "{counted:?}");
    }
}
