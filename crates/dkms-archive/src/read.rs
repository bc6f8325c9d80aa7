//! Unpacks untrusted archives.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dkms_sys::{IoError, fs};
use kmodule::Compression;
use tar::EntryType;

use super::entries::{RawEntry, StreamError, walk};
use super::error::{ArchiveError, Damage};
use super::names::{Admitted, EntryKind, Kind, Refusal, Tree};
use super::package;

/// Limits on the size of the unpacked archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Total bytes in all files.
    pub max_bytes: u64,
    /// Number of files, directories and links.
    pub max_entries: u64,
}

impl Default for Limits {
    /// 8 GiB in 500,000 entries: several times the largest driver packages with many kernels.
    fn default() -> Self {
        Limits { max_bytes: 8 << 30, max_entries: 500_000 }
    }
}

/// One unpacked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name below the directory, without a leading `./`.
    pub name: String,
    /// Its type.
    pub kind: EntryKind,
}

/// The kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar archive; it was unpacked completely.
    Tar,
    /// A Debian package. Only the sources in `usr/src` and tarballs of built modules
    /// (`usr/share/NAME/*.dkms.tar.*`) were unpacked.
    Package,
}

/// The result of unpacking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The kind of archive, detected from its first bytes.
    pub format: Format,
    /// The compression of the archive, or of the `data.tar` of a package; `None` if there is none.
    pub compression: Option<Compression>,
    /// The entries in archive order; a name that appears twice in the archive appears twice here.
    pub entries: Vec<Entry>,
    /// Total bytes in files.
    pub bytes: u64,
}

impl Unpacked {
    /// The first of [`Unpacked::links_leaving`].
    pub fn link_leaving<'a>(&'a self, directory: &'a str) -> Option<&'a Entry> {
        self.links_leaving(directory).next()
    }

    /// The links below `directory` that point out of it (though not out of the archive). If that directory is
    /// moved, they dangle or point to unrelated files.
    pub fn links_leaving<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a Entry> {
        let base = if directory.is_empty() { 0 } else { directory.matches('/').count() + 1 };
        self.entries.iter().filter(move |entry| {
            let EntryKind::Symlink(target) = &entry.kind else { return false };
            let is_below = Path::new(&entry.name).starts_with(directory);
            let climbs = target.split('/').filter(|p| *p == "..").count();
            is_below && climbs > entry.name.matches('/').count().saturating_sub(base)
        })
    }
}

/// Unpacks an archive into the directory `into`, which is created if missing and must be empty otherwise. A
/// tar archive is unpacked completely; its compression is detected from its first bytes. Of a Debian package,
/// only the files that dkms needs are unpacked.
///
/// Files belong to the effective user, modes are limited to 0755 (the owner can always read and write), and
/// modification times are kept. The whole archive is rejected, and nothing is left behind, for: names that
/// are absolute, contain `..` or control characters, or are not text; links out of the archive; entries
/// through links; devices and pipes; setuid and setgid files; one name used for different types; truncated or
/// corrupt archives; and anything beyond `limits`.
pub fn unpack(archive: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    unpack_as(Format::Tar, archive, into, limits)
}

/// Unpacks the files that dkms needs from a tar archive of everything a package would install.
pub fn unpack_payload(archive: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    unpack_as(Format::Package, archive, into, limits)
}

fn unpack_as(tar: Format, archive: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    let source = open(archive)?;
    let existed = fs::is_real_dir(into);
    if existed && !fs::list_dir(into)?.is_empty() {
        return Err(ArchiveError::NotEmpty(into.to_owned()));
    }
    let created = if existed { Vec::new() } else { fs::create_dir_all(into)? };
    let place = fs::canonicalize(into)?;
    let mut disk = Disk { place: place.clone(), directories: Vec::new() };
    let result = read_all(tar, source, place.as_os_str().len() + 1, limits, &mut disk)
        .and_then(|unpacked| disk.finish().map(|()| unpacked).map_err(ReadError::Io));
    result.map_err(|error| {
        for name in fs::list_dir(into).unwrap_or_default() {
            let _ = fs::remove_tree(into.join(name));
        }
        for dir in created.iter().rev() {
            let _ = fs::remove_empty_dirs(dir, dir.parent().unwrap_or(dir));
        }
        error.into_archive_error(archive, limits)
    })
}

fn open(archive: &Path) -> Result<File, ArchiveError> {
    if fs::metadata(archive)?.is_file() {
        Ok(fs::open(archive)?)
    } else {
        Err(ArchiveError::NotAnArchive {
            path: archive.to_owned(),
            looks_like: Some("a directory or device"),
        })
    }
}

/// Unpacks from memory and discards the result: everything [`unpack`] does except the disk. For fuzzing; it
/// must never panic.
#[doc(hidden)]
pub fn fuzz_unpack(data: &[u8]) {
    let limits = Limits { max_bytes: 16 << 20, max_entries: 10_000 };
    let _ = read_all(Format::Tar, data, 40, &limits, &mut Discard);
}

/// An error that ends the reading. The name of the archive is added later.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(IoError),
    Stream(StreamError),
    Refused { entry: String, why: Refusal },
    TooManyBytes,
    TooManyEntries,
}

impl From<StreamError> for ReadError {
    fn from(error: StreamError) -> Self {
        ReadError::Stream(error)
    }
}

impl ReadError {
    fn into_archive_error(self, archive: &Path, limits: &Limits) -> ArchiveError {
        let path = archive.to_owned();
        match self {
            ReadError::Io(e) => ArchiveError::Io(e),
            ReadError::Refused { entry, why } => ArchiveError::Refused { path, entry, why },
            ReadError::TooManyBytes | ReadError::Stream(StreamError::TooBig) => {
                ArchiveError::TooBig { path, limit: limits.max_bytes, unit: "bytes" }
            }
            ReadError::TooManyEntries => {
                ArchiveError::TooBig { path, limit: limits.max_entries, unit: "entries" }
            }
            ReadError::Stream(StreamError::NotTar) => {
                ArchiveError::NotAnArchive { looks_like: looks_like(archive), path }
            }
            ReadError::Stream(StreamError::Damaged(damage)) => ArchiveError::Damaged { path, damage },
        }
    }
}

/// Names the format of a file that is not a tar archive, if it is a common one.
fn looks_like(archive: &Path) -> Option<&'static str> {
    let mut start = Vec::new();
    fs::open(archive).ok()?.take(8).read_to_end(&mut start).ok()?;
    Some(match start.as_slice() {
        [] => "an empty file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'!', b'<', b'a', b'r', b'c', b'h', ..] => {
            "an ar archive, but not a Debian package that dkms can read"
        }
        [0xed, 0xab, 0xee, 0xdb, ..] => "an RPM package",
        [0x7f, b'E', b'L', b'F', ..] => "a program or module",
        [b'0', b'7', b'0', b'7', b'0', ..] => "a cpio archive",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7-Zip archive",
        _ => return None,
    })
}

/// The destination of entries. Names are relative and have been accepted by [`Tree`].
pub(super) trait Sink {
    fn directory(&mut self, name: &str, mode: u32, mtime: u64) -> Result<(), IoError>;
    /// Returns the number of bytes written.
    fn file(&mut self, name: &str, mode: u32, mtime: u64, contents: &mut dyn Read) -> Result<u64, ReadError>;
    fn symlink(&mut self, name: &str, target: &str) -> Result<(), IoError>;
    /// Returns the size of the copy.
    fn copy(&mut self, name: &str, original: &str) -> Result<u64, IoError>;
}

/// Reads an archive. `tar` is the format to report for a tar archive that is not a Debian package.
/// `room_taken` is the length that the destination adds to each path.
pub(super) fn read_all(
    tar: Format,
    mut source: impl Read,
    room_taken: usize,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Unpacked, ReadError> {
    let mut start = Vec::new();
    source.by_ref().take(package::AR.len() as u64).read_to_end(&mut start).map_err(reading)?;
    if start == package::AR {
        let mut data = package::data(source)?;
        let unpacked = read_tar(&mut data, Format::Package, room_taken, limits, sink)?;
        // Read the rest of the member after the compressed archive.
        std::io::copy(&mut data, &mut std::io::sink()).map_err(reading)?;
        return if data.limit() == 0 { Ok(unpacked) } else { Err(StreamError::from(Damage::CutOff).into()) };
    }
    read_tar(start.as_slice().chain(source), tar, room_taken, limits, sink)
}

fn read_tar(
    source: impl Read,
    format: Format,
    room_taken: usize,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Unpacked, ReadError> {
    let mut tree = Tree::new(room_taken);
    let mut unpacked = Unpacked { format, compression: None, entries: Vec::new(), bytes: 0 };
    // Room for headers, padding and long names.
    let overhead = limits.max_entries.saturating_mul(4096).saturating_add(1 << 20);
    unpacked.compression = walk(source, limits.max_bytes.saturating_add(overhead), |raw, contents| {
        if format == Format::Package && package::is_skipped(&raw.name) {
            return Ok(());
        }
        let entry = take_entry(raw, contents, &mut tree, limits, &mut unpacked.bytes, sink)?;
        unpacked.entries.extend(entry);
        let count = tree.len().max(unpacked.entries.len()) as u64;
        if count > limits.max_entries { Err(ReadError::TooManyEntries) } else { Ok(()) }
    })?;
    Ok(unpacked)
}

fn take_entry(
    raw: &RawEntry,
    contents: &mut dyn Read,
    tree: &mut Tree,
    limits: &Limits,
    bytes: &mut u64,
    sink: &mut dyn Sink,
) -> Result<Option<Entry>, ReadError> {
    let refuse = |why| ReadError::Refused { entry: String::from_utf8_lossy(&raw.name).into_owned(), why };
    let kind = kind_of(raw).map_err(refuse)?;
    if !matches!(kind, Kind::File) && raw.size != 0 {
        return Err(StreamError::from(Damage::Contents).into());
    }
    if matches!(kind, Kind::File) && raw.mode & 0o6000 != 0 {
        return Err(refuse(Refusal::SetId));
    }
    let Admitted { name, kind, copy_of, again } = tree.admit(&raw.name, kind).map_err(refuse)?;
    if name.is_empty() {
        return Ok(None);
    }
    if bytes.saturating_add(raw.size) > limits.max_bytes {
        return Err(ReadError::TooManyBytes);
    }
    match (&kind, copy_of) {
        (EntryKind::Directory, _) => sink.directory(&name, raw.mode, raw.mtime).map_err(ReadError::Io)?,
        (EntryKind::Symlink(_), _) if again => {}
        (EntryKind::Symlink(target), _) => sink.symlink(&name, target).map_err(ReadError::Io)?,
        (EntryKind::File, Some(original)) => {
            *bytes = bytes.saturating_add(sink.copy(&name, &original).map_err(ReadError::Io)?);
            if *bytes > limits.max_bytes {
                return Err(ReadError::TooManyBytes);
            }
        }
        (EntryKind::File, None) => {
            let size = sink.file(&name, raw.mode, raw.mtime, contents)?;
            if size != raw.size {
                return Err(StreamError::from(Damage::CutOff).into());
            }
            *bytes = bytes.saturating_add(size);
        }
    }
    Ok(Some(Entry { name, kind }))
}

fn kind_of(raw: &RawEntry) -> Result<Kind<'_>, Refusal> {
    Ok(match raw.kind {
        EntryType::Directory => Kind::Directory,
        // In old archives, directories have no type of their own.
        EntryType::Regular | EntryType::Continuous if raw.name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Symlink => Kind::Symlink(&raw.link),
        EntryType::Link => Kind::HardLink(&raw.link),
        EntryType::Char | EntryType::Block => return Err(Refusal::Kind("device")),
        EntryType::Fifo => return Err(Refusal::Kind("named pipe")),
        EntryType::GNUSparse => return Err(Refusal::Kind("sparse file")),
        _ => return Err(Refusal::Kind("entry of an unknown type")),
    })
}

/// Reads everything and discards it.
pub(super) struct Discard;

impl Sink for Discard {
    fn directory(&mut self, _: &str, _: u32, _: u64) -> Result<(), IoError> {
        Ok(())
    }

    fn file(&mut self, _: &str, _: u32, _: u64, contents: &mut dyn Read) -> Result<u64, ReadError> {
        std::io::copy(contents, &mut std::io::sink()).map_err(reading)
    }

    fn symlink(&mut self, _: &str, _: &str) -> Result<(), IoError> {
        Ok(())
    }

    fn copy(&mut self, _: &str, _: &str) -> Result<u64, IoError> {
        Ok(0)
    }
}

fn reading(e: std::io::Error) -> ReadError {
    ReadError::Stream(Damage::Read(e).into())
}

/// Writes everything below `place`. The parents of each entry are directories that this process created.
struct Disk {
    place: PathBuf,
    /// Modes and times are set last, because files cannot be created in a read-only directory.
    directories: Vec<(PathBuf, u32, u64)>,
}

impl Disk {
    fn parent(&self, path: &Path) -> Result<(), IoError> {
        fs::create_dir_all(path.parent().unwrap_or(&self.place)).map(drop)
    }

    fn finish(&mut self) -> Result<(), IoError> {
        // Children first, because creating them changed the times of their parents.
        for (path, mode, mtime) in self.directories.drain(..).rev() {
            fs::set_mode(&path, mode & 0o755 | 0o700)?;
            fs::set_modified(&path, time(mtime))?;
        }
        Ok(())
    }
}

fn time(seconds: u64) -> SystemTime {
    // Timestamps out of range are not an error.
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds.min(1 << 40)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Sink for Disk {
    fn directory(&mut self, name: &str, mode: u32, mtime: u64) -> Result<(), IoError> {
        let path = self.place.join(name);
        self.parent(&path)?;
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(IoError::new("create directory", path, e));
            }
            _ => self.directories.push((path, mode, mtime)),
        }
        Ok(())
    }

    fn file(&mut self, name: &str, mode: u32, mtime: u64, contents: &mut dyn Read) -> Result<u64, ReadError> {
        let path = self.place.join(name);
        let error = |e| ReadError::Io(IoError::new("write", &path, e));
        self.parent(&path).map_err(ReadError::Io)?;
        fs::remove_file(&path).map_err(ReadError::Io)?;
        // Must be a new file; an existing file of this name is an error.
        #[allow(clippy::disallowed_methods)]
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(error)?;
        let size = transfer(contents, &mut file).map_err(|e| match e {
            Transfer::Read(e) => reading(e),
            Transfer::Write(e) => error(e),
        })?;
        file.set_permissions(std::fs::Permissions::from_mode(mode & 0o755 | 0o600)).map_err(error)?;
        file.set_modified(time(mtime)).map_err(error)?;
        Ok(size)
    }

    fn symlink(&mut self, name: &str, target: &str) -> Result<(), IoError> {
        let path = self.place.join(name);
        self.parent(&path)?;
        fs::symlink(target, path)
    }

    fn copy(&mut self, name: &str, original: &str) -> Result<u64, IoError> {
        let path = self.place.join(name);
        self.parent(&path)?;
        fs::copy_file(self.place.join(original), path)
    }
}

enum Transfer {
    Read(std::io::Error),
    Write(std::io::Error),
}

/// Copies, and reports whether reading or writing failed: a corrupt archive and a full disk need different
/// messages.
fn transfer(from: &mut dyn Read, to: &mut File) -> Result<u64, Transfer> {
    use std::io::Write;
    let mut chunk = vec![0u8; 128 * 1024];
    let mut total = 0u64;
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(total),
            Ok(size) => {
                to.write_all(chunk.get(..size).unwrap_or_default()).map_err(Transfer::Write)?;
                total = total.saturating_add(size as u64);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Transfer::Read(e)),
        }
    }
}
