//! Files and directories. Every error carries the path and the operation ([`IoError`]).
//!
//! Nothing here is ever half done where it can be helped: files appear by rename, after they are on the disk.

mod beneath;
mod copy;
mod dir;
mod read;
mod remove;
mod temp;
mod trust;
mod untrusted;
mod write;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::{IoError, Result};

pub use beneath::{Escape, Last, find_escape};
pub use copy::{copy_file, copy_tree};
pub use dir::{Dir, Kind, Stat};
pub use read::{Limit, open, open_bounded, read, read_bounded, read_optional, read_start, read_text};
pub use remove::{remove_empty_below, remove_empty_dirs, remove_file, remove_tree};
pub use temp::TempDir;
pub use trust::{read_trusted, written_by_others};
pub use untrusted::{open_untrusted, read_untrusted};
pub use write::{create_new, replace_with, symlink, symlink_replace, write_atomic};

/// Makes the directory and those above it (mode 0755 less the umask).
///
/// Returns the directories it made, outermost first, so that they can be taken back.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let mut missing = Vec::new();
    for dir in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
        if dir.is_dir() {
            break;
        }
        missing.push(dir.to_owned());
    }
    let mut made = Vec::new();
    while let Some(dir) = missing.pop() {
        match std::fs::DirBuilder::new().mode(0o755).create(&dir) {
            Ok(()) => made.push(dir),
            // Somebody else may have made it just now.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            Err(e) => {
                for dir in made.iter().rev() {
                    let _ = std::fs::remove_dir(dir);
                }
                return Err(IoError::new("create directory", dir, e));
            }
        }
    }
    Ok(made)
}

/// Renames, replacing what was at `to`.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    rustix::fs::rename(from, to).map_err(|e| rename_error(from, to, e.into()))
}

/// Renames; fails with `EEXIST` when there is anything at `to` (`RENAME_NOREPLACE`).
pub fn rename_noreplace(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems (old NFS, some overlays) know no flags: look first, as well as can be done there.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !exists(to) => rename(from, to),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            Err(rename_error(from, to, rustix::io::Errno::EXIST.into()))
        }
        Err(e) => Err(rename_error(from, to, e.into())),
    }
}

/// Exchanges two existing paths in one step (`RENAME_EXCHANGE`).
///
/// `EINVAL` when the file system cannot; the caller then needs another plan, as no atomic one exists.
pub fn exchange(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<()> {
    let (a, b) = (a.as_ref(), b.as_ref());
    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(|e| rename_error(a, b, e.into()))
}

/// Names the side the error is about: the source when it is missing, or may not go to the temporary name of `to`; the
/// destination otherwise.
fn rename_error(from: &Path, to: &Path, source: std::io::Error) -> IoError {
    let hidden = |p: &Path| p.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
    let denied = matches!(source.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM));
    let missing = source.kind() == std::io::ErrorKind::NotFound && !exists(from);
    if missing || (denied && hidden(to) && !hidden(from)) {
        IoError::new("rename", from, source)
    } else {
        IoError::new("rename to", to, source)
    }
}

/// Gives a file a second name. Fails when there is anything at `to`.
pub fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    std::fs::hard_link(from, to).map_err(|e| IoError::new("link", to, e))
}

/// Whether two paths are names of one file (`lstat`: of a link itself, not of what it points to).
pub fn same_file(a: impl AsRef<Path>, b: impl AsRef<Path>) -> bool {
    match (a.as_ref().symlink_metadata(), b.as_ref().symlink_metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Where the symbolic link points, as written in it.
pub fn read_link(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    std::fs::read_link(path).map_err(|e| IoError::new("read link", path, e))
}

/// The names in a directory, sorted by their bytes, without `.` and `..`.
pub fn list_dir(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    let path = path.as_ref();
    let error = |e| IoError::new("list", path, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        names.push(entry.map_err(error)?.file_name());
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// As [`list_dir`], but empty when the directory does not exist. A file in its place is an error.
pub fn list_dir_optional(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    let path = path.as_ref();
    match list_dir(path) {
        Err(e) if e.is_absent() && (e.is_not_found() || !exists(path)) => Ok(Vec::new()),
        other => other,
    }
}

/// Makes sure that a directory of our own, where it exists, is a directory itself: whoever puts a link in its place decides
/// where we create and delete files.
///
/// # Errors
/// It is a link or no directory.
pub fn refuse_foreign_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if meta.is_dir() {
        return Ok(());
    }
    let what = format!("it is {}, not a directory (remove it)", read::name_of(meta.file_type()));
    Err(IoError::new("use", path, std::io::Error::new(std::io::ErrorKind::InvalidInput, what)))
}

/// A directory, symbolic links followed (`stat`). Unreadable counts as no.
pub fn is_dir(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_dir()
}

/// A regular file, symbolic links followed (`stat`). Unreadable counts as no.
pub fn is_file(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_file()
}

/// There is something behind this path, symbolic links followed (`stat`); a dangling link counts as no.
pub fn exists_followed(path: impl AsRef<Path>) -> bool {
    path.as_ref().exists()
}

/// There is something with this name, be it a dangling link (`lstat`).
pub fn exists(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok()
}

/// The name itself is a symbolic link (`lstat`).
pub fn is_symlink(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_symlink()
}

/// The name itself is a directory, not a link to one (`lstat`).
pub fn is_real_dir(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// The name itself is a regular file, not a link to one (`lstat`).
pub fn is_real_file(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok_and(|m| m.is_file())
}

/// A regular file that somebody may execute, symbolic links followed.
pub fn is_executable(path: impl AsRef<Path>) -> bool {
    path.as_ref().metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
}

/// Whether two files hold the same bytes. Sizes are compared first, then contents in chunks.
pub fn same_contents(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<bool> {
    let (a, b) = (a.as_ref(), b.as_ref());
    let (mut left, mut right) = (open_bounded(a, Limit::COPIED)?, open_bounded(b, Limit::COPIED)?);
    let size = |file: &File, path| file.metadata().map_err(|e| IoError::new("examine", path, e));
    let (left_meta, right_meta) = (size(&left, a)?, size(&right, b)?);
    if left_meta.dev() == right_meta.dev() && left_meta.ino() == right_meta.ino() {
        return Ok(true);
    }
    if left_meta.len() != right_meta.len() {
        return Ok(false);
    }
    let (mut left_chunk, mut right_chunk) = (Vec::new(), Vec::new());
    loop {
        read_chunk(&mut left, &mut left_chunk).map_err(|e| IoError::new("read", a, e))?;
        read_chunk(&mut right, &mut right_chunk).map_err(|e| IoError::new("read", b, e))?;
        if left_chunk != right_chunk {
            return Ok(false);
        }
        if left_chunk.is_empty() {
            return Ok(true);
        }
    }
}

fn read_chunk(file: &mut File, chunk: &mut Vec<u8>) -> std::io::Result<()> {
    chunk.clear();
    file.take(64 * 1024).read_to_end(chunk).map(drop)
}

/// Creates or empties a file for writing (logs and the like, that are written bit by bit). A link or a special file of
/// that name is an error.
pub fn create_truncated(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .mode(0o666)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| IoError::new("create", path, e))?;
    only_regular(path, &file, "create")?;
    file.set_len(0).map_err(|e| IoError::new("write", path, e))?;
    Ok(file)
}

/// Opens a file for writing at its end, and creates it if it is missing. A link or a special file of that name is an error.
pub fn open_append(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o666)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| IoError::new("write", path, e))?;
    only_regular(path, &file, "write")?;
    Ok(file)
}

/// Fails if an open file is not a regular one.
pub(crate) fn only_regular(path: &Path, file: &File, op: &'static str) -> Result<()> {
    let kind = file.metadata().map_err(|e| IoError::new("examine", path, e))?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = format!("it is {}, not a regular file (remove it)", read::name_of(kind));
    Err(IoError::new(op, path, std::io::Error::new(std::io::ErrorKind::InvalidInput, what)))
}

/// Brings everything to the disk that was written on the file system of `path`.
pub fn sync_file_system(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| IoError::new("open", path, e))?;
    rustix::fs::syncfs(&file).map_err(|e| IoError::new("sync", path, e))
}

/// Brings a directory's entries to the disk (`fsync` of the directory).
pub fn sync_dir(path: impl AsRef<Path>) -> Result<()> {
    sync(path.as_ref())
}

/// Brings a file's contents to the disk (`fsync`).
pub fn sync_file(path: impl AsRef<Path>) -> Result<()> {
    sync(path.as_ref())
}

fn sync(path: &Path) -> Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| IoError::new("open", path, e))?;
    match file.sync_all() {
        // File systems that cannot sync a directory say EINVAL; there is nothing more to do there.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.map_err(|e| IoError::new("sync", path, e)),
    }
}

/// Bytes an unprivileged user can still write on the file system of `path`.
pub fn free_space(path: impl AsRef<Path>) -> Result<u64> {
    crate::error::free_space(path.as_ref())
}

/// Whether the effective user may write here (`faccessat` with `AT_EACCESS`); also false on read-only file systems.
pub fn writable(path: impl AsRef<Path>) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_ref().as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` is a NUL-terminated string that lives through the call. libc's form works on kernels without
    // faccessat2 as well.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// As [`writable`], with the reason why not.
pub fn require_writable(path: impl AsRef<Path>) -> Result<()> {
    if writable(&path) {
        return Ok(());
    }
    // Nothing but plain system calls came between.
    let source = std::io::Error::last_os_error();
    Err(IoError::new("write to", path, source))
}

/// As [`require_writable`], for a directory that may still have to be made: the nearest one that exists counts.
pub fn require_writable_below(dir: impl AsRef<Path>) -> Result<()> {
    dir.as_ref().ancestors().find(|d| exists(d)).map_or(Ok(()), require_writable)
}

/// Sets the permission bits.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = path.as_ref();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| IoError::new("change the mode of", path, e))
}

/// Sets the modification time of a file or directory; links are followed.
pub fn set_modified(path: impl AsRef<Path>, time: std::time::SystemTime) -> Result<()> {
    use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT};
    let path = path.as_ref();
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: since.subsec_nanos().into(),
        },
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())
        .map_err(|e| IoError::new("set the time of", path, e))
}

/// Gives the file or directory to a user and a group; symbolic links themselves, not what they point to.
pub fn set_owner(path: impl AsRef<Path>, uid: u32, gid: u32) -> Result<()> {
    let path = path.as_ref();
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
        .map_err(|e| IoError::new("change the owner of", path, e))
}

/// The path without links, `.` and `..`.
pub fn canonicalize(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    std::fs::canonicalize(path).map_err(|e| IoError::new("resolve", path, e))
}

/// What `lstat` says.
pub fn symlink_metadata(path: impl AsRef<Path>) -> Result<std::fs::Metadata> {
    let path = path.as_ref();
    std::fs::symlink_metadata(path).map_err(|e| IoError::new("examine", path, e))
}

/// What `stat` says.
pub fn metadata(path: impl AsRef<Path>) -> Result<std::fs::Metadata> {
    let path = path.as_ref();
    std::fs::metadata(path).map_err(|e| IoError::new("examine", path, e))
}
