//! SHA-256 in the forms that records and manifests use, and a stream that computes it.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 as OCI writes it: `sha256:` and 64 lower-case hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts and hashes the bytes that are read or written through it.
pub struct Hashing<T> {
    inner: T,
    hash: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    /// Returns the digest in lower-case hexadecimal, the number of bytes, and the stream.
    pub fn finish(self) -> (String, u64, T) {
        (hex(&self.hash.finalize()), self.count, self.inner)
    }

    /// Returns whether the bytes so far have this size and digest.
    pub(crate) fn has_passed(&self, size: u64, sha256: &str) -> bool {
        self.count == size && hex(&self.hash.clone().finalize()) == sha256
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.count = self.count.saturating_add(bytes.len() as u64);
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.add(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.add(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
