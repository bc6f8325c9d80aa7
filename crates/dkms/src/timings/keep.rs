//! The pages of the last commands, in the tree.

use dkms_core::host::Host;
use dkms_sys::{IoError, Result};
use dkms_tree::layout::Layout;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The number of pages that are kept.
const KEPT: usize = 5;

/// No page takes that long to write.
const HOUR: Duration = Duration::from_secs(3600);

/// Whether this system keeps pages: a running system does, an image that is being made does not, because two
/// images that are made alike would differ.
pub(super) fn is_kept(host: &Host, layout: &Layout) -> bool {
    host.source_date_epoch().is_none()
        && host.other_root.is_none()
        && dkms_sys::fs::writable(&layout.dkms_tree)
}

/// Keeps a page, and deletes the oldest ones. No link is followed.
pub(super) fn keep(layout: &Layout, action: &str, page: &str) -> Result<PathBuf> {
    let dir = layout.timings_dir();
    if !dkms_sys::fs::is_real_dir(&dir) {
        if dkms_sys::fs::exists(&dir) {
            let other = std::io::Error::other("it is not a directory (remove it)");
            return Err(IoError::new("use", &dir, other));
        }
        dkms_sys::fs::create_dir_all(&dir)?;
    }
    let time: String = dkms_core::time::utc_now().chars().filter(char::is_ascii_digit).collect();
    let name = format!("{time}-{:07}-{action}.html", std::process::id());
    let path = dir.join(&name);
    dkms_sys::fs::write_unsynced(&path, page.as_bytes(), 0o644)?;
    let (unfinished, mut pages): (Vec<OsString>, Vec<OsString>) =
        dkms_sys::fs::list_dir(&dir)?.into_iter().partition(|name| name.as_encoded_bytes().starts_with(b"."));
    // The names begin with the time, in seconds, so that the oldest are first. This one is the newest.
    pages.retain(|page| page.as_encoded_bytes().ends_with(b".html") && *page != *name);
    pages.sort();
    let old = pages.iter().rev().skip(KEPT - 1);
    for name in old.chain(unfinished.iter().filter(|name| is_left_behind(&dir.join(name)))) {
        dkms_sys::fs::remove_file(dir.join(name))?;
    }
    Ok(path)
}

/// Whether a killed command left this unfinished page: another one may be writing it.
fn is_left_behind(path: &Path) -> bool {
    let modified = dkms_sys::fs::symlink_metadata(path).ok().and_then(|meta| meta.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > HOUR)
}
