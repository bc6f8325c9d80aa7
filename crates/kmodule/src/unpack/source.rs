//! The input of the decoders.

use std::io::{self, BufRead, Read};

/// A reader that counts the consumed bytes and can look ahead.
pub(crate) struct Source<'a> {
    inner: &'a mut dyn BufRead,
    /// Read from `inner`, but not consumed yet.
    ahead: [u8; Source::AHEAD],
    begin: usize,
    end: usize,
    offset: u64,
}

impl<'a> Source<'a> {
    /// The largest number of bytes to look ahead.
    const AHEAD: usize = 8;

    pub(crate) fn new(inner: &'a mut dyn BufRead) -> Source<'a> {
        Source { inner, ahead: [0; Source::AHEAD], begin: 0, end: 0, offset: 0 }
    }

    /// The number of consumed bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes without consuming them: `count` of them (8 at most), fewer at the end.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
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

    /// Skips `count` bytes.
    pub(crate) fn skip(&mut self, mut count: u64) -> io::Result<()> {
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
