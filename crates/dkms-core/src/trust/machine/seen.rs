//! The result of reading a file of the machine.

use std::path::Path;

/// The result, or the reason why it could not be determined.
pub type Seen<T> = Result<T, String>;

/// The text of a small file.
pub(super) fn text(path: &Path) -> Seen<String> {
    let bytes = dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
