//! The pages of the last commands, in the tree.

use dkms_core::session::Session;
use dkms_sys::{IoError, Result};
use std::path::PathBuf;

/// The number of pages that are kept.
const KEPT: usize = 5;

/// Whether this system keeps pages: a running system does, an image that is being made does not, because it
/// would no longer be the same each time.
pub(super) fn is_kept(s: &Session<'_>) -> bool {
    let host = s.host;
    host.source_date_epoch().is_none()
        && host.other_root.is_none()
        && dkms_sys::fs::writable(&s.layout.dkms_tree)
}

/// Keeps a page, and deletes the oldest ones. No link is followed.
pub(super) fn keep(s: &Session<'_>, action: &str, page: &str) -> Result<PathBuf> {
    let dir = s.layout.timings_dir();
    if !dkms_sys::fs::is_real_dir(&dir) {
        if dkms_sys::fs::exists(&dir) {
            let other = std::io::Error::other("it is not a directory (remove it)");
            return Err(IoError::new("use", &dir, other));
        }
        dkms_sys::fs::create_dir_all(&dir)?;
    }
    let time: String = dkms_core::time::utc_now().chars().filter(char::is_ascii_digit).collect();
    let name = format!("{time}-{}-{action}.html", std::process::id());
    let path = dir.join(name);
    dkms_sys::fs::write_unsynced(&path, page.as_bytes(), 0o644)?;
    let mut names = dkms_sys::fs::list_dir(&dir)?;
    // The names begin with the time, so that the oldest are first.
    names.retain(|name| name.to_string_lossy().ends_with(".html"));
    names.sort();
    for name in names.iter().rev().skip(KEPT) {
        dkms_sys::fs::remove_file(dir.join(name))?;
    }
    Ok(path)
}
