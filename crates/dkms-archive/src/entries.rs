//! Reads the entries of a tar archive from compressed bytes: decompresses, resolves long names and detects
//! truncated files.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use super::compression;
use super::error::Damage;
use kmodule::Compression;

/// The maximum size of an extension entry in bytes. Names and other metadata are never longer in a valid
/// archive.
const EXTENSION_MAX: u64 = 64 * 1024;
/// The memory limit for xz decompression in bytes. The highest level of `xz` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// The logarithm of the maximum window: 128 MiB, the limit of `zstd` without extra options.
const ZSTD_WINDOW_LOG: u32 = 27;

/// An error in the compressed file or in its tar format. The caller adds the name of the file.
#[derive(Debug)]
pub(super) enum StreamError {
    Damaged(Damage),
    NotTar,
    TooBig,
}

impl From<Damage> for StreamError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<std::io::Error> for StreamError {
    fn from(error: std::io::Error) -> Self {
        Self::Damaged(Damage::Read(error))
    }
}

/// One entry, with its long name already applied.
#[derive(Debug)]
pub(super) struct RawEntry {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: tar::EntryType,
    pub(super) mode: u32,
    pub(super) mtime: u64,
    pub(super) size: u64,
}

/// Calls `each` for every entry in archive order, with its contents, until it fails or the archive ends.
/// `each` does not have to read the contents. `limit` is the maximum number of uncompressed bytes.
///
/// # Errors
/// The archive is damaged or too big; errors from `each` are returned unchanged.
pub(super) fn walk<E: From<StreamError>>(
    source: impl Read,
    limit: u64,
    mut each: impl FnMut(&RawEntry, &mut dyn Read) -> Result<(), E>,
) -> Result<Option<Compression>, E> {
    let ended = Rc::new(Cell::new(End::NotYet));
    let (plain, compression) = decompress(source).map_err(StreamError::from)?;
    let guarded = Guarded { inner: plain, left: limit, end: ended.clone() };
    let mut archive = tar::Archive::new(guarded);
    let error = |e: std::io::Error, seen: usize| match ended.get() {
        End::Limit => StreamError::TooBig,
        // Each decompressor reports a truncated file in its own words.
        _ if seen == 0 && compression.is_none() => StreamError::NotTar,
        _ => e.into(),
    };
    let mut pending = Pending::default();
    let mut seen = 0usize;
    for entry in archive.entries().map_err(|e| error(e, 0))?.raw(true) {
        let mut entry = entry.map_err(|e| error(e, seen))?;
        seen = seen.saturating_add(1);
        if pending.take(&mut entry)? {
            continue;
        }
        let raw = std::mem::take(&mut pending).apply(entry.header()).map_err(StreamError::Damaged)?;
        each(&raw, &mut entry)?;
    }
    let mut guarded = archive.into_inner();
    match guarded.end.get() {
        End::NotYet => {}
        End::Limit => return Err(StreamError::TooBig.into()),
        End::Source if seen == 0 => return Err(StreamError::NotTar.into()),
        End::Source => return Err(StreamError::from(Damage::NoEndMark).into()),
    }
    if pending.is_some() {
        return Err(StreamError::from(Damage::StrayName).into());
    }
    // Read to the end, because the checksums of compressed files come last.
    match std::io::copy(&mut guarded, &mut std::io::sink()) {
        Ok(_) if guarded.end.get() != End::Limit => Ok(compression),
        Ok(_) => Err(StreamError::TooBig.into()),
        Err(e) => Err(error(e, seen.max(1)).into()),
    }
}

fn decompress<'a>(source: impl Read + 'a) -> std::io::Result<(Box<dyn Read + 'a>, Option<Compression>)> {
    let mut source = source;
    let mut start = Vec::new();
    source.by_ref().take(8).read_to_end(&mut start)?;
    let compression = compression::detect(&start);
    let whole = BufReader::with_capacity(64 * 1024, std::io::Cursor::new(start).chain(source));
    let reader: Box<dyn Read + 'a> = match compression {
        None => Box::new(whole),
        Some(Compression::Gzip) => Box::new(Gzip::Member(flate2::bufread::GzDecoder::new(whole))),
        Some(Compression::Xz) => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                    .map_err(std::io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(whole, stream))
        }
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Some(Compression::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        Some(other) => return Err(compression::unsupported(other)),
    };
    Ok((reader, compression))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// The end of the input.
    Source,
    /// The size limit was exceeded.
    Limit,
}

/// Limits the output of the decompressor and records how it ended.
struct Guarded<R> {
    inner: R,
    left: u64,
    end: Rc<Cell<End>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.end.set(End::Limit);
            return Err(std::io::Error::other("too big"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let size = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        if size == 0 {
            self.end.set(End::Source);
        }
        self.left = self.left.saturating_sub(size as u64);
        Ok(size)
    }
}

/// The contents of extension entries, for the entry that follows them.
#[derive(Debug, Default)]
struct Pending {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Vec<(String, Vec<u8>)>>,
}

impl Pending {
    fn is_some(&self) -> bool {
        self.long_name.is_some() || self.long_link.is_some() || self.pax.is_some()
    }

    /// Reads an extension entry; returns `false` if the entry is an ordinary one.
    fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, StreamError> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let mut text = contents(entry)?;
            while text.last() == Some(&0) {
                text.pop();
            }
            let place = if kind.is_gnu_longname() { &mut self.long_name } else { &mut self.long_link };
            if place.replace(text).is_some() {
                return Err(Damage::TwoNames.into());
            }
        } else if kind.is_pax_local_extensions() {
            let records = pax_records(&contents(entry)?).ok_or(Damage::ExtendedHeader)?;
            if self.pax.replace(records).is_some() {
                return Err(Damage::TwoNames.into());
            }
        } else if kind.is_pax_global_extensions() {
            // Comments written by `git archive`. We need nothing from a global header, but it must not set
            // file names.
            let records = pax_records(&contents(entry)?).unwrap_or_default();
            if records.iter().any(|(key, _)| matches!(key.as_str(), "path" | "linkpath" | "size")) {
                return Err(Damage::GlobalHeader.into());
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn apply(self, header: &tar::Header) -> Result<RawEntry, Damage> {
        let mut entry = RawEntry {
            name: self.long_name.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: self.long_link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            kind: header.entry_type(),
            mode: header.mode()?,
            mtime: header.mtime()?,
            size: header.entry_size()?,
        };
        for (key, value) in self.pax.unwrap_or_default() {
            match key.as_str() {
                "path" => entry.name = value,
                "linkpath" => entry.link = value,
                // Reject this: readers that disagree about a size see different archives.
                "size" if text_number(&value) != Some(entry.size) => {
                    return Err(Damage::TwoSizes);
                }
                "mtime" => entry.mtime = text_number(&value).unwrap_or(entry.mtime),
                key if key.starts_with("GNU.sparse") => {
                    return Err(Damage::Sparse);
                }
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// The integer part of a number that may have a fraction.
fn text_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok()
}

fn contents<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, StreamError> {
    let size = entry.header().entry_size()?;
    if size > EXTENSION_MAX {
        return Err(Damage::LongHeader.into());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(Damage::CutOff.into()) }
}

/// Parses `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record (POSIX pax).
fn pax_records(mut bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|b| *b == b' ')?;
        let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        let key = std::str::from_utf8(record.get(..equals)?).ok()?.to_owned();
        records.push((key, record.get(equals + 1..)?.to_vec()));
        bytes = bytes.get(length..)?;
    }
    Some(records)
}

/// Reads concatenated gzip members, followed by optional zeros, as gzip(1) does: libarchive pads its last
/// block with zeros when it writes to a pipe.
enum Gzip<R> {
    Member(flate2::bufread::GzDecoder<R>),
    End,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let Gzip::Member(member) = self else { return Ok(0) };
            let size = member.read(buffer)?;
            if size > 0 || buffer.is_empty() {
                return Ok(size);
            }
            let Gzip::Member(member) = std::mem::replace(self, Gzip::End) else { return Ok(0) };
            let mut rest = member.into_inner();
            loop {
                let ahead = rest.fill_buf()?;
                let zeros = ahead.iter().take_while(|b| **b == 0).count();
                if ahead.is_empty() {
                    return Ok(0);
                }
                if zeros < ahead.len() {
                    rest.consume(zeros);
                    *self = Gzip::Member(flate2::bufread::GzDecoder::new(rest));
                    break;
                }
                rest.consume(zeros);
            }
        }
    }
}
