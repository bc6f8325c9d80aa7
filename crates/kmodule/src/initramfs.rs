//! The files in an initramfs, above all the kernel modules.
//!
//! An image is a sequence of parts: uncompressed cpio archives (early microcode, which the kernel reads
//! before it can decompress anything), zeros as padding, and compressed streams that contain more of the same
//! (Documentation/driver-api/early-userspace/buffer-format.rst, init/initramfs.c). A boot configuration may
//! follow the last part (Documentation/admin-guide/bootconfig.rst); it is skipped.
//!
//! Everything is read as a stream: neither the image nor its decompressed content is ever in memory as a
//! whole.

use crate::compression::Compression;
use crate::name::ModuleName;
use crate::unpack::{self, Source};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

mod cpio;
mod damage;

pub use cpio::Entry;
use cpio::{Stop, Walk};
pub use damage::Damage;

/// The largest accepted size of all decompressed parts of an image together, in bytes. Today's machines do
/// not have enough memory to unpack more.
pub const LIMIT: u64 = 4 << 30;

/// Why an initramfs cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// It contains no archive: an empty file, or zeros only.
    #[error("the initramfs is empty")]
    Empty,
    /// Data that is neither cpio nor compressed.
    #[error("the initramfs is damaged: there is neither an archive nor compressed data at byte {offset}")]
    Unknown {
        /// Its offset in the file.
        offset: u64,
    },
    /// There is no decoder for the compression of a part.
    #[error("the part of the initramfs at byte {offset} is compressed with {}, which dkms cannot decompress", format.name())]
    Unreadable {
        /// The offset of the part in the file.
        offset: u64,
        /// Its compression.
        format: Compression,
    },
    /// A part is damaged or cut short.
    #[error("the initramfs is damaged: in the {} that begins at byte {offset}: {damage}", format.map_or("cpio archive", Compression::name))]
    Damaged {
        /// The offset of the part in the file.
        offset: u64,
        /// Its compression, if it has one.
        format: Option<Compression>,
        /// The damage.
        #[source]
        damage: Damage,
    },
    /// It expands to more than [`LIMIT`], or contains more than a million files.
    #[error(
        "the part of the initramfs at byte {offset} expands to more than dkms accepts ({LIMIT} bytes, a million files)"
    )]
    TooLarge {
        /// The offset of the part in the file.
        offset: u64,
    },
}

/// Calls `visit` for every file, directory and link in an initramfs, in the order in which the kernel creates
/// them; a later entry replaces an earlier one with the same path. Contents are skipped.
///
/// # Errors
/// [`InitramfsError`]; `visit` was called for the entries before the damage.
pub fn entries(input: &mut dyn BufRead, visit: &mut dyn FnMut(&Entry<'_>)) -> Result<(), InitramfsError> {
    entries_within(input, LIMIT, visit)
}

pub(crate) fn entries_within(
    input: &mut dyn BufRead,
    limit: u64,
    visit: &mut dyn FnMut(&Entry<'_>),
) -> Result<(), InitramfsError> {
    let mut source = Source::new(input);
    let mut walk = Walk::new(visit);
    let mut left = limit;
    loop {
        let offset = source.offset();
        walk.archives(&mut source).map_err(|stop| part_error(stop, offset, None))?;
        let offset = source.offset();
        let head = source.peek(Compression::MAGIC).map_err(|error| part_error(error.into(), offset, None))?;
        if head.is_empty() {
            return if walk.seen() == 0 { Err(InitramfsError::Empty) } else { Ok(()) };
        }
        match Compression::detect(head) {
            Some(format) => {
                let size = list_compressed(&mut source, format, left, &mut walk);
                left -= size.map_err(|stop| part_error(stop, offset, Some(format)))?;
            }
            None if is_bootconfig(&mut source) => {}
            None => return Err(InitramfsError::Unknown { offset }),
        }
    }
}

/// Lists a compressed part, which may have at most `limit` bytes when decompressed. Returns how many it has.
fn list_compressed(
    source: &mut Source<'_>,
    format: Compression,
    limit: u64,
    walk: &mut Walk<'_>,
) -> Result<u64, Stop> {
    let reader = unpack::reader(format, source)?.ok_or(Stop::Unreadable(format))?;
    let mut content = BufReader::with_capacity(1 << 16, reader.take(limit.saturating_add(1)));
    let mut content = Source::new(&mut content);
    let result = walk.archives(&mut content);
    let size = content.offset();
    if size > limit {
        return Err(Stop::TooLarge);
    }
    result?;
    // Read to the end of the stream, where the checksum is.
    if content.peek(1)?.is_empty() { Ok(size) } else { Err(Stop::Damaged(Damage::NotAnArchive(size))) }
}

/// Whether the rest is a boot configuration: at most 32 KiB of text, two numbers and a mark. Reads the rest.
fn is_bootconfig(source: &mut Source<'_>) -> bool {
    const MARK: &[u8] = b"#BOOTCONFIG\n";
    const LONGEST: u64 = (32 << 10) + 32;
    let mut rest = Vec::new();
    let read = source.take(LONGEST).read_to_end(&mut rest);
    read.is_ok() && rest.ends_with(MARK) && source.peek(1).is_ok_and(<[u8]>::is_empty)
}

/// The error for the part at `offset`.
fn part_error(stop: Stop, offset: u64, format: Option<Compression>) -> InitramfsError {
    match stop {
        Stop::Damaged(damage) => InitramfsError::Damaged { offset, format, damage },
        Stop::TooLarge => InitramfsError::TooLarge { offset },
        Stop::Unreadable(format) => InitramfsError::Unreadable { offset, format },
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Damaged(match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::CutShort,
            _ => Damage::Read(error),
        })
    }
}

/// The modules in an initramfs: the kernel's release (from `lib/modules/RELEASE/`) and the module's name. The
/// result includes compressed modules and links to modules.
///
/// # Errors
/// [`InitramfsError`]; the names found before the error are not returned.
pub fn module_names(input: &mut dyn BufRead) -> Result<BTreeSet<(String, ModuleName)>, InitramfsError> {
    let mut names = BTreeSet::new();
    entries(input, &mut |entry| {
        if entry.is_file() || entry.target.is_some() {
            names.extend(parse_module_path(entry.path));
        }
    })?;
    Ok(names)
}

/// Splits the path of a module into the kernel's release and the name; `None` for other paths.
fn parse_module_path(path: &str) -> Option<(String, ModuleName)> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let path = path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?;
    let (release, below) = path.split_once('/')?;
    let name = ModuleName::from_file_name(below.rsplit('/').next()?)?;
    Some((release.to_owned(), name))
}

#[cfg(test)]
mod tests;
