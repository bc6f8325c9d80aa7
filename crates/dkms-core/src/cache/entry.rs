//! An entry. Each file is compared with the record before it is used.

use super::error::Damaged;
use crate::digest;
use dkms_bundle::record::{File, MAX_BYTES, Record};
use dkms_sys::fs::{self, Distrust};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of the record in an entry.
pub const RECORD: &str = "record.json";

/// The maximum size of all files of an entry, in bytes.
const MAX_SIZE: u64 = 4 << 30;

/// A complete build in a directory: an entry of the cache, or a build from another source.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record of its files.
    pub record: Record,
    /// The directory of its files.
    pub dir: PathBuf,
}

impl Entry {
    /// Opens the entry in a directory; `None` if there is no such directory.
    ///
    /// # Errors
    /// Its record belongs to another fingerprint, or a file is missing, has another size, or can be written
    /// by other users.
    pub fn open(dir: &Path, fingerprint: &str) -> Result<Option<Self>, Damaged> {
        if !fs::exists(dir) {
            return Ok(None);
        }
        let damaged = |reason: String| Damaged { path: dir.to_owned(), reason };
        if let Some(why) = dir.parent().and_then(distrust).or_else(|| distrust(dir)) {
            return Err(damaged(why.to_string()));
        }
        let name = Path::new(RECORD);
        let json = open(dir, name).and_then(|file| read(file, name, MAX_BYTES as u64)).map_err(damaged)?;
        let record = Record::parse(&json).map_err(|e| damaged(e.to_string()))?;
        if record.fingerprint != fingerprint {
            return Err(damaged(format!("its record has the fingerprint {}", record.fingerprint)));
        }
        let entry = Self { record, dir: dir.to_owned() };
        entry.record.files.iter().try_for_each(|file| entry.open_file(file).map(drop)).map_err(damaged)?;
        Ok(Some(entry))
    }

    /// Reads one of its files and checks its size and digest.
    ///
    /// # Errors
    /// The file does not match the record.
    pub fn read(&self, file: &File) -> Result<Vec<u8>, Damaged> {
        let damaged = |reason: String| Damaged { path: self.dir.clone(), reason };
        let opened = self.open_file(file).map_err(damaged)?;
        let bytes = read(opened, Path::new(&file.path), file.size).map_err(damaged)?;
        if bytes.len() as u64 != file.size || digest::bytes(&bytes) != file.sha256 {
            return Err(damaged(format!("{} differs from its record", file.path)));
        }
        Ok(bytes)
    }

    /// Compares all files with the record.
    ///
    /// # Errors
    /// A file does not match the record.
    pub fn check(&self) -> Result<(), Damaged> {
        self.record.files.iter().try_for_each(|file| self.read(file).map(drop))
    }

    /// Returns the record of the file with this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.record.files.iter().find(|file| file.path == path)
    }

    /// Returns the files and directories in it that its record does not list.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn foreign_files(&self) -> Result<Vec<PathBuf>, Damaged> {
        let files = self.record.files.iter().map(|file| PathBuf::from(&file.path));
        let known: BTreeSet<PathBuf> = files.chain([RECORD.into()]).collect();
        let mut foreign = Vec::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(dir) = pending.pop() {
            let names = fs::list_dir(self.dir.join(&dir));
            let names = names.map_err(|e| Damaged { path: self.dir.clone(), reason: e.to_string() })?;
            for path in names.into_iter().map(|name| dir.join(name)) {
                let contains_known = || known.iter().any(|file| file.starts_with(&path));
                if fs::is_real_dir(self.dir.join(&path)) && contains_known() {
                    pending.push(path);
                } else if !known.contains(&path) {
                    foreign.push(path);
                }
            }
        }
        Ok(foreign)
    }

    /// Records that it was used now. A failure is ignored: the time only decides when the entry is evicted.
    pub(crate) fn touch(&self) {
        let _ = fs::set_modified(self.dir.join(RECORD), std::time::SystemTime::now());
    }

    fn open_file(&self, file: &File) -> Result<std::fs::File, String> {
        let opened = open(&self.dir, Path::new(&file.path))?;
        let size = opened.metadata().map_err(|e| e.to_string())?.len();
        if size != file.size {
            return Err(format!("{} has {size} bytes and should have {}", file.path, file.size));
        }
        // Files are read into memory. A larger build cannot have been stored.
        let total = self.record.total_size();
        if total > MAX_SIZE { Err(format!("its files have {total} bytes")) } else { Ok(opened) }
    }
}

fn open(dir: &Path, name: &Path) -> Result<std::fs::File, String> {
    let file = fs::open_untrusted(dir, name, None).map_err(|e| e.to_string())?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    match fs::written_by_others(&metadata) {
        None => Ok(file),
        Some(why) => Err(format!("{}: {why}", name.display())),
    }
}

/// Reads an open file, but at most one byte more than `limit`. `name` is for the error.
fn read(file: std::fs::File, name: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    result.map_err(|e| format!("{} cannot be read: {e}", name.display()))?;
    Ok(bytes)
}

/// Returns the reason why a directory of the cache is not trusted: users other than root can change it.
pub(super) fn distrust(dir: &Path) -> Option<Distrust> {
    let metadata = fs::symlink_metadata(dir).ok()?;
    if metadata.is_symlink() {
        Some(Distrust::Link)
    } else if !metadata.is_dir() {
        Some(Distrust::NotDirectory)
    } else {
        fs::written_by_others(&metadata)
    }
}
