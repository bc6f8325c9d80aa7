//! The operations by which a child sets up its view of the file system. None of them allocates.

use crate::error::check;
use crate::mount;
use std::ffi::{CStr, CString};

/// One operation. The child executes it without allocating.
#[derive(Debug)]
pub(super) enum Op {
    ReadOnly,
    Tmpfs {
        target: CString,
        data: CString,
    },
    Directory {
        path: CString,
        mode: libc::mode_t,
    },
    File {
        path: CString,
    },
    Symlink {
        target: CString,
        path: CString,
    },
    Copy {
        source: CString,
        path: CString,
        mode: libc::mode_t,
        user: Option<(u32, u32)>,
    },
    Owner {
        path: CString,
        user: (u32, u32),
    },
    Bind {
        source: CString,
        target: CString,
    },
    Writable {
        path: CString,
    },
    Overlay {
        target: CString,
        data: CString,
    },
    Proc,
    /// Enters the tmpfs. Staged paths are relative to it, because its mount point may be covered later.
    Enter {
        path: CString,
    },
    Detach,
}

impl Op {
    pub(super) fn perform(&self) -> std::io::Result<()> {
        // SAFETY: all strings are NUL-terminated and owned by the plan; no call writes to our memory.
        let code = unsafe {
            match self {
                Op::ReadOnly => return mount::set_read_only(c"/", true),
                Op::Writable { path } => return mount::set_read_only_one(path, false),
                Op::Tmpfs { target, data } => {
                    return mount::mount_kind(c"tmpfs", target, libc::MS_NOSUID | libc::MS_NODEV, data);
                }
                Op::Overlay { target, data } => return mount::mount_kind(c"overlay", target, 0, data),
                Op::Proc => {
                    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
                    return mount::mount_kind(c"proc", c"/proc", flags, c"");
                }
                Op::Bind { source, target } => return mount::bind(source, target),
                Op::Directory { path, mode } => match libc::mkdir(path.as_ptr(), *mode) {
                    -1 if *libc::__errno_location() == libc::EEXIST => 0,
                    other => other,
                },
                Op::File { path } => {
                    match libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC, 0o644) {
                        -1 => -1,
                        fd => libc::close(fd),
                    }
                }
                Op::Copy { source, path, mode, user } => return copy_file(source, path, *mode, *user),
                Op::Symlink { target, path } => libc::symlink(target.as_ptr(), path.as_ptr()),
                Op::Owner { path, user: (uid, gid) } => libc::chown(path.as_ptr(), *uid, *gid),
                Op::Enter { path } => libc::chdir(path.as_ptr()),
                Op::Detach => libc::umount2(c".".as_ptr(), libc::MNT_DETACH),
            }
        };
        check(code)
    }
}

/// Copies one regular file. Does not allocate.
fn copy_file(
    source: &CStr,
    path: &CStr,
    mode: libc::mode_t,
    user: Option<(u32, u32)>,
) -> std::io::Result<()> {
    let mut buffer = [0u8; 16 * 1024];
    // SAFETY: NUL-terminated paths, a buffer of the length that is named, descriptors that are closed once.
    unsafe {
        let from = libc::open(source.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK);
        if from < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let to =
            libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC, mode);
        let mut result = if to < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) };
        while result.is_ok() {
            let got = libc::read(from, buffer.as_mut_ptr().cast(), buffer.len());
            match usize::try_from(got) {
                Ok(0) => break,
                // A tmpfs writes such small pieces completely or not at all.
                Ok(got) if libc::write(to, buffer.as_ptr().cast(), got) == got as isize => {}
                _ => result = Err(std::io::Error::last_os_error()),
            }
        }
        if let (Ok(()), Some((uid, gid))) = (&result, user) {
            if libc::fchown(to, uid, gid) != 0 {
                result = Err(std::io::Error::last_os_error());
            }
        }
        if to >= 0 {
            libc::close(to);
        }
        libc::close(from);
        result
    }
}
