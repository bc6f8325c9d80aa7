//! Compressed modules: `.ko.gz`, `.ko.xz`, `.ko.zst`.
//!
//! Two programs read them: kmod in user space and, with `CONFIG_MODULE_DECOMPRESS`, the kernel itself
//! (kernel/module/decompress.c). The kernel's xz reader supports only CRC32 as integrity check, so CRC32 is
//! the default.

use crate::compression::Compression;
use flate2::{GzBuilder, bufread::MultiGzDecoder};
use liblzma::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};
use std::io::{self, Read, Write};

mod error;
mod options;
mod parse;
pub use error::CompressError;
pub use options::{Options, Xz};

/// The integrity check of an xz file (section 2.1.1.2 of the format).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the format")]
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

/// The integrity check of an xz file; `None` for any other file.
#[must_use]
pub fn xz_check(data: &[u8]) -> Option<XzCheck> {
    if Compression::detect(data) != Some(Compression::Xz) {
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

/// Decompresses `data`. The format is recognised by its magic number; data in another format than
/// [`Compression::OF_MODULES`] is returned unchanged.
///
/// `limit` is the largest accepted length of the result, in bytes. Only slightly more than that is allocated,
/// and at most 130 MiB for a dictionary.
///
/// # Errors
/// [`CompressError::TooLarge`] and [`CompressError::Damaged`].
pub fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
    let Some(format) = Compression::detect_module(data) else {
        let fits = Some(data.to_vec()).filter(|data| data.len() <= limit);
        return fits.ok_or(CompressError::TooLarge { limit });
    };
    let damaged = |source: io::Error| CompressError::Damaged { format, source };
    let mut out = Vec::new();
    let allowed = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder(format, data).and_then(|decoder| decoder.take(allowed).read_to_end(&mut out)).map_err(damaged)?;
    if out.len() > limit { Err(CompressError::TooLarge { limit }) } else { Ok(out) }
}

fn decoder<'a>(format: Compression, data: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    /// Enough for every preset of xz (`-9` needs 65 MiB).
    const XZ_MEMORY: u64 = 130 << 20;
    Ok(match format {
        Compression::Gzip => Box::new(MultiGzDecoder::new(data)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(data, stream))
        }
        // libzstd itself refuses windows over 128 MiB.
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(data)?),
        other => return Err(io::Error::other(format!("no module is compressed with {}", other.name()))),
    })
}

/// Compresses `data`. The result depends only on the input and the options: it contains no time stamp and no
/// file name.
///
/// # Errors
/// [`CompressError::Encoder`], e.g. if there is not enough memory.
pub fn compress(data: &[u8], options: &Options) -> Result<Vec<u8>, CompressError> {
    let result = match options {
        Options::Gzip { level } => gzip(data, *level),
        Options::Xz(options) => xz(data, options),
        Options::Zstd { level, checksum } => zstd(data, *level, *checksum),
    };
    let format = options.format();
    result.map_err(|source| CompressError::Encoder { format, source })
}

/// The output of `gzip -n`: no name, no time; operating system 3 is Unix.
fn gzip(data: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::new(level);
    let mut encoder = GzBuilder::new().mtime(0).operating_system(3).write(Vec::new(), level);
    encoder.write_all(data)?;
    encoder.finish()
}

fn xz(data: &[u8], options: &Xz) -> io::Result<Vec<u8>> {
    let mut lzma = LzmaOptions::new_preset(options.preset)?;
    if let Some(size) = options.dictionary {
        lzma.dict_size(size);
    }
    let check = if options.crc32 { Check::Crc32 } else { Check::None };
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&lzma), check)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data)?;
    encoder.finish()
}

/// One frame with content size and checksum, as the command line tool writes it.
fn zstd(data: &[u8], level: i32, checksum: bool) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::bulk::Compressor::new(level)?;
    encoder.include_checksum(checksum)?;
    encoder.include_contentsize(true)?;
    encoder.compress(data)
}

#[cfg(test)]
mod tests;
