//! The output path of an image or a system extension.

use crate::error::Result;
use crate::pack::PackError;
use dkms_sys::fs;
use std::path::Path;

/// Returns an error if the path exists, unless `force` is set.
///
/// # Errors
/// [`PackError::OutputExists`].
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if fs::exists(path) && !force {
        return Err(PackError::OutputExists(path.to_owned()).into());
    }
    Ok(())
}

/// The directory of a path; that of a bare name is the current one.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
