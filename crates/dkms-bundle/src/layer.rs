//! The archive of a build's files: tar, compressed with zstd.
//!
//! The record determines every byte of the uncompressed archive except the contents of the files, and it has
//! their digests. So unpacking interprets nothing in the archive: it computes the expected bytes from the
//! record and compares them. It refuses an archive with another file, another order, a link, a device, other
//! permissions or trailing bytes. zstd's window limits the memory, and the record limits the output.

use std::io::{self, Read, Write};

use zstd::stream::{read::Decoder, write::Encoder};

use crate::digest::Hashing;
use crate::record::{File, Layer, Record};

/// The media type of the layer.
pub const MEDIA_TYPE: &str = "application/vnd.dkms.build.v1.tar+zstd";

/// The logarithm of zstd's maximum window: 8 MiB, as for level 19.
const WINDOW_LOG: u32 = 23;
/// zstd's compression level. Higher levels save 3 % and take five times as long.
const LEVEL: i32 = 9;
/// The size of a tar block in bytes.
const BLOCK: u64 = 512;
/// The size of the two empty blocks at the end of an archive.
const END: u64 = 2 * BLOCK;

/// The reason why an archive is not written, or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Reading or writing failed, or the compressed data are damaged.
    #[error("the archive of the build cannot be processed: {0}")]
    Io(#[from] io::Error),
    /// The caller could not provide or store a file.
    #[error("{path}: {error}")]
    File {
        /// Path in the record.
        path: String,
        /// The reason.
        error: io::Error,
    },
    /// The archive has another entry in the place of a file of the record.
    #[error("the archive of the build does not contain {0} where its record lists it")]
    Header(String),
    /// The contents of a file are not those in the record.
    #[error("{0} is not the file that the record describes (its size or digest differs)")]
    Content(String),
    /// It contains more than the files of the record.
    #[error("the archive of the build contains more than its record lists")]
    Surplus,
    /// The compressed archive is not the one in the record.
    #[error("the archive of the build is not the one in its record (its size or digest differs)")]
    Digest,
    /// The record has no archive, because it is from the local cache.
    #[error("the record contains no archive")]
    NoLayer,
}

/// Writes the archive of the files, in this order. `open` returns a reader of the contents of a file, which
/// must have the listed size and digest. With the same version of zstd, the same files give the same bytes.
///
/// # Errors
/// A file cannot be read, or its size or digest differs; `out` cannot be written.
pub fn write<R: Read>(
    files: &[File],
    mut open: impl FnMut(&File) -> io::Result<R>,
    out: impl Write,
) -> Result<Layer, LayerError> {
    let mut encoder = Encoder::new(Hashing::new(out), LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    for file in files {
        encoder.write_all(&header(file)?)?;
        let failed = |error| LayerError::File { path: file.path.clone(), error };
        // One byte more than expected shows that the file is longer.
        let source = open(file).map_err(failed)?.take(file.size.saturating_add(1));
        let mut source = Hashing::new(source);
        io::copy(&mut source, &mut encoder)?;
        let (sha256, size, _) = source.finish();
        if sha256 != file.sha256 || size != file.size {
            return Err(LayerError::Content(file.path.clone()));
        }
        io::copy(&mut io::repeat(0).take(padding(size)), &mut encoder)?;
    }
    io::copy(&mut io::repeat(0).take(END), &mut encoder)?;
    let (sha256, size, mut out) = encoder.finish()?.finish();
    out.flush()?;
    Ok(Layer { digest: format!("sha256:{sha256}"), size })
}

/// Unpacks the archive of a record. Calls `each` with every file and a reader of its contents, in the order
/// of the record. The reader fails at its end if the contents are not the recorded ones. Use the files that
/// `each` stores only after this function has succeeded.
///
/// # Errors
/// The archive is not exactly the one that the record describes; `each` failed.
pub fn unpack(
    record: &Record,
    archive: impl Read,
    mut each: impl FnMut(&File, &mut dyn Read) -> io::Result<()>,
) -> Result<(), LayerError> {
    let layer = record.layer.as_ref().ok_or(LayerError::NoLayer)?;
    let compressed = Hashing::new(archive.take(layer.size.saturating_add(1)));
    let mut decoder = Decoder::new(compressed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    for file in &record.files {
        let expected = header(file)?;
        expect(&mut decoder, &expected, || LayerError::Header(file.path.clone()))?;
        let mut contents =
            Contents { inner: Hashing::new((&mut decoder).take(file.size)), file, wrong: false };
        let stored = each(file, &mut contents).and_then(|()| io::copy(&mut contents, &mut io::sink()));
        if contents.wrong {
            return Err(LayerError::Content(file.path.clone()));
        }
        stored.map_err(|error| LayerError::File { path: file.path.clone(), error })?;
        expect_zeros(&mut decoder, padding(file.size))?;
    }
    expect_zeros(&mut decoder, END)?;
    if decoder.read(&mut [0])? != 0 {
        return Err(LayerError::Surplus);
    }
    let mut compressed = decoder.finish();
    io::copy(&mut compressed, &mut io::sink())?;
    let (sha256, size, _) = compressed.into_inner().finish();
    if layer.digest.strip_prefix("sha256:") != Some(&sha256) || layer.size != size {
        return Err(LayerError::Digest);
    }
    Ok(())
}

/// Reads the contents of one file, and checks them at their end.
struct Contents<'a, R> {
    inner: Hashing<R>,
    file: &'a File,
    wrong: bool,
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.inner.has_passed(self.file.size, &self.file.sha256) {
            self.wrong = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the file that the record describes"));
        }
        Ok(count)
    }
}

/// The blocks of the archive before the contents of a file: owner root, time 0, mode 644 or 755. A path of
/// more than 100 bytes has an additional entry, as in GNU tar.
fn header(file: &File) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(if file.executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(file.size);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, &file.path, io::empty())?;
    let mut blocks = builder.into_inner()?;
    // Remove the end mark that the builder has added.
    blocks.truncate(blocks.len().saturating_sub(END as usize));
    Ok(blocks)
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// Fails with `error` unless the next bytes are these.
fn expect(reader: &mut impl Read, bytes: &[u8], error: impl Fn() -> LayerError) -> Result<(), LayerError> {
    let mut found = vec![0; bytes.len()];
    match reader.read_exact(&mut found) {
        Ok(()) if found == bytes => Ok(()),
        Ok(()) => Err(error()),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(error()),
        Err(e) => Err(e.into()),
    }
}

fn expect_zeros(reader: &mut impl Read, count: u64) -> Result<(), LayerError> {
    let zeros = [0; END as usize];
    let count = usize::try_from(count).unwrap_or(zeros.len()).min(zeros.len());
    expect(reader, zeros.get(..count).unwrap_or_default(), || LayerError::Surplus)
}
