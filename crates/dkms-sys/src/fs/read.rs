//! Reads files that other users may have created.
//!
//! A FIFO, a device, or a file of many gigabytes in place of a small text must neither block dkms nor exhaust
//! the memory. Every function here refuses files that are not regular, and reads no more than its caller
//! allows. Files in `/proc` and `/sys` are regular files of size 0 and can be read like others.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::{IoError, Result};

/// The maximum size of a file in bytes, by its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit(pub(super) u64);

impl Limit {
    /// Text written by people: dkms.conf, its overrides, framework.conf, os-release, templates, keys,
    /// certificates, kernel parameters.
    pub const CONFIG: Self = Self(1 << 20);
    /// Files written by dkms: manifests, journals, marks of builds.
    pub const RECORD: Self = Self(64 << 20);
    /// Files that describe a kernel: its configuration, `Module.symvers`, depmod's indexes.
    pub const INDEX: Self = Self(256 << 20);
    /// The part of make.log that is searched for errors.
    pub const LOG: Self = Self(64 << 20);
    /// A module file, compressed or not, or a kernel image.
    pub const MODULE: Self = Self(1 << 30);
    /// A file that is copied, packed or compared, but never completely in memory.
    pub const COPIED: Self = Self(8 << 30);

    /// A limit of this many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is {0}, not a regular file (remove it, or replace it by the right file)")]
    Special(&'static str),
    #[error("it leads to {0}, not to a regular file (remove the link, or replace it by the right file)")]
    LinkToSpecial(&'static str),
    #[error("it is larger than {} bytes, the limit for such files (replace it by the right file)", .0.0)]
    TooLarge(Limit),
}

impl From<Unfit> for std::io::Error {
    fn from(unfit: Unfit) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, unfit)
    }
}

/// Reads the whole file, at most 1 GiB ([`Limit::MODULE`]).
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_bounded(path, Limit::MODULE)
}

/// Reads the whole file. A larger file is an error, and so is a file that is not regular.
pub fn read_bounded(path: impl AsRef<Path>, limit: Limit) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let error = |e| IoError::new("read", path, e);
    let (file, meta) = open_regular("read", path)?;
    check_size(path, &meta, limit)?;
    let mut bytes = Vec::new();
    let expected = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(expected).map_err(|_| error(std::io::ErrorKind::OutOfMemory.into()))?;
    // The file may grow while it is read.
    file.take(limit.0.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > limit.0 {
        return Err(error(Unfit::TooLarge(limit).into()));
    }
    Ok(bytes)
}

/// Like [`read_bounded`], as text; bytes that are not UTF-8 become U+FFFD.
pub fn read_text(path: impl AsRef<Path>, limit: Limit) -> Result<String> {
    let bytes = read_bounded(path, limit)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Reads the beginning of a file of any size.
pub fn read_start(path: impl AsRef<Path>, limit: Limit) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    let (file, _) = open_regular("read", path)?;
    file.take(limit.0).read_to_end(&mut bytes).map_err(|e| IoError::new("read", path, e))?;
    Ok(bytes)
}

/// Like [`read_bounded`], or `None` if the file or a directory of its path does not exist.
pub fn read_optional(path: impl AsRef<Path>, limit: Limit) -> Result<Option<Vec<u8>>> {
    match read_bounded(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.is_absent() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Opens a regular file of any size for reading, following links.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    open_regular("open", path.as_ref()).map(|(file, _)| file)
}

/// Opens a regular file of at most this size, following links.
pub fn open_bounded(path: impl AsRef<Path>, limit: Limit) -> Result<File> {
    let path = path.as_ref();
    let (file, meta) = open_regular("open", path)?;
    check_size(path, &meta, limit)?;
    Ok(file)
}

/// Fails if the file is larger than the limit.
pub(super) fn check_size(path: &Path, meta: &Metadata, limit: Limit) -> Result<()> {
    if meta.len() > limit.0 {
        return Err(IoError::new("read", path, std::io::Error::from(Unfit::TooLarge(limit))));
    }
    Ok(())
}

fn open_regular(op: &'static str, path: &Path) -> Result<(File, Metadata)> {
    let error = |e| IoError::new(op, path, e);
    let check = |meta: &Metadata| match is_readable(meta) {
        true => Ok(()),
        false => Err(error(unfit(path, meta.file_type()).into())),
    };
    // Opening a device can have side effects, such as starting a watchdog.
    check(&std::fs::metadata(path).map_err(error)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(error)?;
    let meta = file.metadata().map_err(error)?;
    check(&meta)?;
    Ok((file, meta))
}

/// Whether the file is regular, or `/dev/null`, which counts as an empty file.
fn is_readable(meta: &Metadata) -> bool {
    meta.is_file() || is_null(meta)
}

fn is_null(meta: &Metadata) -> bool {
    const NULL: u64 = libc::makedev(1, 3);
    meta.file_type().is_char_device() && meta.rdev() == NULL
}

/// Whether `/dev/null` is mounted or linked there, which means that the file counts as missing.
pub fn is_masked(path: impl AsRef<Path>) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| is_null(&meta))
}

fn unfit(path: &Path, kind: FileType) -> Unfit {
    if path.is_symlink() { Unfit::LinkToSpecial(describe(kind)) } else { Unfit::Special(describe(kind)) }
}

/// A file type in words, with an article.
pub(super) fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_file() {
        "a regular file"
    } else {
        "a device"
    }
}
