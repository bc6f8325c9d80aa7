//! Copies files and trees, and shares blocks if the file system supports it (`FICLONE`).

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::read::{self, Limit};
use crate::{IoError, Result};

/// Copies one file with its mode and modification time. An existing `dst` is replaced: it is unlinked first,
/// so that a link or another hard link to it is not written to. Links in `src` are followed. Returns the
/// number of bytes.
///
/// Shares blocks if possible, otherwise lets the kernel copy, otherwise reads and writes.
pub fn copy_file(src: impl AsRef<Path>, dst: impl AsRef<Path>) -> Result<u64> {
    let (src, dst) = (src.as_ref(), dst.as_ref());
    let source = super::open_bounded(src, Limit::COPIED)?;
    let meta = source.metadata().map_err(|e| IoError::new("examine", src, e))?;
    copy_open_file(source, src, &meta, dst, false)
}

fn copy_open_file(mut source: File, src: &Path, meta: &Metadata, dst: &Path, owner: bool) -> Result<u64> {
    let error = |e| IoError::new("write", dst, e);
    super::remove_file(dst)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dst).map_err(error)?;
    let result = clone_or_copy(&mut source, &mut target).and_then(|size| {
        if owner {
            std::os::unix::fs::fchown(&target, Some(meta.uid()), Some(meta.gid()))?;
        }
        target.set_permissions(std::fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        rustix::fs::futimens(&target, &times(meta))?;
        Ok(size)
    });
    result.map_err(|e| {
        let _ = std::fs::remove_file(dst);
        // Most errors concern the target, and "no space" with the path of the source would be misleading.
        if e.raw_os_error() == Some(libc::EISDIR) {
            IoError::new("read", src, e)
        } else {
            error(e).needing(meta.len())
        }
    })
}

fn clone_or_copy(source: &mut File, target: &mut File) -> std::io::Result<u64> {
    if rustix::fs::ioctl_ficlone(&*target, &*source).is_ok() {
        return Ok(target.metadata()?.len());
    }
    // std uses copy_file_range or sendfile between files and falls back to read and write.
    std::io::copy(source, target)
}

fn times(meta: &Metadata) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: meta.atime(), tv_nsec: meta.atime_nsec() as _ },
        last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() as _ },
    }
}

/// Copies a file or a directory with its contents, like `cp -a`: links stay links, modes and modification
/// times are kept, and owners too if the user is root. `src` itself is followed if it is a link. `dst` may be
/// an existing directory, in which files of the same names are replaced.
///
/// Sockets, devices and FIFOs below `src` are skipped; their paths are returned. Extended attributes and hard
/// links between files are not kept.
pub fn copy_tree(src: impl AsRef<Path>, dst: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let src = super::canonicalize(src)?;
    let dst = dst.as_ref();
    let meta = super::metadata(&src)?;
    // Copying a tree into itself would never end.
    if meta.is_dir() {
        let target = super::write::parent(dst);
        if let Ok(real) = std::fs::canonicalize(target) {
            if real.starts_with(&src) && !super::is_symlink(dst) {
                let reason = std::io::Error::other("the destination is inside the source");
                return Err(IoError::new("copy a tree into", dst, reason));
            }
        }
    }
    if !meta.is_dir() && !meta.is_file() {
        let what =
            format!("it is {}, neither a directory nor a regular file", read::describe(meta.file_type()));
        return Err(IoError::new("copy", src, std::io::Error::new(std::io::ErrorKind::InvalidInput, what)));
    }
    let owner = rustix::process::geteuid().is_root();
    let mut left_out = Vec::new();
    copy_any(&src, dst, owner, &mut left_out)?;
    Ok(left_out)
}

fn copy_any(src: &Path, dst: &Path, owner: bool, left_out: &mut Vec<PathBuf>) -> Result<()> {
    let meta = super::symlink_metadata(src)?;
    let kind = meta.file_type();
    if kind.is_dir() {
        copy_directory(src, &meta, dst, owner, left_out)
    } else if kind.is_symlink() {
        copy_link(src, &meta, dst, owner)
    } else if kind.is_file() {
        read::check_size(src, &meta, Limit::COPIED)?;
        let source = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(src)
            .map_err(|e| IoError::new("open", src, e))?;
        copy_open_file(source, src, &meta, dst, owner).map(drop)
    } else {
        left_out.push(src.to_owned());
        Ok(())
    }
}

fn copy_directory(
    src: &Path,
    meta: &Metadata,
    dst: &Path,
    owner: bool,
    left_out: &mut Vec<PathBuf>,
) -> Result<()> {
    let error = |e| IoError::new("create directory", dst, e);
    match std::fs::DirBuilder::new().mode(0o700).create(dst) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && super::is_real_dir(dst) => {}
        Err(e) => return Err(error(e)),
    }
    for name in super::list_dir(src)? {
        copy_any(&src.join(&name), &dst.join(&name), owner, left_out)?;
    }
    if owner {
        super::set_owner(dst, meta.uid(), meta.gid())?;
    }
    super::set_mode(dst, meta.mode() & 0o7777)?;
    rustix::fs::utimensat(CWD, dst, &times(meta), AtFlags::empty()).map_err(|e| error(e.into()))
}

fn copy_link(src: &Path, meta: &Metadata, dst: &Path, owner: bool) -> Result<()> {
    let target: PathBuf = super::read_link(src)?;
    super::remove_file(dst)?;
    super::symlink(target, dst)?;
    if owner {
        super::set_owner(dst, meta.uid(), meta.gid())?;
    }
    rustix::fs::utimensat(CWD, dst, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| IoError::new("create link", dst, e))
}
