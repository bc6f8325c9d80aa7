//! cpio archives in the "newc" format: for each file a header of 110 characters, its name and its content,
//! the last two padded to multiples of four bytes.

use super::damage::Damage;
use crate::compression::Compression;
use crate::elf::reader::until_nul;
use crate::unpack::Source;
use std::io::{BufRead, Read};

const HEADER: usize = 110;
/// `PATH_MAX`: the kernel does not accept longer names and link targets.
const LONGEST: u32 = 4096;
/// The largest accepted number of entries.
const MOST: u64 = 1 << 20;
const FORMAT: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// A file, directory, link or device in an initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path in the archive, usually without a leading `/`; bytes that are not UTF-8 are replaced.
    pub path: &'a str,
    /// Type and permissions, in the format of `st_mode`.
    pub mode: u32,
    /// Length of its content in bytes. Of several hard links only the last has content.
    pub size: u64,
    /// The target of a symbolic link.
    pub target: Option<&'a str>,
}

impl Entry<'_> {
    /// Whether this is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & FORMAT == REGULAR
    }
}

/// Why reading stopped early.
pub(super) enum Stop {
    Damaged(Damage),
    TooLarge,
    Unreadable(Compression),
}

/// Reads archives, entry by entry.
pub(super) struct Walk<'v> {
    visit: &'v mut dyn FnMut(&Entry<'_>),
    seen: u64,
}

impl<'v> Walk<'v> {
    pub(super) fn new(visit: &'v mut dyn FnMut(&Entry<'_>)) -> Walk<'v> {
        Walk { visit, seen: 0 }
    }

    /// The number of entries so far, including the trailers of archives.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Reads archives and the zeros around them, until the end or other data. As in the kernel, an archive
    /// begins at a multiple of four bytes.
    pub(super) fn archives(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        let mut open = false;
        loop {
            skip_zeros(source)?;
            if source.peek(1)? != b"0" || source.offset() % 4 != 0 {
                break;
            }
            let offset = source.offset();
            let entry = self.entry(source);
            open = entry.map_err(|stop| match stop {
                Stop::Damaged(damage) => Stop::Damaged(Damage::Entry { offset, damage: Box::new(damage) }),
                other => other,
            })?;
        }
        // The kernel accepts an archive without a trailer, but every program writes one.
        if open { Err(Stop::Damaged(Damage::NoEnd)) } else { Ok(()) }
    }

    /// Reads one entry. Returns whether the archive goes on: false after the trailer, which ends an archive.
    fn entry(&mut self, source: &mut Source<'_>) -> Result<bool, Stop> {
        let mut header = [0; HEADER];
        source.read_exact(&mut header)?;
        match header.first_chunk::<6>() {
            Some(b"070701" | b"070702") => {}
            Some(b"070707") => return Err(Stop::Damaged(Damage::OldFormat)),
            _ => return Err(Stop::Damaged(Damage::NotAHeader)),
        }
        let fields = (field(&header, 1), field(&header, 6), field(&header, 11));
        let (Some(mode), Some(size), Some(length)) = fields else {
            return Err(Stop::Damaged(Damage::NotANumber));
        };
        if length == 0 || length > LONGEST {
            return Err(Stop::Damaged(Damage::NameLength));
        }
        let name = padded(source, length, HEADER)?;
        let path = String::from_utf8_lossy(until_nul(&name));
        self.seen += 1;
        if self.seen > MOST {
            return Err(Stop::TooLarge);
        }
        let link = if mode & FORMAT == SYMLINK {
            if size > LONGEST {
                return Err(Stop::Damaged(Damage::TargetLength));
            }
            Some(padded(source, size, 0)?)
        } else {
            source.skip(u64::from(size).next_multiple_of(4))?;
            None
        };
        if path == "TRAILER!!!" {
            return Ok(false);
        }
        let target = link.as_deref().map(|link| String::from_utf8_lossy(until_nul(link)));
        (self.visit)(&Entry { path: &path, mode, size: size.into(), target: target.as_deref() });
        Ok(true)
    }
}

/// Reads `length` bytes and the padding after them. `before` is the number of bytes of the entry before them.
fn padded(source: &mut Source<'_>, length: u32, before: usize) -> Result<Vec<u8>, Stop> {
    let length = usize::try_from(length).map_err(|_| Stop::TooLarge)?;
    let mut bytes = vec![0; (before + length).next_multiple_of(4) - before];
    source.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Field `index` of a header: eight hexadecimal digits.
fn field(header: &[u8; HEADER], index: usize) -> Option<u32> {
    let digits = header.get(6 + 8 * index..)?.first_chunk::<8>()?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(digits, 16).ok()
}

fn skip_zeros(source: &mut Source<'_>) -> std::io::Result<()> {
    loop {
        let bytes = source.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros == bytes.len() && zeros > 0;
        source.consume(zeros);
        if !more {
            return Ok(());
        }
    }
}
