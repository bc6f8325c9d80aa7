//! Keeps the pages of the last commands in the tree.

use dkms_core::host::Host;
use dkms_sys::{IoError, Result};
use dkms_tree::layout::Layout;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The number of pages that are kept.
const KEPT: usize = 5;

/// An unfinished page that is older than this was left behind by a killed command.
const HOUR: Duration = Duration::from_secs(3600);

/// Whether this system keeps pages. An image that is being built does not, because pages would make two
/// builds of the same image differ.
pub(super) fn is_kept(host: &Host, layout: &Layout) -> bool {
    host.source_date_epoch().is_none()
        && host.other_root.is_none()
        && dkms_sys::fs::writable(&layout.dkms_tree)
}

/// Writes a page into the tree, and deletes the oldest pages. Links are not followed.
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
    // Names begin with the time, so the oldest pages come first. The new page is not in the list.
    pages.retain(|page| page.as_encoded_bytes().ends_with(b".html") && *page != *name);
    pages.sort();
    let old = pages.iter().rev().skip(KEPT - 1);
    for name in old.chain(unfinished.iter().filter(|name| is_left_behind(&dir.join(name)))) {
        dkms_sys::fs::remove_file(dir.join(name))?;
    }
    Ok(path)
}

/// Whether a killed command left this unfinished page behind. A newer one may still be written.
fn is_left_behind(path: &Path) -> bool {
    let modified = dkms_sys::fs::symlink_metadata(path).ok().and_then(|meta| meta.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > HOUR)
}
