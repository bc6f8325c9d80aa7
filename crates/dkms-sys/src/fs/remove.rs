//! Removes files and trees, relative to open directories, so that a link that is created in the meantime is
//! never followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::{IoError, Result};

/// Deeper trees are refused, because each level keeps a file open.
const MAX_DEPTH: usize = 512;

/// Removes a file or link. Returns `false` if it did not exist.
pub fn remove_file(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    match rustix::fs::unlink(path) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(e) if refused_although_missing(e, path) => Ok(false),
        Err(e) => Err(IoError::new("remove", path, e)),
    }
}

/// Whether this is an error although the file does not exist: read-only file systems and directories without
/// write permission refuse to remove even missing files.
fn refused_although_missing(e: Errno, path: &Path) -> bool {
    matches!(e, Errno::ROFS | Errno::ACCESS | Errno::PERM)
        && matches!(rustix::fs::lstat(path), Err(Errno::NOENT | Errno::NOTDIR))
}

/// Removes a file, link or directory with its contents. Returns `false` if it did not exist.
///
/// Symbolic links are removed, never followed. Directories without write permission are made writable first.
/// On an error it continues as far as possible and reports the first one.
pub fn remove_tree(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    match rustix::fs::unlink(path) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(e) if refused_although_missing(e, path) => return Ok(false),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) if !super::is_real_dir(path) => return Err(IoError::new("remove", path, e)),
        Err(_) => {}
    }
    empty_directory(CWD, path, path, 0)?;
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(e) => Err(IoError::new("remove", path, e)),
    }
}

fn open_directory(at: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, name, flags, Mode::empty()) {
        // The directory is not readable, but its owner may change that. O_NOFOLLOW has not been checked yet,
        // so check the type first.
        Err(Errno::ACCESS) if is_directory(at, name) => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(at, name, flags, Mode::empty())
        }
        other => other,
    }
}

fn is_directory(at: BorrowedFd<'_>, name: impl rustix::path::Arg) -> bool {
    rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// Removes everything in the directory `name` of `at`. `shown` is its path for messages.
fn empty_directory(
    at: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    shown: &Path,
    depth: usize,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(IoError::new(
            "remove",
            shown,
            std::io::Error::other("directories are nested too deeply"),
        ));
    }
    let fd = open_directory(at, name).map_err(|e| IoError::new("open", shown, e))?;
    let mut first_error = None;
    for entry in Dir::read_from(&fd).map_err(|e| IoError::new("list", shown, e))? {
        let entry = entry.map_err(|e| IoError::new("list", shown, e))?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        if let Err(e) = remove_entry(fd.as_fd(), entry.file_name(), shown, depth) {
            first_error.get_or_insert(e);
        }
    }
    first_error.map_or(Ok(()), Err)
}

fn remove_entry(dir: BorrowedFd<'_>, name: &CStr, shown: &Path, depth: usize) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = || shown.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let unlink = |flags| rustix::fs::unlinkat(dir, name, flags);
    let mut result = unlink(AtFlags::empty());
    if result == Err(Errno::ACCESS) && rustix::fs::fchmod(dir, Mode::RWXU).is_ok() {
        result = unlink(AtFlags::empty());
    }
    match result {
        Err(Errno::ISDIR | Errno::PERM) if is_directory(dir, name) => {
            empty_directory(dir, name, &path(), depth + 1)?;
            result = unlink(AtFlags::REMOVEDIR);
        }
        _ => {}
    }
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(IoError::new("remove", path(), e)),
    }
}

/// Removes `dir` and its parents while they are empty, up to but not including `stop_at` (like `rmdir -p`).
///
/// Does nothing if `dir` is not below `stop_at`. Returns the removed directories, innermost first.
pub fn remove_empty_dirs(dir: impl AsRef<Path>, stop_at: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let (dir, stop_at) = (dir.as_ref(), stop_at.as_ref());
    let mut removed = Vec::new();
    if !dir.starts_with(stop_at) || dir.components().any(|c| c == std::path::Component::ParentDir) {
        return Ok(removed);
    }
    for dir in dir.ancestors().take_while(|d| *d != stop_at && d.starts_with(stop_at)) {
        match rustix::fs::rmdir(dir) {
            Ok(()) => removed.push(dir.to_owned()),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => break,
            Err(e) => return Err(IoError::new("remove", dir, e)),
        }
    }
    Ok(removed)
}

/// Removes every empty directory below `root`, including those that become empty, but not `root` itself.
/// Links are not followed. Returns the number of removed directories.
pub fn remove_empty_below(root: impl AsRef<Path>) -> Result<usize> {
    let root = root.as_ref();
    match open_directory(CWD, root) {
        Ok(fd) => {
            let mut count = 0;
            remove_empty(&fd, root, 0, &mut count)?;
            Ok(count)
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(0),
        Err(e) => Err(IoError::new("open", root, e)),
    }
}

/// Removes the empty directories in an open directory, and adds their number to `count`. Returns whether the
/// directory is empty now.
fn remove_empty(fd: &OwnedFd, shown: &Path, depth: usize, count: &mut usize) -> Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    if depth > MAX_DEPTH {
        return Ok(false);
    }
    let mut empty = true;
    for entry in Dir::read_from(fd).map_err(|e| IoError::new("list", shown, e))? {
        let entry = entry.map_err(|e| IoError::new("list", shown, e))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = shown.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let gone = is_directory(fd.as_fd(), name)
            && match open_directory(fd.as_fd(), name) {
                Ok(sub) => remove_empty(&sub, &path, depth + 1, count)?,
                Err(_) => false,
            }
            && match rustix::fs::unlinkat(fd, name, AtFlags::REMOVEDIR) {
                Ok(()) => true,
                Err(Errno::NOTEMPTY | Errno::BUSY | Errno::NOENT) => false,
                Err(e) => return Err(IoError::new("remove", path, e)),
            };
        *count += usize::from(gone);
        empty &= gone;
    }
    Ok(empty)
}
