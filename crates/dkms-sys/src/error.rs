//! The error of a file operation: the operation, the path, the reason, and a remedy if there is one.

use std::path::{Path, PathBuf};

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, IoError>;

/// A file operation that failed.
///
/// Displays as `cannot OP PATH: reason`, followed by a hint if the reason has a well-known remedy.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {}{}{}", .path.display(), reason(.source), missing_space(.space), hint(.source))]
pub struct IoError {
    /// The operation as a verb: `"read"`, `"rename"`.
    pub op: &'static str,
    /// The path of the operation.
    pub path: PathBuf,
    /// The error of the system.
    pub source: std::io::Error,
    /// If space was missing: the number of bytes needed, and the number of free bytes.
    pub space: Option<(u64, u64)>,
}

impl IoError {
    /// Combines the system's error with the operation and the path.
    pub fn new(op: &'static str, path: impl AsRef<Path>, source: impl Into<std::io::Error>) -> Self {
        IoError { op, path: path.as_ref().to_owned(), source: source.into(), space: None }
    }

    /// Adds the number of bytes that were needed, if the error is missing space.
    #[must_use]
    pub fn needing(mut self, bytes: u64) -> Self {
        if self.is_no_space() {
            let near = self.path.ancestors().find(|p| p.is_dir());
            self.space = near.and_then(|dir| free_space(dir).ok()).map(|free| (bytes, free));
        }
        self
    }

    /// The error number (`ENOENT` ...), if there is one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Whether the file or a directory of its path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }

    /// Whether the file does not exist, or one of its parents is not a directory.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENOTDIR))
    }

    /// Whether the disk or the quota is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}

/// Converts the result of a system call: 0 is success, otherwise errno is the error. Does not allocate.
pub(crate) fn check(code: impl Into<i64>) -> std::io::Result<()> {
    if code.into() == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// The number of bytes that an unprivileged user can still write on the file system of `path`.
pub(crate) fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).map_err(|e| IoError::new("examine the file system of", path, e))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The text of the system's error without Rust's " (os error N)".
fn reason(source: &std::io::Error) -> String {
    let text = source.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

fn missing_space(space: &Option<(u64, u64)>) -> String {
    space.map_or_else(String::new, |(need, free)| format!(": {need} bytes are needed, {free} are free"))
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOSPC) => " (free some space or inodes on that file system and try again)",
        Some(libc::EDQUOT) => " (the disk quota is exceeded: free some space or raise the quota)",
        Some(libc::EROFS) => " (the file system is mounted read-only: remount it read-write)",
        Some(libc::EACCES | libc::EPERM) if crate::sys::effective_uid() != 0 => {
            " (more privileges are needed: try again as root)"
        }
        Some(libc::EACCES | libc::EPERM) => {
            " (denied even to root: check attributes with lsattr, mount options and security modules)"
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
    fn displays_operation_path_reason_and_remedy() {
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
    fn displays_the_missing_space() {
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
