//! Facts that may be unknown.

use std::path::Path;

/// The value of a fact, or the reason why it could not be determined.
pub type Fact<T> = Result<T, String>;

/// Reads the text of a small file.
pub(super) fn read_text(path: &Path) -> Fact<String> {
    let bytes = dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
