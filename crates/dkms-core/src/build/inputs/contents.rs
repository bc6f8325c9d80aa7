//! Reads files of kernel headers in parallel, and computes digests of complete directory trees.

use super::tree::Tree;
use crate::digest::{self, Hasher};
use dkms_sys::IoError;
use dkms_sys::fs::{self, Scanned, ScannedKind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most threads that read. More would only compete with builds.
const THREADS: usize = 4;

/// The content of a file. It is read when a digest is needed, and is never completely in memory.
pub(super) struct Content<'a>(&'a Scanned);

impl Content<'_> {
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns the SHA-256, or the reason why it cannot be computed.
    pub(super) fn sha256(&self) -> Result<String, IoError> {
        self.digest(digest::file)
    }

    /// Returns the MD5, or the reason why it cannot be computed.
    pub(super) fn md5(&self) -> Result<String, IoError> {
        self.digest(digest::md5_of_file)
    }

    fn digest(&self, of_file: fn(&Path) -> Result<Option<String>, IoError>) -> Result<String, IoError> {
        if self.0.kind == ScannedKind::Special {
            return Ok("special".into());
        }
        match of_file(self.path()) {
            Ok(digest) => Ok(digest.unwrap_or_else(|| "missing".into())),
            // A build by another user cannot read a file that only root may read, so the file is not part of
            // that build.
            Err(e) if e.errno() == Some(EACCES) => Ok("unreadable".into()),
            Err(e) => Err(e),
        }
    }
}

/// Permission denied.
const EACCES: i32 = 13;

/// Reads each file and returns what `examine` makes of it, in the order of the files.
pub(super) fn of_each<T: Send>(
    files: &[&Scanned],
    examine: impl Fn(&Content<'_>) -> Result<T, IoError> + Sync,
) -> Result<Vec<T>, IoError> {
    let threads = dkms_sys::sys::nproc().clamp(1, THREADS);
    let size = files.len().div_ceil(threads).max(64);
    let read = |part: &[&Scanned]| -> Result<Vec<T>, IoError> {
        part.iter().map(|file| examine(&Content(file))).collect()
    };
    std::thread::scope(|scope| {
        // Results are in the order of the files, whether a thread or this function read them.
        let mut parts = Vec::new();
        for part in files.chunks(size) {
            parts.push(match std::thread::Builder::new().spawn_scoped(scope, move || read(part)) {
                Ok(thread) => Part::Running(thread),
                // There are too many threads already.
                Err(_) => Part::Read(read(part)?),
            });
        }
        let mut all = Vec::with_capacity(files.len());
        for part in parts {
            all.extend(match part {
                Part::Running(thread) => {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
                }
                Part::Read(results) => results,
            });
        }
        Ok(all)
    })
}

enum Part<'scope, T> {
    Running(std::thread::ScopedJoinHandle<'scope, Result<Vec<T>, IoError>>),
    Read(Vec<T>),
}

/// Digest of a tree: names, kinds, execute bits, contents, link targets. The path of the tree itself does not
/// count.
pub(super) fn digest_of(tree: &Tree) -> Result<String, IoError> {
    let mut parts: Vec<&Scanned> = Vec::new();
    let mut left_out: Option<&Path> = None;
    for entry in &tree.entries {
        if left_out.is_some_and(|dir| entry.path.starts_with(dir)) {
            continue;
        }
        let (dir, name) = (entry.path.parent(), entry.path.file_name());
        if !is_part(dir.unwrap_or(&tree.path), name.unwrap_or_default()) {
            left_out = Some(&entry.path);
            continue;
        }
        parts.push(entry);
    }
    let is_file = |entry: &Scanned| !matches!(entry.kind, ScannedKind::Directory | ScannedKind::Link);
    let files: Vec<&Scanned> = parts.iter().copied().filter(|entry| is_file(entry)).collect();
    let mut digests = of_each(&files, |content| content.sha256())?.into_iter();
    let mut hash = Hasher::new();
    for entry in parts {
        let what = match entry.kind {
            ScannedKind::Directory => Vec::new(),
            ScannedKind::Link => fs::read_link(&entry.path)?.into_os_string().into_encoded_bytes(),
            _ => digests.next().unwrap_or_default().into_bytes(),
        };
        let name = entry.path.strip_prefix(&tree.path).unwrap_or(&entry.path);
        for field in [name.as_os_str().as_bytes(), &what] {
            hash.update(&(field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        hash.update(&[entry.kind as u8]);
    }
    Ok(hash.finish())
}

/// Returns whether an entry of a kernel's source can influence how modules are compiled. Objects and the
/// kernel's own key do not.
fn is_part(dir: &Path, name: &OsStr) -> bool {
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
    // On that architecture, modules are linked with an object of the kernel.
    let linked = dir.ends_with("arch/powerpc/lib");
    let object = OBJECTS.iter().any(|suffix| name.as_bytes().ends_with(suffix.as_bytes()));
    !UNRELATED.iter().any(|unrelated| name == OsStr::new(unrelated)) && (linked || !object)
}
