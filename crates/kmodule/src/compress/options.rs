//! How to compress.

use super::error::CompressError;
use crate::compression::Compression;

const MIB: u32 = 1 << 20;

/// A format and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Options {
    /// gzip
    Gzip {
        /// 1 to 9.
        level: u32,
    },
    /// xz
    Xz(Xz),
    /// Zstandard
    Zstd {
        /// 1 to 22, or below 0 for the fast levels.
        level: i32,
        /// The frame has a checksum.
        checksum: bool,
    },
}

/// The settings of xz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xz {
    /// The level and the "extreme" bit, in the form that liblzma expects.
    pub preset: u32,
    /// The size of the dictionary in bytes; `None`: the size of the preset.
    pub dictionary: Option<u32>,
    /// Whether the integrity check is CRC32, the only one that kernels support. Otherwise there is none.
    pub crc32: bool,
}

impl Options {
    /// The settings that dkms uses: gzip -6, xz CRC32 with a dictionary of 1 MiB at preset 6, zstd -3.
    ///
    /// # Errors
    /// [`CompressError::NotForModules`].
    pub fn for_modules(format: Compression) -> Result<Options, CompressError> {
        match format {
            Compression::Gzip => Ok(Options::Gzip { level: 6 }),
            Compression::Xz => Ok(Options::Xz(Xz { preset: 6, dictionary: Some(MIB), crc32: true })),
            Compression::Zstd => Ok(Options::Zstd { level: 3, checksum: true }),
            other => Err(CompressError::NotForModules(other)),
        }
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> Compression {
        match self {
            Options::Gzip { .. } => Compression::Gzip,
            Options::Xz(_) => Compression::Xz,
            Options::Zstd { .. } => Compression::Zstd,
        }
    }
}
