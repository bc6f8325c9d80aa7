//! The compressions that a kernel image or an initramfs comes in, as streams: what is read at once is small,
//! whatever the size of the whole.
//!
//! The kernel's list (lib/decompress.c) knows each by two bytes. We ask for as many as tell it for certain.

use liblzma::stream::Stream;
use std::io::{self, BufRead, Read};

mod lz4;

/// How a kernel image or a part of an initramfs is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// gzip (RFC 1952)
    Gzip,
    /// bzip2
    Bzip2,
    /// The format before xz, `.lzma`
    Lzma,
    /// xz, also with the filters for machine code
    Xz,
    /// lzop; we have no reader for it
    Lzo,
    /// The old frame of lz4 (`lz4 -l`), the only one that the kernel reads
    Lz4,
    /// Zstandard (RFC 8878)
    Zstd,
}

impl Method {
    /// How many bytes [`Method::detect`] wants to see.
    pub(crate) const MAGIC: usize = 6;

    /// The compression of some data, by the magic number it begins with.
    #[must_use]
    pub fn detect(data: &[u8]) -> Option<Method> {
        Some(match data {
            [0x1f, 0x8b, 8, ..] => Method::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Method::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Method::Xz,
            [0x89, b'L', b'Z', b'O', 0, ..] => Method::Lzo,
            [0x02, 0x21, 0x4c, 0x18, ..] => Method::Lz4,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Method::Zstd,
            // Properties byte 93 (lc=3, lp=0, pb=2) and a dictionary size that ends in a zero byte.
            [0x5d, 0, ..] => Method::Lzma,
            _ => return None,
        })
    }

    /// Its usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Gzip => "gzip",
            Method::Bzip2 => "bzip2",
            Method::Lzma => "lzma",
            Method::Xz => "xz",
            Method::Lzo => "lzo",
            Method::Lz4 => "lz4",
            Method::Zstd => "zstd",
        }
    }
}

/// What comes out of the stream that `source` stands at. Only that stream is taken from the source: what follows is
/// left there. `None`: we have no reader for the method.
///
/// No decoder takes more than some 140 MiB of memory, enough for `xz -9` and `zstd --ultra -22`.
pub(crate) fn reader<'a>(
    method: Method,
    source: &'a mut Source<'_>,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    const XZ_MEMORY: u64 = 140 << 20;
    Ok(Some(match method {
        Method::Gzip => Box::new(flate2::bufread::GzDecoder::new(source)),
        Method::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(source)),
        Method::Lzma => {
            Box::new(liblzma::bufread::XzDecoder::new_stream(source, Stream::new_lzma_decoder(XZ_MEMORY)?))
        }
        Method::Xz => Box::new(liblzma::bufread::XzDecoder::new_stream(
            source,
            Stream::new_stream_decoder(XZ_MEMORY, 0)?,
        )),
        Method::Lz4 => Box::new(lz4::Decoder::new(source)),
        // libzstd itself refuses windows over 128 MiB.
        Method::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?.single_frame()),
        Method::Lzo => return Ok(None),
    }))
}

/// A reader that knows how far it has come and can look ahead.
pub(crate) struct Source<'a> {
    inner: &'a mut dyn BufRead,
    /// Taken from `inner`, not yet from us.
    ahead: [u8; Source::AHEAD],
    begin: usize,
    end: usize,
    offset: u64,
}

impl<'a> Source<'a> {
    /// How far one can look ahead.
    const AHEAD: usize = 8;

    pub fn new(inner: &'a mut dyn BufRead) -> Source<'a> {
        Source { inner, ahead: [0; Source::AHEAD], begin: 0, end: 0, offset: 0 }
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at most `count` of them (8 at the most), fewer at the end. They stay where they are.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.ahead.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        while let Some(free) = self.ahead.get_mut(self.end..count).filter(|free| !free.is_empty()) {
            match self.inner.read(free) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.ahead.get(..self.end.min(count)).unwrap_or_default())
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let have = self.fill_buf()?.len();
            if have == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(have);
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.ahead.get(self.begin..self.end) {
            Some(ahead) if !ahead.is_empty() => Ok(ahead),
            _ => self.inner.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        if self.begin < self.end {
            self.begin = self.end.min(self.begin + count);
        } else {
            self.inner.consume(count);
        }
        self.offset += count as u64;
    }
}

#[cfg(test)]
mod tests;
