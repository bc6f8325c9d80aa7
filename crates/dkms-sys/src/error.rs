//! The error of a file operation: what was tried, on which path, why it failed, and a way out where there is one.

use std::path::{Path, PathBuf};

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, IoError>;

/// A file operation that failed.
///
/// Displays as `cannot OP PATH: reason`, followed by a hint when the reason has a well-known remedy.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {}{}{}", .path.display(), reason(.source), amount(.room), hint(.source))]
pub struct IoError {
    /// What was tried, as a verb: `"read"`, `"rename"`.
    pub op: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// What the system answered.
    pub source: std::io::Error,
    /// Where room was lacking: bytes that were needed, and bytes that were free.
    pub room: Option<(u64, u64)>,
}

impl IoError {
    /// Puts the operation and the path to what the system answered.
    pub fn new(op: &'static str, path: impl AsRef<Path>, source: impl Into<std::io::Error>) -> Self {
        IoError { op, path: path.as_ref().to_owned(), source: source.into(), room: None }
    }

    /// Adds how many bytes were needed, if it was room that was lacking.
    #[must_use]
    pub fn needing(mut self, bytes: u64) -> Self {
        if self.is_no_space() {
            let near = self.path.ancestors().find(|p| p.is_dir());
            self.room = near.and_then(|dir| free_space(dir).ok()).map(|free| (bytes, free));
        }
        self
    }

    /// The error number (`ENOENT` ...), if the system gave one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The file or a directory of its path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }

    /// The file does not exist, or something above it is no directory.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENOTDIR))
    }

    /// The disk or the quota is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}

/// Bytes an unprivileged user can still write on the file system of `path`.
pub(crate) fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).map_err(|e| IoError::new("examine the file system of", path, e))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The system's words without Rust's " (os error N)".
fn reason(source: &std::io::Error) -> String {
    let text = source.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

fn amount(room: &Option<(u64, u64)>) -> String {
    room.map_or_else(String::new, |(need, free)| format!(": {need} bytes are needed, {free} are free there"))
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOSPC) => " (free some space or inodes on that file system and try again)",
        Some(libc::EDQUOT) => " (the disk quota is used up: free some space or have it raised)",
        Some(libc::EROFS) => " (the file system is mounted read-only: remount it read-write)",
        Some(libc::EACCES | libc::EPERM) if crate::sys::effective_uid() != 0 => {
            " (this needs more rights: try again as root)"
        }
        Some(libc::EACCES | libc::EPERM) => {
            " (denied to root as well: check attributes with lsattr, mount options and security modules)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(number: i32) -> IoError {
        IoError::new("write", "/x/y", std::io::Error::from_raw_os_error(number))
    }

    #[test]
    fn says_operation_path_reason_and_remedy() {
        assert_eq!(error(libc::ENOENT).to_string(), "cannot write /x/y: No such file or directory");
        for (number, word) in [
            (libc::ENOSPC, "free some space"),
            (libc::EDQUOT, "quota"),
            (libc::EROFS, "remount"),
            (libc::EACCES, "root"),
        ] {
            let text = error(number).to_string();
            assert!(text.contains(word) && !text.contains("os error"), "{text}");
        }
    }

    #[test]
    fn how_much_room_is_said_when_it_is_room_that_lacks() {
        assert!(error(libc::ENOSPC).needing(4711).to_string().contains(": 4711 bytes are needed, "));
        assert!(!error(libc::EROFS).needing(4711).to_string().contains("4711"));
    }

    #[test]
    fn classifies() {
        assert!(error(libc::ENOENT).is_not_found());
        assert!(error(libc::ENOSPC).is_no_space() && error(libc::EDQUOT).is_no_space());
        assert!(!error(libc::EIO).is_no_space());
        assert_eq!(error(libc::EIO).errno(), Some(libc::EIO));
    }
}
