//! The files that kernel headers consist of, and digests of them.

use crate::digest::Hasher;
use dkms_sys::fs::Scanned;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Two short values that identify a kernel's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The headers.
    pub headers: String,
    /// The programs and makefiles of kbuild, if they are in a separate package.
    pub kbuild: Option<String>,
}

/// A directory of the headers, or a file to which the headers link.
pub(super) struct Tree {
    pub(super) path: PathBuf,
    pub(super) entries: Vec<Scanned>,
}

/// Adds a field to a digest. The length of the field is a part of the digest.
pub(super) fn add_field(hash: &mut Hasher, field: &[u8]) {
    hash.update(&(field.len() as u64).to_le_bytes());
    hash.update(field);
}

/// Adds an entry to a digest: its path below `top`, its contents, and its kind.
pub(super) fn add_entry(hash: &mut Hasher, top: &Path, entry: &Scanned, contents: &[u8]) {
    let name = entry.path.strip_prefix(top).unwrap_or(&entry.path);
    add_field(hash, name.as_os_str().as_bytes());
    add_field(hash, contents);
    hash.update(&[entry.kind as u8]);
}
