//! The legacy frame of lz4, the only one that kernels read (lib/decompress_unlz4.c): a magic number, then for
//! every 8 MiB of data a length (four bytes, little-endian) and a block. There is no mark at the end.

use super::source::Source;
use std::io::{self, BufRead, Read};

/// The size of a decompressed block; the last one may be smaller.
const CHUNK: usize = 8 << 20;
/// The largest compressed size of such a block: LZ4_compressBound.
const LONGEST: u32 = (8 << 20) + (8 << 20) / 255 + 16;
const MAGIC: u32 = 0x184c_2102;

pub(super) struct Decoder<'s, 'a> {
    source: &'s mut Source<'a>,
    block: Vec<u8>,
    /// The current block, decompressed: the first `length` bytes are valid, the first `position` were read.
    chunk: Vec<u8>,
    length: usize,
    position: usize,
}

impl<'s, 'a> Decoder<'s, 'a> {
    pub(super) fn new(source: &'s mut Source<'a>) -> Decoder<'s, 'a> {
        Decoder { source, block: Vec::new(), chunk: vec![0; CHUNK], length: 0, position: 0 }
    }

    /// Decompresses the next block; false if there is none. An impossible length stays in the source.
    fn next_block(&mut self) -> io::Result<bool> {
        loop {
            let Ok(four) = <[u8; 4]>::try_from(self.source.peek(4)?) else { return Ok(false) };
            let length = u32::from_le_bytes(four);
            if length != MAGIC && (length == 0 || length > LONGEST) {
                return Ok(false);
            }
            self.source.consume(4);
            if length == MAGIC {
                continue;
            }
            self.block.clear();
            let read = (&mut *self.source).take(length.into()).read_to_end(&mut self.block)?;
            if read as u64 != u64::from(length) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.length = lz4_flex::block::decompress_into(&self.block, &mut self.chunk)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.position = 0;
            return Ok(true);
        }
    }
}

impl Read for Decoder<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut rest = self.chunk.get(self.position..self.length).unwrap_or_default();
            if !rest.is_empty() {
                let read = rest.read(buffer)?;
                self.position += read;
                return Ok(read);
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
    }
}
