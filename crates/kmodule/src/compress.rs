//! Compressed modules: `.ko.gz`, `.ko.xz`, `.ko.zst`.
//!
//! Who reads them sets the rules: kmod in user space and, with `CONFIG_MODULE_DECOMPRESS`, the kernel itself
//! (kernel/module/decompress.c). The kernel's xz reader knows no integrity check but CRC32, hence the default.

use flate2::{Compression, GzBuilder};
use liblzma::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};
use std::io::{Read, Write};

mod options;
pub use options::Options;

/// How a module file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Not at all: `.ko`
    None,
    /// gzip (RFC 1952): `.ko.gz`
    Gzip,
    /// xz: `.ko.xz`
    Xz,
    /// Zstandard (RFC 8878): `.ko.zst`
    Zstd,
}

impl Format {
    /// The format of some file, by the magic number it begins with; [`Format::None`] for everything else.
    #[must_use]
    pub fn detect(data: &[u8]) -> Format {
        match data {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
            _ => Format::None,
        }
    }

    /// The format of a suffix: `""`, `".gz"`, `".xz"` or `".zst"`, with or without the dot.
    #[must_use]
    pub fn from_suffix(suffix: &str) -> Option<Format> {
        match suffix.strip_prefix('.').unwrap_or(suffix) {
            "" | "ko" => Some(Format::None),
            "gz" => Some(Format::Gzip),
            "xz" => Some(Format::Xz),
            "zst" => Some(Format::Zstd),
            _ => None,
        }
    }

    /// What is put behind `.ko`: `""`, `".gz"`, `".xz"` or `".zst"`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Format::None => "",
            Format::Gzip => ".gz",
            Format::Xz => ".xz",
            Format::Zstd => ".zst",
        }
    }

    /// The name of the tool and of the `compress_NAME_opts` setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::None => "none",
            Format::Gzip => "gzip",
            Format::Xz => "xz",
            Format::Zstd => "zstd",
        }
    }
}

/// The integrity check of an xz file (section 2.1.1.2 of the format).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum XzCheck {
    None,
    Crc32,
    Crc64,
    Sha256,
    Other,
}

impl XzCheck {
    /// Its name, as `xz --list` shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            XzCheck::None => "None",
            XzCheck::Crc32 => "CRC32",
            XzCheck::Crc64 => "CRC64",
            XzCheck::Sha256 => "SHA-256",
            XzCheck::Other => "unknown",
        }
    }
}

/// Which integrity check an xz file has; `None` for any other file.
#[must_use]
pub fn xz_check(data: &[u8]) -> Option<XzCheck> {
    if Format::detect(data) != Format::Xz {
        return None;
    }
    Some(match data.get(7)? & 0x0f {
        0 => XzCheck::None,
        1 => XzCheck::Crc32,
        4 => XzCheck::Crc64,
        10 => XzCheck::Sha256,
        _ => XzCheck::Other,
    })
}

/// Why data could not be compressed or expanded, or options not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// The expanded data would be larger than the caller allows.
    #[error("the {} data expands to more than {limit} bytes; this is no kernel module", format.name())]
    TooLarge {
        /// Format of the data.
        format: Format,
        /// The limit given, in bytes.
        limit: usize,
    },
    /// The compressed data is damaged, cut short, or needs more memory than a module can.
    #[error("the {} data is damaged: {reason}", format.name())]
    Damaged {
        /// Format of the data.
        format: Format,
        /// What the decoder says.
        reason: String,
    },
    /// The encoder failed.
    #[error("{} compression failed: {reason}", format.name())]
    Encoder {
        /// The wanted format.
        format: Format,
        /// What the encoder says.
        reason: String,
    },
    /// An option in compress_*_opts we cannot follow.
    #[error("compress_{}_opts: \"{option}\" {reason}", format.name())]
    Option {
        /// Whose options.
        format: Format,
        /// The word in question.
        option: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Expands `data`, whose format is found by its magic number; data in no such format comes back as it is.
///
/// `limit` is the greatest length accepted, in bytes; no more than a little above it is ever allocated, and never
/// more than 130 MiB for a dictionary.
///
/// # Errors
/// [`CompressError::TooLarge`] and [`CompressError::Damaged`].
pub fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
    /// Enough for every preset of xz (`-9` needs 65 MiB).
    const XZ_MEMORY: u64 = 130 << 20;
    let format = Format::detect(data);
    let damaged = |error: std::io::Error| CompressError::Damaged { format, reason: error.to_string() };
    match format {
        Format::None if data.len() > limit => Err(CompressError::TooLarge { format, limit }),
        Format::None => Ok(data.to_vec()),
        Format::Gzip => read_all(flate2::bufread::MultiGzDecoder::new(data), format, limit),
        Format::Xz => {
            let stream =
                Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|error| damaged(error.into()))?;
            read_all(liblzma::bufread::XzDecoder::new_stream(data, stream), format, limit)
        }
        // libzstd itself refuses windows over 128 MiB.
        Format::Zstd => {
            read_all(zstd::stream::read::Decoder::with_buffer(data).map_err(damaged)?, format, limit)
        }
    }
}

fn read_all(reader: impl Read, format: Format, limit: usize) -> Result<Vec<u8>, CompressError> {
    let mut out = Vec::new();
    let allowed = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match reader.take(allowed).read_to_end(&mut out) {
        Ok(_) if out.len() > limit => Err(CompressError::TooLarge { format, limit }),
        Ok(_) => Ok(out),
        Err(error) => Err(CompressError::Damaged { format, reason: error.to_string() }),
    }
}

/// Compresses `data`. The result depends on the input and the options alone: no time stamp, no file name.
///
/// # Errors
/// [`CompressError::Encoder`], e.g. when memory runs out.
pub fn compress(format: Format, data: &[u8], options: &Options) -> Result<Vec<u8>, CompressError> {
    let result = match format {
        Format::None => return Ok(data.to_vec()),
        Format::Gzip => gzip(data, options),
        Format::Xz => xz(data, options),
        Format::Zstd => zstd(data, options),
    };
    result.map_err(|error| CompressError::Encoder { format, reason: error.to_string() })
}

/// As `gzip -n`: no name, no time; 3 is Unix.
fn gzip(data: &[u8], options: &Options) -> std::io::Result<Vec<u8>> {
    let level = Compression::new(options.gzip_level);
    let mut encoder = GzBuilder::new().mtime(0).operating_system(3).write(Vec::new(), level);
    encoder.write_all(data)?;
    encoder.finish()
}

fn xz(data: &[u8], options: &Options) -> std::io::Result<Vec<u8>> {
    let mut lzma = LzmaOptions::new_preset(options.xz.preset)?;
    if let Some(size) = options.xz.dictionary {
        lzma.dict_size(size);
    }
    let check = match options.xz.check {
        options::XzCheck::None => Check::None,
        options::XzCheck::Crc32 => Check::Crc32,
    };
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&lzma), check)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data)?;
    encoder.finish()
}

/// One frame with content size and checksum, as the command line tool writes it.
fn zstd(data: &[u8], options: &Options) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::bulk::Compressor::new(options.zstd_level)?;
    encoder.include_checksum(options.zstd_checksum)?;
    encoder.include_contentsize(true)?;
    encoder.compress(data)
}

#[cfg(test)]
mod tests;
