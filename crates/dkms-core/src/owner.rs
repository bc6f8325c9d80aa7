//! Changes the owner of a build directory: it belongs to the build's user while the build runs, and to root
//! afterwards.

use dkms_sys::fs;
use std::path::Path;

/// Changes the owner of all files in a tree to this user and group; links are not followed. If `user` is
/// `None`, nothing is changed. A change of the owner clears the set-user-ID bits of files (chown(2)).
///
/// # Errors
/// The owner of a file cannot be changed. The rest of the tree is not changed then.
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

/// Changes the owner of the files of a build to root. Failures are ignored, because these files are not
/// trusted in any case.
pub(crate) fn give_to_root(path: &Path) {
    let _ = give(path, Some((0, 0)));
}
