//! Reads files that untrusted code created. They are opened beneath the directory that it could write to, and
//! their type and owner are checked.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::read::{Limit, Unfit};
use crate::{IoError, Result};

/// Opens the regular file `name` beneath `dir` for reading. Links that lead out of `dir` are not followed.
/// The file itself must not be a link, have a second name, or belong to a user other than `owner` (if given).
///
/// # Errors
/// It does not exist, or violates one of these rules.
pub fn open_untrusted(dir: impl AsRef<Path>, name: impl AsRef<Path>, owner: Option<u32>) -> Result<File> {
    let (dir, name) = (dir.as_ref(), name.as_ref());
    let path = dir.join(name);
    let error = |e: std::io::Error| IoError::new("read", &path, e);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let top = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| error(e.into()))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = match rustix::fs::openat2(&top, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => open_step_by_step(top, name, flags),
        other => other,
    };
    let file = File::from(opened.map_err(|e| error(explained(e)))?);
    let meta = file.metadata().map_err(error)?;
    let wrong = if !meta.is_file() {
        "it is not a regular file"
    } else if meta.nlink() != 1 {
        "it has another name (a hard link)"
    } else if owner.is_some_and(|owner| owner != meta.uid()) {
        "it belongs to another user than the one who should have created it"
    } else {
        return Ok(file);
    };
    Err(error(std::io::Error::new(std::io::ErrorKind::InvalidData, wrong)))
}

/// Reads a file like [`open_untrusted`], of at most 1 GiB ([`super::Limit::MODULE`]). Its size must not
/// change while it is read.
///
/// # Errors
/// As for [`open_untrusted`]; it is too large; its size changes while it is read.
pub fn read_untrusted(dir: impl AsRef<Path>, name: impl AsRef<Path>, owner: Option<u32>) -> Result<Vec<u8>> {
    let path = dir.as_ref().join(name.as_ref());
    let error = |e: std::io::Error| IoError::new("read", &path, e);
    let mut file = open_untrusted(&dir, &name, owner)?;
    let size = file.metadata().map_err(error)?.len();
    if size > Limit::MODULE.0 {
        return Err(error(Unfit::TooLarge(Limit::MODULE).into()));
    }
    let mut bytes = Vec::new();
    (&mut file).take(size.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 != size || file.metadata().map_err(error)?.len() != size {
        return Err(error(std::io::Error::other("it changes while it is read")));
    }
    Ok(bytes)
}

/// Before Linux 5.6: opens each directory separately and refuses links.
fn open_step_by_step(top: OwnedFd, name: &Path, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    let mut at = top;
    let mut rest = name.components().filter(|c| *c != Component::CurDir).peekable();
    while let Some(Component::Normal(part)) = rest.next() {
        if rest.peek().is_none() {
            return rustix::fs::openat(&at, part, flags, Mode::empty());
        }
        let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = rustix::fs::openat(&at, part, dir, Mode::empty())?;
    }
    Err(Errno::XDEV)
}

/// The error with a message that fits the rules of [`open_untrusted`].
fn explained(e: Errno) -> std::io::Error {
    let reason = match e {
        Errno::LOOP => "it is a symbolic link",
        Errno::XDEV => "its path leads out of the directory",
        other => return other.into(),
    };
    std::io::Error::new(std::io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_plain_files_of_the_directory() {
        let dir = tempfile::tempdir().expect("tempdir");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("build/sub")).expect("mkdir");
        std::fs::write(at("secret"), "secret").expect("write");
        std::fs::write(at("build/sub/good"), "good").expect("write");
        symlink("../../secret", at("build/sub/link")).expect("link");
        symlink("good", at("build/sub/near")).expect("link");
        symlink(dir.path(), at("build/out")).expect("link");
        symlink("..", at("build/up")).expect("link");
        symlink("sub", at("build/inside")).expect("link");
        std::fs::hard_link(at("secret"), at("build/hard")).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, at("build/pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("fifo");
        let _socket = std::os::unix::net::UnixListener::bind(at("build/socket")).expect("socket");
        let read = |name: &str, owner| read_untrusted(at("build"), name, owner);
        let me = crate::sys::effective_uid();
        assert_eq!(read("sub/good", Some(me)).expect("good"), b"good");
        assert_eq!(read("inside/good", None).expect("a link that stays inside"), b"good");
        assert_eq!(read("./sub/../sub/good", None).expect("dots that stay inside"), b"good");
        for bad in [
            "sub/link",
            "sub/near",
            "out/secret",
            "up/secret",
            "../secret",
            "hard",
            "pipe",
            "socket",
            "sub",
            "none",
        ] {
            assert!(read(bad, None).is_err(), "{bad}");
        }
        assert!(read("sub/good", Some(me + 1)).is_err());
        let absolute = at("secret");
        assert!(read(&absolute.to_string_lossy(), None).is_err());
    }

    #[test]
    fn step_by_step_too() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("mkdir");
        std::fs::write(dir.path().join("a/b/f"), "x").expect("write");
        symlink("a", dir.path().join("l")).expect("link");
        let open = |name: &str| {
            let top =
                rustix::fs::open(dir.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("open");
            open_step_by_step(top, Path::new(name), OFlags::RDONLY | OFlags::NOFOLLOW).is_ok()
        };
        assert!(open("a/b/f") && open("./a/b/f"));
        for bad in ["l/b/f", "../f", "a/../a/b/f", "/etc/passwd", "", "."] {
            assert!(!open(bad), "{bad}");
        }
    }

    #[test]
    fn a_file_that_grows_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("f");
        std::fs::write(&path, vec![0; 1 << 20]).expect("write");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("open");
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::io::Write::write_all(&mut file, &[1; 4096]).expect("write");
                    if file.metadata().expect("size").len() > 1 << 24 {
                        file.set_len(1 << 20).expect("truncate");
                    }
                }
            });
            // On a busy machine the writer may not run during one of the reads.
            let refused = (0..10_000).any(|_| read_untrusted(dir.path(), "f", None).is_err());
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(refused);
        });
    }
}
