//! Hexadecimal digests of bytes and files: SHA-256, and MD5 and SHA-1 where Debian's formats require them.

use dkms_sys::IoError;
use dkms_sys::fs::Limit;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Returns the SHA-256 of bytes.
pub fn bytes(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// Returns the MD5 of bytes, for `md5sums` and `.dsc` files. It is not secure.
pub fn md5(data: &[u8]) -> String {
    hex(&md5::Md5::digest(data))
}

/// Returns the SHA-1 of bytes, for `.dsc` files. It is not secure.
pub fn sha1(data: &[u8]) -> String {
    hex(&sha1::Sha1::digest(data))
}

/// Returns the SHA-256 of a file's content; `None` if it does not exist.
///
/// # Errors
/// It cannot be read, or is not a regular file.
pub fn file(path: &Path) -> Result<Option<String>, IoError> {
    digest_of_file::<Sha256>(path)
}

/// Returns the SHA-256 of the content of a file that must exist.
///
/// # Errors
/// The same as those of [`file`], or it does not exist.
pub(crate) fn existing_file(path: &Path) -> Result<String, IoError> {
    let not_found = || IoError::new("read", path, std::io::Error::from(std::io::ErrorKind::NotFound));
    file(path)?.ok_or_else(not_found)
}

/// Returns the MD5 of a file's content; `None` if it does not exist.
///
/// # Errors
/// The same as those of [`file`].
pub(crate) fn md5_of_file(path: &Path) -> Result<Option<String>, IoError> {
    digest_of_file::<md5::Md5>(path)
}

fn digest_of_file<D: Digest>(path: &Path) -> Result<Option<String>, IoError> {
    let file = match dkms_sys::fs::open_bounded(path, Limit::COPIED) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut digest = D::new();
    read_pieces(file, path, |bytes| digest.update(bytes))?;
    Ok(Some(hex(&digest.finalize())))
}

/// Reads a file in pieces and passes each to `take`. `path` is for the error.
fn read_pieces(mut file: impl Read, path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), IoError> {
    let mut buffer = [0u8; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(size) => take(buffer.get(..size).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(IoError::new("read", path, e)),
        }
    }
}

/// Computes the SHA-256 of data that arrives in pieces.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds the rest of an open file. `path` is for the error.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn update_from(&mut self, file: impl Read, path: &Path) -> Result<(), IoError> {
        read_pieces(file, path, |bytes| self.update(bytes))
    }

    /// Returns the digest.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
