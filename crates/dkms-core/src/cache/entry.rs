//! One entry. Nothing in it is used before it is checked against its record.

use super::error::Damaged;
use crate::digest;
use dkms_bundle::record::{File, MAX_BYTES, Record};
use dkms_sys::fs::{self, Distrust};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of the record in an entry.
pub const RECORD: &str = "record.json";

/// The most bytes that the files of an entry can have.
const LARGEST: u64 = 4 << 30;

/// A complete build in a directory: that of an entry, or one that comes from elsewhere.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it contains.
    pub record: Record,
    /// Where its files are.
    pub dir: PathBuf,
}

impl Entry {
    /// Opens the entry in a directory; `None` if there is no such directory.
    ///
    /// # Errors
    /// Its record is not that of this fingerprint, or a file is missing, has another size, or can be written
    /// by others.
    pub fn open(dir: &Path, fingerprint: &str) -> Result<Option<Self>, Damaged> {
        if !fs::exists(dir) {
            return Ok(None);
        }
        let damaged = |reason: String| Damaged { path: dir.to_owned(), reason };
        let above = dir.parent().and_then(foreign);
        if let Some(why) = above.or_else(|| foreign(dir)) {
            return Err(damaged(why.to_string()));
        }
        let json = read(dir, Path::new(RECORD), MAX_BYTES as u64).map_err(damaged)?;
        let record = Record::parse(&json).map_err(|e| damaged(e.to_string()))?;
        if record.fingerprint != fingerprint {
            return Err(damaged(format!("its record has the fingerprint {}", record.fingerprint)));
        }
        let entry = Self { record, dir: dir.to_owned() };
        entry.record.files.iter().try_for_each(|file| entry.open_file(file).map(drop)).map_err(damaged)?;
        Ok(Some(entry))
    }

    /// Reads one of its files and checks size and digest.
    ///
    /// # Errors
    /// It is not the file that the record describes.
    pub fn read(&self, file: &File) -> Result<Vec<u8>, Damaged> {
        let damaged = |reason: String| Damaged { path: self.dir.clone(), reason };
        let opened = self.open_file(file).map_err(damaged)?;
        let mut bytes = Vec::new();
        let read = opened.take(file.size.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|e| damaged(format!("{} cannot be read: {e}", file.path)))?;
        if bytes.len() as u64 != file.size || digest::bytes(&bytes) != file.sha256 {
            return Err(damaged(format!("{} differs from its record", file.path)));
        }
        Ok(bytes)
    }

    /// Compares all files with the record.
    ///
    /// # Errors
    /// A file is not the one that the record describes.
    pub fn check(&self) -> Result<(), Damaged> {
        self.record.files.iter().try_for_each(|file| self.read(file).map(drop))
    }

    /// The file of this path, if the entry has it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.record.files.iter().find(|file| file.path == path)
    }

    /// Files and directories in it that its record does not have.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn foreign_files(&self) -> Result<Vec<PathBuf>, Damaged> {
        let files = self.record.files.iter().map(|file| PathBuf::from(&file.path));
        let known: BTreeSet<PathBuf> = files.chain([RECORD.into()]).collect();
        let mut found = Vec::new();
        let mut left = vec![PathBuf::new()];
        while let Some(below) = left.pop() {
            let names = fs::list_dir(self.dir.join(&below));
            let names = names.map_err(|e| Damaged { path: self.dir.clone(), reason: e.to_string() })?;
            for name in names {
                let name = below.join(name);
                let holds_known = || known.iter().any(|file| file.starts_with(&name));
                if fs::is_real_dir(self.dir.join(&name)) && holds_known() {
                    left.push(name);
                } else if !known.contains(&name) {
                    found.push(name);
                }
            }
        }
        Ok(found)
    }

    /// Records that it was used now. Best effort: it decides only when the entry is evicted.
    pub(crate) fn touch(&self) {
        let _ = fs::set_modified(self.dir.join(RECORD), std::time::SystemTime::now());
    }

    fn open_file(&self, file: &File) -> Result<std::fs::File, String> {
        let opened = open(&self.dir, Path::new(&file.path))?;
        let size = opened.metadata().map_err(|e| e.to_string())?.len();
        if size != file.size {
            return Err(format!("{} has {size} bytes and should have {}", file.path, file.size));
        }
        // It is read into memory. Larger builds cannot have been stored.
        let total = self.record.total_size();
        if total > LARGEST { Err(format!("its files have {total} bytes")) } else { Ok(opened) }
    }
}

fn open(dir: &Path, name: &Path) -> Result<std::fs::File, String> {
    let file = fs::open_untrusted(dir, name, None).map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    match fs::written_by_others(&meta) {
        None => Ok(file),
        Some(why) => Err(format!("{}: {why}", name.display())),
    }
}

fn read(dir: &Path, name: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = open(dir, name)?.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("{} cannot be read: {e}", name.display()))?;
    Ok(bytes)
}

/// Why a directory of the cache is not one that only root can change.
pub(super) fn foreign(dir: &Path) -> Option<Distrust> {
    let meta = fs::symlink_metadata(dir).ok()?;
    if meta.is_symlink() {
        Some(Distrust::Link)
    } else if !meta.is_dir() {
        Some(Distrust::NotDirectory)
    } else {
        fs::written_by_others(&meta)
    }
}
