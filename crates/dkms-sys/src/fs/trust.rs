//! Checks which users may have written a file. Records that cause changes are trusted only if root or this
//! user wrote them.

use crate::{IoError, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The maximum size of a record in bytes.
const RECORD_LIMIT: u64 = super::Limit::RECORD.0;

/// Why a file or directory is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum Distrust {
    #[error("it is a symbolic link")]
    Link,
    #[error("it is not a regular file")]
    NotFile,
    #[error("it is not a directory")]
    NotDirectory,
    #[error("it is larger than {0} bytes")]
    Large(u64),
    #[error("it belongs to user {0}")]
    Owner(u32),
    #[error("all users may write to it")]
    Everyone,
    #[error("group {0} may write to it")]
    Group(u32),
}

/// The reason why users other than root and this user may have written a file or directory; `None` if they
/// may not.
pub fn written_by_others(meta: &Metadata) -> Option<Distrust> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mode = meta.mode();
    // In a directory with the sticky bit, other users cannot replace existing files.
    let sticky = meta.is_dir() && mode & 0o1000 != 0;
    if meta.uid() != 0 && meta.uid() != user {
        Some(Distrust::Owner(meta.uid()))
    } else if mode & 0o002 != 0 && !sticky {
        Some(Distrust::Everyone)
    } else if mode & 0o020 != 0 && !sticky && meta.gid() != 0 && meta.gid() != group {
        Some(Distrust::Group(meta.gid()))
    } else {
        None
    }
}

/// Reads a record that causes changes. The inner error is the reason why it is not trusted: it is not a
/// regular file, it is too large, or other users may have written it.
///
/// # Errors
/// It cannot be opened or read.
pub fn read_trusted(path: impl AsRef<Path>) -> Result<std::result::Result<Vec<u8>, Distrust>> {
    let path = path.as_ref();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Ok(Err(Distrust::Link)),
        // The file is a socket, or a device without a driver.
        Err(rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => {
            return Ok(Err(Distrust::NotFile));
        }
        Err(e) => return Err(IoError::new("open", path, e)),
    };
    let failed = |e| IoError::new("read", path, e);
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Ok(Err(Distrust::NotFile));
    }
    if let Some(reason) = written_by_others(&meta) {
        return Ok(Err(reason));
    }
    let mut bytes = Vec::new();
    if meta.len() <= RECORD_LIMIT {
        (&file).take(RECORD_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if meta.len().max(bytes.len() as u64) > RECORD_LIMIT {
        return Ok(Err(Distrust::Large(RECORD_LIMIT)));
    }
    Ok(Ok(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_what_we_or_root_wrote() {
        let t = crate::fs::TempDir::new_in(std::env::temp_dir(), "trust").unwrap();
        let path = t.path().join("record");
        std::fs::write(&path, "x").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert_eq!(read_trusted(&path).unwrap().unwrap(), b"x");
        mode(0o666);
        assert!(read_trusted(&path).unwrap().unwrap_err().to_string().contains("all users"));
        mode(0o664);
        assert!(read_trusted(&path).unwrap().is_ok(), "our own group");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, None, Some(4711)).unwrap();
            assert!(read_trusted(&path).unwrap().unwrap_err().to_string().contains("group 4711"));
            std::os::unix::fs::chown(&path, Some(4712), Some(0)).unwrap();
            assert!(read_trusted(&path).unwrap().unwrap_err().to_string().contains("user 4712"));
        }
        assert!(read_trusted(t.path().join("none")).unwrap_err().is_not_found());
    }

    #[test]
    fn only_regular_files_and_never_waiting() {
        let t = crate::fs::TempDir::new_in(std::env::temp_dir(), "trust").unwrap();
        let at = |name: &str| t.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        symlink("file", at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, why) in
            [("link", "link"), ("directory", "regular"), ("fifo", "regular"), ("socket", "regular")]
        {
            assert!(read_trusted(at(name)).unwrap().unwrap_err().to_string().contains(why), "{name}");
        }
        let large = File::create(at("large")).unwrap();
        large.set_len(40 << 30).unwrap();
        assert!(read_trusted(at("large")).unwrap().unwrap_err().to_string().contains("larger"));
    }
}
