//! Computes digests of files and of complete directory trees.

use super::parallel;
use super::tree::{Tree, add_entry};
use crate::digest::{self, Hasher};
use dkms_sys::IoError;
use dkms_sys::fs::{self, Scanned, ScannedKind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The error number for "permission denied".
const EACCES: i32 = 13;

/// The minimum number of files for a thread.
pub(super) const FILES_PER_THREAD: usize = 64;

/// Returns the SHA-256 of a file, or the reason why it has none.
pub(super) fn sha256(entry: &Scanned) -> Result<String, IoError> {
    digest_with(digest::file, entry)
}

/// Returns the MD5 of a file, or the reason why it has none.
pub(super) fn md5(entry: &Scanned) -> Result<String, IoError> {
    digest_with(digest::md5_of_file, entry)
}

fn digest_with(
    digest: fn(&Path) -> Result<Option<String>, IoError>,
    entry: &Scanned,
) -> Result<String, IoError> {
    if entry.kind == ScannedKind::Special {
        return Ok("special".into());
    }
    match digest(&entry.path) {
        Ok(digest) => Ok(digest.unwrap_or_else(|| "missing".into())),
        // A file that only root may read is not an input of a build by another user.
        Err(e) if e.errno() == Some(EACCES) => Ok("unreadable".into()),
        Err(e) => Err(e),
    }
}

/// Computes the digest of a tree: names, kinds, execute bits, contents and link targets. The path of the tree
/// is not part of it.
pub(super) fn digest_of(tree: &Tree) -> Result<String, IoError> {
    let mut parts: Vec<&Scanned> = Vec::new();
    let mut excluded: Option<&Path> = None;
    for entry in &tree.entries {
        if excluded.is_some_and(|dir| entry.path.starts_with(dir)) {
            continue;
        }
        let (dir, name) = (entry.path.parent(), entry.path.file_name());
        if !is_input(dir.unwrap_or(&tree.path), name.unwrap_or_default()) {
            excluded = Some(&entry.path);
            continue;
        }
        parts.push(entry);
    }
    let is_file = |entry: &Scanned| !matches!(entry.kind, ScannedKind::Directory | ScannedKind::Link);
    let files: Vec<&Scanned> = parts.iter().copied().filter(|entry| is_file(entry)).collect();
    let mut digests = parallel::map(&files, FILES_PER_THREAD, |entry| sha256(entry))?.into_iter();
    let mut hash = Hasher::new();
    for entry in parts {
        let contents = match entry.kind {
            ScannedKind::Directory => Vec::new(),
            ScannedKind::Link => fs::read_link(&entry.path)?.into_os_string().into_encoded_bytes(),
            _ => digests.next().unwrap_or_default().into_bytes(),
        };
        add_entry(&mut hash, &tree.path, entry, &contents);
    }
    Ok(hash.finish())
}

/// Returns whether an entry of a kernel's source can influence how modules are compiled. Objects and the
/// kernel's own key have no influence.
fn is_input(dir: &Path, name: &OsStr) -> bool {
    const OBJECTS: [&str; 9] = [".o", ".a", ".ko", ".cmd", ".mod", ".mod.c", ".order", ".dwo", ".pyc"];
    const UNRELATED: [&str; 7] = [
        "Documentation",
        "System.map",
        "signing_key.pem",
        "signing_key.x509",
        "vmlinux.unstripped",
        ".config.old",
        "__pycache__",
    ];
    // On powerpc, modules are linked with an object of the kernel.
    let linked = dir.ends_with("arch/powerpc/lib");
    let object = OBJECTS.iter().any(|suffix| name.as_bytes().ends_with(suffix.as_bytes()));
    !UNRELATED.iter().any(|unrelated| name == OsStr::new(unrelated)) && (linked || !object)
}
