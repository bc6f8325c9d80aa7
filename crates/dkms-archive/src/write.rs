//! Writes archives reproducibly and atomically.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_sys::fs;
use tar::{Builder, EntryType, Header};

use super::compression;
use super::error::ArchiveError;
use kmodule::Compression;

/// The contents of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a directory with all its contents. The path itself is followed if it is a link; links below
    /// it are kept.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A directory, without any contents.
    Directory,
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// A file, directory or link to be archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in the archive, relative: `dkms_source_tree`.
    pub name: String,
    /// Its contents.
    pub source: Source,
    /// Its permission bits; `None` keeps those of the file, and means 0644 for bytes and 0755 for a
    /// directory.
    pub mode: Option<u32>,
    /// Its modification time in seconds since 1970; `None` keeps that of the file, and means 0 for anything
    /// else.
    pub mtime: Option<u64>,
}

impl Member {
    /// A file or directory that keeps its modes and times.
    pub fn path(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Member { name: name.into(), source: Source::Path(path.into()), mode: None, mtime: None }
    }

    /// A generated file with mode 0644.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>, mtime: u64) -> Self {
        Member { name: name.into(), source: Source::Bytes(bytes.into()), mode: None, mtime: Some(mtime) }
    }

    /// A file with this mode and time, instead of those of `path`.
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>, mode: u32, mtime: u64) -> Self {
        let source = Source::Path(path.into());
        Member { name: name.into(), source, mode: Some(mode), mtime: Some(mtime) }
    }

    /// A directory with mode 0755.
    pub fn directory(name: impl Into<String>, mtime: u64) -> Self {
        Member { name: name.into(), source: Source::Directory, mode: None, mtime: Some(mtime) }
    }

    /// A symbolic link.
    pub fn link(name: impl Into<String>, target: impl Into<PathBuf>, mtime: u64) -> Self {
        Member { name: name.into(), source: Source::Link(target.into()), mode: None, mtime: Some(mtime) }
    }
}

/// A summary of the written archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its compression; `None` if it has none.
    pub compression: Option<Compression>,
    /// The number of files, directories and links in it.
    pub entries: u64,
    /// The size of the archive in bytes.
    pub size: u64,
    /// Sockets, devices and named pipes that were left out.
    pub left_out: Vec<PathBuf>,
}

/// Writes a GNU tar archive to `dest`, compressed according to its suffix. The write is atomic: it writes a
/// temporary file next to `dest` and renames it.
///
/// Entries are sorted by name and owned by root. Modification times are kept but never later than
/// `source_date_epoch` (seconds since 1970, as in SOURCE_DATE_EPOCH). Setuid and setgid bits are dropped.
/// Sockets, devices and named pipes are left out. Two members with the same name are an error.
pub fn write(
    dest: &Path,
    members: &[Member],
    source_date_epoch: Option<u64>,
) -> Result<Written, ArchiveError> {
    let compression = compression::from_name(dest);
    let mut left_out = Vec::new();
    let plan = plan(members, &mut left_out)?;
    let mut failure = None;
    let result = fs::replace_with(dest, 0o644, |file| {
        let mut out = Encoder::new(BufWriter::with_capacity(128 * 1024, file), compression)?;
        let mut builder = Builder::new(&mut out);
        for (name, item) in &plan {
            if let Err(e) = append(&mut builder, name, item, source_date_epoch) {
                return Err(match e {
                    Append::Write(e) => e,
                    Append::Member(e) => {
                        failure = Some(e);
                        std::io::Error::other("a member cannot be read")
                    }
                });
            }
        }
        builder.into_inner()?;
        out.finish()
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    result?;
    Ok(Written { compression, entries: plan.len() as u64, size: fs::metadata(dest)?.len(), left_out })
}

/// Everything to be written, keyed by its name in the archive. The order of the keys is the order in the
/// file.
pub(super) type Plan = BTreeMap<Vec<u8>, Item>;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) mode: u32,
    pub(super) mtime: u64,
}

#[derive(Debug)]
pub(super) enum What {
    Directory,
    File(PathBuf, u64),
    Bytes(Vec<u8>),
    Symlink(PathBuf),
}

/// Collects all files of the members; sockets, devices and named pipes are put into `left_out`.
pub(super) fn plan(members: &[Member], left_out: &mut Vec<PathBuf>) -> Result<Plan, ArchiveError> {
    let mut plan = Plan::new();
    for member in members {
        plan_member(&mut plan, member, left_out)?;
    }
    Ok(plan)
}

fn plan_member(plan: &mut Plan, member: &Member, left_out: &mut Vec<PathBuf>) -> Result<(), ArchiveError> {
    let name = member.name.trim_end_matches('/');
    let is_valid =
        !name.is_empty() && !name.starts_with('/') && name.split('/').all(|p| !matches!(p, "" | "." | ".."));
    if !is_valid {
        return Err(bad(
            Path::new(&member.name),
            "its name in the archive must be relative and without dots",
        ));
    }
    let (what, mode) = match &member.source {
        Source::Bytes(bytes) => (What::Bytes(bytes.clone()), 0o644),
        Source::Directory => (What::Directory, 0o755),
        Source::Link(target) => (What::Symlink(target.clone()), 0o777),
        Source::Path(path) => {
            let real = fs::canonicalize(path)?;
            return plan_path(plan, name.as_bytes().to_vec(), &real, Some(member), left_out);
        }
    };
    let mode = member.mode.unwrap_or(mode) & 0o777;
    let item = Item { what, mode, mtime: member.mtime.unwrap_or(0) };
    put(plan, name.as_bytes().to_vec(), item, Path::new(name))
}

fn plan_path(
    plan: &mut Plan,
    name: Vec<u8>,
    path: &Path,
    member: Option<&Member>,
    left_out: &mut Vec<PathBuf>,
) -> Result<(), ArchiveError> {
    let meta = fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    let what = if kind.is_dir() {
        What::Directory
    } else if kind.is_file() {
        What::File(path.to_owned(), meta.len())
    } else if kind.is_symlink() {
        What::Symlink(fs::read_link(path)?)
    } else {
        left_out.push(path.to_owned());
        return Ok(());
    };
    let item = Item {
        what,
        mode: member.and_then(|m| m.mode).unwrap_or(meta.mode()) & 0o777,
        mtime: member.and_then(|m| m.mtime).unwrap_or(seconds(&meta)),
    };
    put(plan, name.clone(), item, path)?;
    if kind.is_dir() {
        for child in fs::list_dir(path)? {
            let mut below = name.clone();
            below.push(b'/');
            below.extend_from_slice(child.as_bytes());
            plan_path(plan, below, &path.join(child), None, left_out)?;
        }
    }
    Ok(())
}

fn seconds(meta: &Metadata) -> u64 {
    u64::try_from(meta.mtime()).unwrap_or(0)
}

fn put(plan: &mut Plan, name: Vec<u8>, item: Item, path: &Path) -> Result<(), ArchiveError> {
    let both_directories =
        |before: &Item| matches!((&before.what, &item.what), (What::Directory, What::Directory));
    match plan.get(&name) {
        Some(before) if !both_directories(before) => {
            Err(bad(path, "another member has the same name in the archive"))
        }
        _ => {
            plan.insert(name, item);
            Ok(())
        }
    }
}

pub(super) fn bad(path: &Path, reason: &'static str) -> ArchiveError {
    ArchiveError::BadMember { path: path.to_owned(), reason }
}

enum Append {
    Write(std::io::Error),
    Member(ArchiveError),
}

impl From<std::io::Error> for Append {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

fn append(
    builder: &mut Builder<impl Write>,
    name: &[u8],
    item: &Item,
    epoch: Option<u64>,
) -> Result<(), Append> {
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    let mut header = Header::new_gnu();
    header.set_mode(item.mode);
    header.set_mtime(epoch.map_or(item.mtime, |limit| item.mtime.min(limit)));
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_size(0);
    match &item.what {
        What::Directory => {
            header.set_entry_type(EntryType::Directory);
            Ok(builder.append_data(&mut header, path.join(""), std::io::empty())?)
        }
        What::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            Ok(builder.append_link(&mut header, path, target)?)
        }
        What::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            Ok(builder.append_data(&mut header, path, bytes.as_slice())?)
        }
        What::File(source, size) => {
            header.set_size(*size);
            let file = fs::open_bounded(source, fs::Limit::COPIED).map_err(|e| Append::Member(e.into()))?;
            let mut exact = Exact { file: file.take(*size), left: *size };
            builder.append_data(&mut header, path, &mut exact).map_err(|e| {
                if exact.left > 0 && e.kind() == std::io::ErrorKind::UnexpectedEof {
                    Append::Member(bad(source, "it became shorter while it was read"))
                } else {
                    Append::Write(e)
                }
            })
        }
    }
}

/// Reads exactly as many bytes of a file as its header announces, even if the file grows meanwhile. It is an
/// error if the file becomes shorter.
struct Exact {
    file: std::io::Take<File>,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(size as u64);
        if size == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(size)
    }
}

/// A common interface to the compressors.
pub(super) enum Encoder<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Xz(liblzma::write::XzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Bzip2(bzip2::write::BzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    pub(super) fn new(inner: W, compression: Option<Compression>) -> std::io::Result<Self> {
        Ok(match compression {
            None => Encoder::Plain(inner),
            // No name and no time in the gzip header.
            Some(Compression::Gzip) => {
                Encoder::Gzip(flate2::GzBuilder::new().write(inner, flate2::Compression::new(6)))
            }
            Some(Compression::Xz) => Encoder::Xz(liblzma::write::XzEncoder::new(inner, 6)),
            Some(Compression::Zstd) => Encoder::Zstd(zstd::stream::write::Encoder::new(inner, 9)?),
            Some(Compression::Bzip2) => {
                Encoder::Bzip2(bzip2::write::BzEncoder::new(inner, bzip2::Compression::best()))
            }
            Some(other) => return Err(compression::unsupported(other)),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Encoder::Plain(inner) => inner,
            Encoder::Gzip(encoder) => encoder,
            Encoder::Xz(encoder) => encoder,
            Encoder::Zstd(encoder) => encoder,
            Encoder::Bzip2(encoder) => encoder,
        }
    }

    pub(super) fn finish(self) -> std::io::Result<()> {
        let mut inner = match self {
            Encoder::Plain(inner) => inner,
            Encoder::Gzip(encoder) => encoder.finish()?,
            Encoder::Xz(encoder) => encoder.finish()?,
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Bzip2(encoder) => encoder.finish()?,
        };
        inner.flush()
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer().flush()
    }
}
