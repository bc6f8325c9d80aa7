//! The compressed streams of kernel images and initramfs images. They are read piece by piece, so the memory
//! usage does not depend on the size of the image.

use crate::compression::Compression;
use liblzma::stream::Stream;
use std::io::{self, Read};

mod lz4;
mod source;
pub(crate) use source::Source;

/// A decoder for the stream that begins at the position of `source`. It reads only that stream, and leaves
/// the data after it in the source. `None`: there is no decoder for the format.
///
/// No decoder uses more than about 140 MiB of memory, enough for `xz -9` and `zstd --ultra -22`.
pub(crate) fn reader<'a>(
    format: Compression,
    source: &'a mut Source<'_>,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    const XZ_MEMORY: u64 = 140 << 20;
    Ok(Some(match format {
        Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(source)),
        Compression::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(source)),
        Compression::Lzma => {
            Box::new(liblzma::bufread::XzDecoder::new_stream(source, Stream::new_lzma_decoder(XZ_MEMORY)?))
        }
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_stream(
            source,
            Stream::new_stream_decoder(XZ_MEMORY, 0)?,
        )),
        Compression::Lz4 => Box::new(lz4::Decoder::new(source)),
        // libzstd itself refuses windows over 128 MiB.
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?.single_frame()),
        Compression::Lzo => return Ok(None),
    }))
}

#[cfg(test)]
mod tests;
