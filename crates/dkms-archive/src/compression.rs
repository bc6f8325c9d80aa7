//! The compression of archives: a part of the formats that kmodule knows.

use kmodule::Compression;
use std::path::Path;

/// The formats of archives.
const OF_ARCHIVES: [Compression; 4] =
    [Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Bzip2];

/// Chooses by the suffix of the file name, as `tar --auto-compress` does; an unknown suffix means no
/// compression.
pub(super) fn from_name(path: &Path) -> Option<Compression> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz" | "tgz" | "taz") => Some(Compression::Gzip),
        Some("xz" | "txz") => Some(Compression::Xz),
        Some("zst" | "tzst") => Some(Compression::Zstd),
        Some("bz2" | "tbz2" | "tbz" | "tz2") => Some(Compression::Bzip2),
        _ => None,
    }
}

/// The compression that the first bytes of an archive show; `None` if it is not compressed or in another
/// format.
pub(super) fn detect(start: &[u8]) -> Option<Compression> {
    Compression::detect(start).filter(|format| OF_ARCHIVES.contains(format))
}

/// The error for a format that no archive has.
pub(super) fn unsupported(format: Compression) -> std::io::Error {
    let message = format!("archives compressed with {} are not supported", format.name());
    std::io::Error::new(std::io::ErrorKind::Unsupported, message)
}
