//! Mounts that only one child sees, in its own mount namespace ([`crate::process::Command::bind`]).
//!
//! The mounts of the child are not visible outside. Later mounts on the machine are visible inside
//! (`MS_SLAVE`), so automounts work.

use crate::error::check;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A bind mount, prepared for use between fork and exec, where nothing may be allocated.
#[derive(Debug)]
pub(crate) struct Bind {
    source: CString,
    target: CString,
}

impl Bind {
    pub(crate) fn new(source: &Path, target: &Path) -> std::io::Result<Self> {
        Ok(Bind {
            source: CString::new(source.as_os_str().as_bytes())?,
            target: CString::new(target.as_os_str().as_bytes())?,
        })
    }

    /// Mounts it. Only in a child, after [`enter_namespace`].
    pub(crate) fn mount(&self) -> std::io::Result<()> {
        bind(&self.source, &self.target)
    }
}

pub(crate) fn unshare(flags: libc::c_int) -> std::io::Result<()> {
    // SAFETY: only takes flags; failing changes nothing.
    check(unsafe { libc::unshare(flags) })
}

/// Enters a private copy of the machine's mount namespace. Only in a child.
pub(crate) fn enter_namespace() -> std::io::Result<()> {
    unshare(libc::CLONE_NEWNS)?;
    mount(c"none", c"/", libc::MS_REC | libc::MS_SLAVE)
}

/// Whether the null device is mounted over this file: another dkms, which called us, hides it from a build.
pub fn is_hidden(path: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    std::fs::symlink_metadata(path)
        .is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == libc::makedev(1, 3))
}

/// Reads a file that [`is_hidden`], in a namespace of a single thread, so that other threads do not see it.
///
/// # Errors
/// Private mounts are not available, or the file cannot be read.
pub fn read_hidden(path: &Path) -> Result<Vec<u8>, crate::IoError> {
    let target = CString::new(path.as_os_str().as_bytes())
        .map_err(|e| crate::IoError::new("read", path, std::io::Error::from(e)))?;
    let read = || -> std::io::Result<Vec<u8>> {
        // The thread gets its own root and working directory with the namespace.
        unshare(libc::CLONE_FS | libc::CLONE_NEWNS)?;
        mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)?;
        while is_hidden(path) {
            // SAFETY: a NUL-terminated string.
            check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })?;
        }
        std::fs::read(path)
    };
    let thread = std::thread::scope(|scope| scope.spawn(read).join());
    let result = thread.unwrap_or_else(|_| Err(std::io::Error::other("the reading thread failed")));
    result.map_err(|e| crate::IoError::new("read", path, e))
}

/// Mounts `source`, with everything mounted below it, at the existing `target`. Only in a child in its own
/// namespace.
pub(crate) fn bind(source: &CStr, target: &CStr) -> std::io::Result<()> {
    mount(source, target, libc::MS_BIND | libc::MS_REC)
}

/// Mounts a file system of this kind. Only in a child in its own namespace.
pub(crate) fn mount_kind(
    kind: &CStr,
    target: &CStr,
    flags: libc::c_ulong,
    data: &CStr,
) -> std::io::Result<()> {
    // SAFETY: all strings are NUL-terminated and outlive the call.
    let code =
        unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    check(code)
}

/// Makes a mount and everything below it read-only, or writable again. Only in a child in its own namespace.
///
/// # Errors
/// ENOSYS before Linux 5.12.
pub(crate) fn set_read_only(path: &CStr, read_only: bool) -> std::io::Result<()> {
    set_attribute(path, read_only, libc::AT_RECURSIVE as libc::c_uint)
}

/// Like [`set_read_only`], without the mounts below it.
pub(crate) fn set_read_only_one(path: &CStr, read_only: bool) -> std::io::Result<()> {
    set_attribute(path, read_only, 0)
}

fn set_attribute(path: &CStr, read_only: bool, flags: libc::c_uint) -> std::io::Result<()> {
    let bit = libc::MOUNT_ATTR_RDONLY;
    let (set, clear) = if read_only { (bit, 0) } else { (0, bit) };
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: a NUL-terminated path and a complete structure of the size that is named.
    let code = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(code)
}

fn mount(source: &CStr, target: &CStr, flags: libc::c_ulong) -> std::io::Result<()> {
    // SAFETY: both strings are NUL-terminated; type and data may be null for bind and propagation changes.
    let code =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    check(code)
}

/// Whether private mounts are available, tested with a real one in a temporary child.
///
/// They are usually unavailable in containers and to unprivileged users. Builds of one package then run one
/// after the other.
pub fn is_available() -> bool {
    // SAFETY: the child only makes system calls and leaves by _exit.
    unsafe {
        match libc::fork() {
            -1 => false,
            0 => libc::_exit(i32::from(enter_namespace().is_err())),
            child => {
                let mut status = 0;
                while libc::waitpid(child, &mut status, 0) == -1 {
                    if *libc::__errno_location() != libc::EINTR {
                        return false;
                    }
                }
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}
