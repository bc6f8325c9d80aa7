//! `dkms report --fleet DIR`: one page about the machines whose documents are in a directory.
//!
//! Each document is added to the page and its summaries before the next one is read. The memory that is used
//! therefore depends on the size of the page, which is limited, and not on the number of documents.

mod causes;
mod document;
mod page;
mod summary;

use self::document::{DocumentError, Machine};
use self::summary::Summary;
use dkms_core::error::Result;
use dkms_sys::fs::Limit;
use std::ffi::OsString;
use std::path::Path;

/// The largest file. The document of a machine with hundreds of packages is a tenth of this.
const FILE: Limit = Limit::bytes(8 << 20);

/// The most files that are read.
const FILES: usize = 10_000;

/// Returns the page about the machines in a directory. `now` is in seconds since 1970.
///
/// # Errors
/// The directory cannot be listed. The page lists files that cannot be used.
pub(crate) fn page(dir: &Path, now: u64) -> Result<String> {
    let (names, left_out) = names(dir)?;
    let mut summary = Summary::new(now);
    for name in names {
        let shown = name.to_string_lossy();
        match read(&dir.join(&name), &shown) {
            Ok(machine) => summary.add(&machine, &shown),
            Err(why) => summary.add_unreadable(&shown, &why.to_string()),
        }
    }
    Ok(page::render(&summary, left_out))
}

/// The sorted names in the directory, and whether there are more than are read. Hidden files are left out:
/// other programs are still writing them.
fn names(dir: &Path) -> Result<(Vec<OsString>, bool)> {
    let mut names = dkms_sys::fs::list_dir(dir)?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    let left_out = names.len() > FILES;
    names.truncate(FILES);
    Ok((names, left_out))
}

/// Reads a document. Links are not followed, because they could lead to a file that only root may read.
fn read(path: &Path, name: &str) -> std::result::Result<Machine, DocumentError> {
    if dkms_sys::fs::is_symlink(path) {
        return Err(DocumentError::Link);
    }
    Machine::parse(&dkms_sys::fs::read_bounded(path, FILE)?, name)
}
