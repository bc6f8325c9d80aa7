//! Files and directories. Every error contains the path and the operation ([`IoError`]).
//!
//! New files are complete on disk before a rename makes them visible.

mod beneath;
mod copy;
mod dir;
mod read;
mod remove;
mod scan;
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
pub use read::{
    Limit, is_masked, open, open_bounded, read, read_bounded, read_optional, read_start, read_text,
};
pub use remove::{remove_empty_below, remove_empty_dirs, remove_file, remove_tree};
pub use scan::{Scanned, ScannedKind, scan};
pub use temp::TempDir;
pub use trust::{Distrust, read_trusted, written_by_others};
pub use untrusted::{open_untrusted, read_untrusted};
pub use write::{create_new, replace_with, symlink, symlink_replace, write_atomic, write_unsynced};

/// Creates the directory and its parents (mode 0755 without the bits of the umask).
///
/// Returns the directories that it created, outermost first, so that they can be removed again.
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
            // Another process may have created it in the meantime.
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

/// Renames a file, replacing `to` if it exists.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    rustix::fs::rename(from, to).map_err(|e| rename_error(from, to, e.into()))
}

/// Renames a file. Fails with `EEXIST` if `to` exists (`RENAME_NOREPLACE`).
pub fn rename_noreplace(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems (old NFS, some overlays) do not support flags, so check first, although this is
        // not atomic.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !exists(to) => rename(from, to),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            Err(rename_error(from, to, rustix::io::Errno::EXIST.into()))
        }
        Err(e) => Err(rename_error(from, to, e.into())),
    }
}

/// Exchanges two existing paths atomically (`RENAME_EXCHANGE`).
///
/// Fails with `EINVAL` if the file system does not support this; then there is no atomic alternative.
pub fn exchange(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<()> {
    let (a, b) = (a.as_ref(), b.as_ref());
    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(|e| rename_error(a, b, e.into()))
}

/// Uses the path that caused the error: the source if it is missing or may not be renamed to the temporary
/// name of `to`, otherwise the destination.
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

/// Gives a file a second name. Fails if `to` exists.
pub fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    std::fs::hard_link(from, to).map_err(|e| IoError::new("link", to, e))
}

/// Whether two paths are names of the same file (`lstat`: a link is compared itself).
pub fn same_file(a: impl AsRef<Path>, b: impl AsRef<Path>) -> bool {
    match (a.as_ref().symlink_metadata(), b.as_ref().symlink_metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// The target of a symbolic link, as written in it.
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

/// The entries of a directory, in its own order, for callers that need their types as well.
///
/// # Errors
/// It cannot be read, or not to its end.
pub fn read_dir(path: impl AsRef<Path>) -> Result<Vec<std::fs::DirEntry>> {
    let path = path.as_ref();
    let all = std::fs::read_dir(path).and_then(Iterator::collect);
    all.map_err(|e| IoError::new("list", path, e))
}

/// Whether a directory has no entries.
///
/// # Errors
/// It cannot be read.
pub fn is_empty_dir(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    let first = std::fs::read_dir(path).and_then(|mut entries| entries.next().transpose());
    first.map(|entry| entry.is_none()).map_err(|e| IoError::new("list", path, e))
}

/// Removes an empty directory.
///
/// # Errors
/// It is not empty, does not exist, or cannot be removed.
pub fn remove_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    std::fs::remove_dir(path).map_err(|e| IoError::new("remove", path, e))
}

/// Like [`list_dir`], but empty if the directory does not exist. A file in its place is an error.
pub fn list_dir_optional(path: impl AsRef<Path>) -> Result<Vec<OsString>> {
    let path = path.as_ref();
    match list_dir(path) {
        Err(e) if e.is_absent() && (e.is_not_found() || !exists(path)) => Ok(Vec::new()),
        other => other,
    }
}

/// Checks that one of dkms's own directories is a real directory, if it exists. If it were a link, its
/// creator would decide where dkms creates and removes files.
///
/// # Errors
/// It is a link or not a directory.
pub fn refuse_foreign_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if meta.is_dir() {
        return Ok(());
    }
    let what = format!("it is {}, not a directory (remove it)", read::describe(meta.file_type()));
    Err(IoError::new("use", path, std::io::Error::new(std::io::ErrorKind::InvalidInput, what)))
}

/// Whether the path is a directory, following symbolic links (`stat`). `false` if this cannot be determined.
pub fn is_dir(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_dir()
}

/// Whether the path is a regular file, following symbolic links (`stat`). `false` if this cannot be
/// determined.
pub fn is_file(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_file()
}

/// Whether the path exists, following symbolic links (`stat`); `false` for a dangling link.
pub fn exists_followed(path: impl AsRef<Path>) -> bool {
    path.as_ref().exists()
}

/// Whether the name exists, even as a dangling link (`lstat`).
pub fn exists(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok()
}

/// Whether the name itself is a symbolic link (`lstat`).
pub fn is_symlink(path: impl AsRef<Path>) -> bool {
    path.as_ref().is_symlink()
}

/// Whether the name itself is a directory, not a link to one (`lstat`).
pub fn is_real_dir(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// Whether the name itself is a regular file, not a link to one (`lstat`).
pub fn is_real_file(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok_and(|m| m.is_file())
}

/// Whether the path is a regular file with an execute permission, following symbolic links.
pub fn is_executable(path: impl AsRef<Path>) -> bool {
    path.as_ref().metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
}

/// Whether two files have the same contents. Sizes are compared first, then contents in chunks.
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

/// Creates or truncates a file for writing, such as a log. A link or a special file with that name is an
/// error. A file with other names (hard links) is replaced, so that its contents are kept under those names.
pub fn create_truncated(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let file = open_own(path, OpenOptions::new().write(true), "create")?;
    file.set_len(0).map_err(|e| IoError::new("write", path, e))?;
    Ok(file)
}

/// Opens a file for appending, and creates it if it is missing. A link or a special file with that name is an
/// error. A file with other names (hard links) is replaced by an empty one.
pub fn open_append(path: impl AsRef<Path>) -> Result<File> {
    open_own(path.as_ref(), OpenOptions::new().append(true), "write")
}

fn open_own(path: &Path, options: &mut OpenOptions, op: &'static str) -> Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = options.create(true).mode(0o666).custom_flags(flags).open(path);
    let file = file.map_err(|e| IoError::new(op, path, e))?;
    only_regular(path, &file, op)?;
    with_one_name(path, file, op)
}

/// Replaces a file with several names by a new one. The other names may be outside the tree or image of
/// `path`, and keep the old contents.
fn with_one_name(path: &Path, file: File, op: &'static str) -> Result<File> {
    if file.metadata().map_err(|e| IoError::new("examine", path, e))?.nlink() <= 1 {
        return Ok(file);
    }
    std::fs::remove_file(path).map_err(|e| IoError::new("remove", path, e))?;
    // O_EXCL: if another file appears there in the meantime, it is not opened.
    let new = OpenOptions::new().append(true).create(true).mode(0o666).custom_flags(libc::O_EXCL).open(path);
    new.map_err(|e| IoError::new(op, path, e))
}

/// Fails if an open file is not a regular file.
pub(crate) fn only_regular(path: &Path, file: &File, op: &'static str) -> Result<()> {
    let kind = file.metadata().map_err(|e| IoError::new("examine", path, e))?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = format!("it is {}, not a regular file (remove it)", read::describe(kind));
    Err(IoError::new(op, path, std::io::Error::new(std::io::ErrorKind::InvalidInput, what)))
}

/// Syncs the file system of `path`.
pub fn sync_file_system(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| IoError::new("open", path, e))?;
    rustix::fs::syncfs(&file).map_err(|e| IoError::new("sync", path, e))
}

/// Syncs a directory's entries (`fsync` of the directory).
pub fn sync_dir(path: impl AsRef<Path>) -> Result<()> {
    sync(path.as_ref())
}

/// Syncs a file's contents (`fsync`).
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
        // File systems that cannot sync a directory return EINVAL, which is ignored.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other.map_err(|e| IoError::new("sync", path, e)),
    }
}

/// The number of bytes that an unprivileged user can still write on the file system of `path`.
pub fn free_space(path: impl AsRef<Path>) -> Result<u64> {
    crate::error::free_space(path.as_ref())
}

/// Whether the effective user may write here (`faccessat` with `AT_EACCESS`); also false on read-only file
/// systems.
pub fn writable(path: impl AsRef<Path>) -> bool {
    allows(path.as_ref(), libc::W_OK)
}

/// Whether this is a directory whose entries the effective user cannot list or reach.
pub fn is_hidden_dir(path: impl AsRef<Path>) -> bool {
    // In this order: almost all directories pass the first check, and `status` asks for each package.
    !allows(path.as_ref(), libc::R_OK | libc::X_OK) && is_real_dir(&path)
}

fn allows(path: &Path, mode: libc::c_int) -> bool {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` is a NUL-terminated string that lives through the call. libc's form works on kernels
    // without faccessat2 as well.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) == 0 }
}

/// Like [`writable`], but returns the reason as an error.
pub fn require_writable(path: impl AsRef<Path>) -> Result<()> {
    if writable(&path) {
        return Ok(());
    }
    // No other system call has changed errno in between.
    let source = std::io::Error::last_os_error();
    Err(IoError::new("write to", path, source))
}

/// Like [`require_writable`], for a directory that may not exist yet: the nearest existing parent is checked.
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

/// Sets the modification time of a file or directory, following links.
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

/// Changes the owner and group of a file or directory, without following symbolic links.
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

/// The result of `lstat`.
pub fn symlink_metadata(path: impl AsRef<Path>) -> Result<std::fs::Metadata> {
    let path = path.as_ref();
    std::fs::symlink_metadata(path).map_err(|e| IoError::new("examine", path, e))
}

/// The result of `stat`.
pub fn metadata(path: impl AsRef<Path>) -> Result<std::fs::Metadata> {
    let path = path.as_ref();
    std::fs::metadata(path).map_err(|e| IoError::new("examine", path, e))
}
