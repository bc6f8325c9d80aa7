//! Another root: a directory that contains a system, such as an image or a chroot.
//!
//! [`leave_machine`] moves this process to a private mount namespace. Later mounts are visible only to this
//! process and its children. Paths of the other root are resolved as that system would resolve them, and
//! never lead out of it (`openat2(2)`, `RESOLVE_IN_ROOT`, Linux 5.6).

use crate::mount::{set_read_only_one, unshare};
use crate::{IoError, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Moves this process, which must have a single thread, to a private mount namespace.
///
/// Without root, or without the permission to mount, it also enters a user namespace, in which it is root
/// over the user's own files.
///
/// # Errors
/// Neither is available.
pub fn leave_machine() -> Result<()> {
    let failed = |op, e: io::Error| IoError::new(op, "/", e);
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let make_private = || {
        rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .map_err(io::Error::from)
    };
    if uid == 0 && unshare(libc::CLONE_NEWNS).and_then(|()| make_private()).is_ok() {
        return Ok(());
    }
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).map_err(|e| failed("create a namespace for", e))?;
    // Kernels before 3.19 neither have nor need the setgroups file.
    let _ = std::fs::write("/proc/self/setgroups", "deny");
    for (file, own) in [("/proc/self/uid_map", uid), ("/proc/self/gid_map", gid)] {
        std::fs::write(file, format!("0 {own} 1")).map_err(|e| IoError::new("write", file, e))?;
    }
    make_private().map_err(|e| failed("create private mounts below", e))
}

/// Makes all mounts read-only for this process and its children, except the given directories and everything
/// mounted below them. To be called after [`leave_machine`], so that the machine is not affected.
///
/// Then a link in the other root cannot lead to changes of the machine's files. Returns `false` if this
/// kernel does not support it (`mount_setattr(2)`, Linux 5.12).
///
/// # Errors
/// The mounts cannot be listed, or one of the directories cannot be mounted separately.
pub fn protect_machine(writable: &[PathBuf]) -> Result<bool> {
    let mut writable_mounts: Vec<PathBuf> = ["/dev", "/proc", "/sys"].map(PathBuf::from).into();
    for path in writable {
        let Ok(real) = path.canonicalize() else { continue };
        // A separate mount, which stays writable.
        if !writable_mounts.iter().any(|dir| real.starts_with(dir)) {
            bind(&real, &real)?;
            writable_mounts.push(real);
        }
    }
    let mounts = crate::fs::read("/proc/self/mountinfo")?;
    let mut done = false;
    for point in mounts.split(|byte| *byte == b'\n').filter_map(mount_point) {
        if !writable_mounts.iter().any(|dir| point.starts_with(dir)) {
            // A mount that is covered by another one fails, but cannot be reached anyway.
            done |= make_read_only(&point).is_ok();
        }
    }
    Ok(done)
}

/// The fifth field of a line of mountinfo, in which blanks and similar characters are three octal digits
/// (proc_pid_mountinfo(5)).
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::new();
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| *byte == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let octal = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(octal.unwrap_or(*byte));
        rest = if octal.is_some() { after.get(3..)? } else { after };
    }
    Some(std::ffi::OsString::from_vec(path).into())
}

fn make_read_only(point: &Path) -> io::Result<()> {
    set_read_only_one(&std::ffi::CString::new(point.as_os_str().as_bytes())?, true)
}

/// The directory of the other root.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

/// A file or directory that is kept open.
#[derive(Debug)]
pub struct OpenPath(OwnedFd);

impl OpenPath {
    /// Opens a path of the machine.
    ///
    /// # Errors
    /// There is no such file or directory.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        Ok(Self(fd.map_err(|e| IoError::new("open", path, e))?))
    }

    /// A path that leads to it in this process, even if something is mounted over its original path.
    fn name(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// The names in it.
    ///
    /// # Errors
    /// It is not a directory, or cannot be read.
    pub fn names(&self) -> Result<Vec<std::ffi::OsString>> {
        crate::fs::list_dir(self.name())
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.name().is_file()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.name().is_dir()
    }
}

impl Root {
    /// Opens it. To be called after [`leave_machine`], otherwise nothing of it can be mounted.
    ///
    /// # Errors
    /// It is not a directory.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| IoError::new("open", path, e))?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// Finds an absolute path of that system; `None` if it does not exist.
    ///
    /// # Errors
    /// It cannot be examined.
    pub fn find(&self, inside: &Path) -> Result<Option<OpenPath>> {
        self.resolve(inside, OFlags::PATH).map(|fd| fd.map(OpenPath))
    }

    /// Opens an absolute path of that system for reading.
    ///
    /// # Errors
    /// As for [`Root::find`].
    pub fn read(&self, inside: &Path) -> Result<Option<std::fs::File>> {
        let fd = self.resolve(inside, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let Some(file) = fd.map(std::fs::File::from) else { return Ok(None) };
        crate::fs::only_regular(&self.below(inside), &file, "read")?;
        Ok(Some(file))
    }

    fn resolve(&self, inside: &Path, flags: OFlags) -> Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.dir, inside, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(e) => Err(IoError::new("open", self.below(inside), e)),
        }
    }

    /// Creates a directory of that system, and its parents.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create_dir(&self, inside: &Path) -> Result<OpenPath> {
        if let Some(there) = self.find(inside)? {
            return Ok(there);
        }
        let failed = |e: io::Error| IoError::new("create", self.below(inside), e);
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        let parent = self.create_dir(parent)?;
        rustix::fs::mkdirat(&parent.0, name, Mode::from_raw_mode(0o755)).map_err(|e| failed(e.into()))?;
        self.find(inside)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Its path as the machine sees it, for messages.
    pub fn below(&self, inside: &Path) -> PathBuf {
        self.path.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Makes it the root directory of this process.
    ///
    /// # Errors
    /// This is not permitted.
    pub fn become_root(self) -> Result<()> {
        let failed = |e: rustix::io::Errno| IoError::new("change the root to", &self.path, e);
        rustix::process::fchdir(&self.dir).map_err(failed)?;
        rustix::process::chroot(".").map_err(failed)?;
        rustix::process::chdir("/").map_err(failed)
    }
}

/// Mounts one path over another, both with everything mounted below them.
///
/// # Errors
/// It cannot be mounted.
pub fn mount_over(what: &OpenPath, target: &OpenPath) -> Result<()> {
    bind(&what.name(), &target.name())
}

fn bind(what: &Path, target: &Path) -> Result<()> {
    rustix::mount::mount_bind_recursive(what, target).map_err(|e| IoError::new("mount over", target, e))
}

fn empty(target: &Path, more: MountFlags) -> Result<()> {
    let (options, flags) = (Some(c"mode=0755"), MountFlags::NOSUID | MountFlags::NODEV | more);
    rustix::mount::mount(c"dkms", target, c"tmpfs", flags, options)
        .map_err(|e| IoError::new("mount an empty file system over", target, e))
}

/// Mounts an empty directory over `target` and shows files and directories of the machine in it, each at
/// `under` plus its full path.
///
/// # Errors
/// One of them cannot be mounted.
pub fn show_below(target: &OpenPath, under: &Path, shown: &[PathBuf]) -> Result<()> {
    let held: Vec<OpenPath> = shown.iter().map(|path| OpenPath::open(path)).collect::<Result<_>>()?;
    empty(&target.name(), MountFlags::empty())?;
    // The descriptor still refers to the directory below; the new mount is reached only through the parent.
    let top = target.name().canonicalize().map_err(|e| IoError::new("find", target.name(), e))?;
    for (path, held) in shown.iter().zip(&held) {
        make_place(held, &top.join(under).join(path.strip_prefix("/").unwrap_or(path)))?;
    }
    Ok(())
}

/// Creates a file or directory as a mount point, and mounts `what` there.
fn make_place(what: &OpenPath, at: &Path) -> Result<()> {
    let failed = |e| IoError::new("create", at, e);
    let (directory, file) = if what.is_dir() { (Some(at), None) } else { (at.parent(), Some(at)) };
    directory.map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    if let Some(file) = file.filter(|f| !f.exists()) {
        std::fs::File::create_new(file).map_err(failed)?;
    }
    bind(&what.name(), at)
}

/// At each path of the machine, shows the file or directory beside it; if there is none, the path is shown
/// empty.
///
/// If a path does not exist on the machine, its nearest existing parent is replaced by a mount with the same
/// contents plus the missing path. Nothing is created on the machine itself.
///
/// # Errors
/// Something cannot be mounted.
pub fn show(places: &[(PathBuf, Option<OpenPath>)]) -> Result<()> {
    let mut replaced: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let mut targets = Vec::new();
    for (path, what) in places {
        let there = path.ancestors().find(|a| a.exists()).unwrap_or(Path::new("/"));
        let real = there.canonicalize().map_err(|e| IoError::new("find", there, e))?;
        let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
        let exists = missing.as_os_str().is_empty();
        let target = if exists { real.clone() } else { real.join(missing) };
        if !exists {
            if what.is_none() {
                continue;
            }
            // The root directory of a process cannot be mounted over.
            if real == Path::new("/") {
                let e = io::Error::new(io::ErrorKind::NotFound, "the machine has no such directory");
                return Err(IoError::new("show another system's files at", target, e));
            }
            replaced.entry(real).or_default().push(target.clone());
        }
        targets.push((target, what));
    }
    // Parents first: a replaced directory shows the machine's own directories below it.
    for (directory, missing) in &replaced {
        replace_by_mount(directory)?;
        for path in missing {
            std::fs::create_dir_all(path.parent().unwrap_or(path))
                .map_err(|e| IoError::new("create", path, e))?;
        }
    }
    // If two names lead to the same path, prefer the one with contents.
    targets.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.is_none().cmp(&b.1.is_none())));
    targets.dedup_by(|a, b| a.0 == b.0);
    for (target, what) in targets {
        match what {
            Some(what) => make_place(what, &target)?,
            // Read-only, because files that are written there would be lost.
            None if target.is_dir() => empty(&target, MountFlags::RDONLY)?,
            None => bind(Path::new("/dev/null"), &target)?,
        }
    }
    Ok(())
}

/// Replaces a directory by a mount with the same contents, to which more can be added.
fn replace_by_mount(directory: &Path) -> Result<()> {
    let old = OpenPath::open(directory)?;
    let names = crate::fs::list_dir(directory)?;
    empty(directory, MountFlags::empty())?;
    let restore = |name: &OsStr| -> Result<()> {
        let (from, to) = (old.name().join(name), directory.join(name));
        match std::fs::read_link(&from) {
            Ok(link) => std::os::unix::fs::symlink(link, &to).map_err(|e| IoError::new("create", &to, e)),
            Err(_) => make_place(&OpenPath::open(&from)?, &to),
        }
    };
    names.iter().try_for_each(|name| restore(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points() {
        for (line, point) in [
            ("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw", Some("/mnt2")),
            ("1 1 0:1 / /a\\040b\\134c\\012 rw - x x x", Some("/a b\\c\n")),
            ("1 1 0:1 / /a\\04 rw", Some("/a\\04")),
            ("1 1 0:1 / /a\\999 rw", Some("/a\\999")),
            ("", None),
        ] {
            assert_eq!(mount_point(line.as_bytes()).as_deref(), point.map(Path::new), "{line}");
        }
    }
}
