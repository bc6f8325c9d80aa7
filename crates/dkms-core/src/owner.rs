//! Ownership of a build directory: it belongs to the build's user while the build runs, and to root
//! afterwards.

use dkms_sys::fs;
use std::path::Path;

/// Gives a tree to a user; links are not followed. `None`: nothing changes. A change of owner clears the
/// set-user-ID bits of files (chown(2)).
///
/// # Errors
/// The first file whose owner cannot be changed.
pub(crate) fn give(path: &Path, user: Option<(u32, u32)>) -> Result<(), dkms_sys::IoError> {
    let Some((uid, gid)) = user else { return Ok(()) };
    fs::set_owner(path, uid, gid)?;
    if fs::is_real_dir(path) {
        for name in fs::list_dir(path)? {
            give(&path.join(name), user)?;
        }
    }
    Ok(())
}

/// Gives the files that a build left back to root. Best effort, because nothing in them is ever trusted.
pub(crate) fn give_to_root(path: &Path) {
    let _ = give(path, Some((0, 0)));
}
