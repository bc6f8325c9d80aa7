//! The compression of archives, which is one of the formats that kmodule supports.

use kmodule::Compression;
use std::path::Path;

/// The compression formats of archives.
const SUPPORTED: [Compression; 4] =
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

/// Detects the compression from the first bytes of an archive; `None` if it is not compressed, or in another
/// format.
pub(super) fn detect(start: &[u8]) -> Option<Compression> {
    Compression::detect(start).filter(|format| SUPPORTED.contains(format))
}

/// The error for a compression format that archives cannot have.
pub(super) fn unsupported(format: Compression) -> std::io::Error {
    let message = format!("archives compressed with {} are not supported", format.name());
    std::io::Error::new(std::io::ErrorKind::Unsupported, message)
}
