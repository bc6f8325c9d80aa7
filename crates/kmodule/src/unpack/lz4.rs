//! lz4 in its old frame: a magic number, then for every 8 MiB of data a length (four bytes, little endian) and a block
//! of the format that lz4's doc/lz4_Block_format.md describes. Nothing marks the end (lib/decompress_unlz4.c).

use super::Source;
use std::io::{self, BufRead, Read};

/// What a block expands to, at most.
const CHUNK: usize = 8 << 20;
/// The longest block that does not expand to more: LZ4_compressBound.
const LONGEST: u32 = (8 << 20) + (8 << 20) / 255 + 16;
const MAGIC: u32 = 0x184c_2102;

pub(super) struct Decoder<'s, 'a> {
    source: &'s mut Source<'a>,
    block: Vec<u8>,
    chunk: Vec<u8>,
    given: usize,
}

impl<'s, 'a> Decoder<'s, 'a> {
    pub fn new(source: &'s mut Source<'a>) -> Decoder<'s, 'a> {
        Decoder { source, block: Vec::new(), chunk: Vec::new(), given: 0 }
    }

    /// Expands the next block. False: there is none; a length that cannot be one is not taken.
    fn next(&mut self) -> io::Result<bool> {
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
            self.chunk.clear();
            self.given = 0;
            expand(&self.block, &mut self.chunk, CHUNK)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "corrupt lz4 block"))?;
            return Ok(true);
        }
    }
}

impl Read for Decoder<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut rest = self.chunk.get(self.given..).unwrap_or_default();
            if !rest.is_empty() {
                let read = rest.read(buffer)?;
                self.given += read;
                return Ok(read);
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// Appends what a block expands to; `None` when it is damaged or expands to more than `limit`.
fn expand(mut block: &[u8], out: &mut Vec<u8>, limit: usize) -> Option<()> {
    loop {
        let token = usize::from(take(&mut block)?);
        let literals = length(&mut block, token >> 4)?;
        let (plain, rest) = block.split_at_checked(literals)?;
        if plain.len() > limit - out.len() {
            return None;
        }
        out.extend_from_slice(plain);
        block = rest;
        // The last sequence has no copy.
        if block.is_empty() {
            return Some(());
        }
        let distance = usize::from(u16::from_le_bytes([take(&mut block)?, take(&mut block)?]));
        let mut count = length(&mut block, token & 15)?.checked_add(4)?;
        if count > limit - out.len() || distance == 0 {
            return None;
        }
        let start = out.len().checked_sub(distance)?;
        // A copy may reach into itself; each round doubles what is there to copy.
        while count > 0 {
            let step = count.min(out.len() - start);
            out.extend_from_within(start..start + step);
            count -= step;
        }
    }
}

fn take(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

/// A length of four bits; 15 means that bytes follow, up to one that is not 255.
fn length(block: &mut &[u8], nibble: usize) -> Option<usize> {
    let mut sum = nibble;
    if nibble == 15 {
        loop {
            let more = take(block)?;
            sum += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(sum)
}
