//! The compression formats of archives.

use std::path::Path;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip (`.gz`, `.tgz`).
    Gzip,
    /// xz (`.xz`, `.txz`).
    Xz,
    /// Zstandard (`.zst`, `.tzst`).
    Zstd,
    /// bzip2 (`.bz2`, `.tbz2`, `.tbz`).
    Bzip2,
}

impl Compression {
    /// Chooses by the suffix of the file name, as `tar --auto-compress` does; an unknown suffix means no
    /// compression.
    pub fn from_name(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()) {
            Some("gz" | "tgz" | "taz") => Compression::Gzip,
            Some("xz" | "txz") => Compression::Xz,
            Some("zst" | "tzst") => Compression::Zstd,
            Some("bz2" | "tbz2" | "tbz" | "tz2") => Compression::Bzip2,
            _ => Compression::None,
        }
    }

    /// Detects the compression from the first bytes of the file; `None` if it is not compressed or the format
    /// is unknown.
    pub(crate) fn from_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }
}
