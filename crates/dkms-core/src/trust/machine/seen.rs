//! What reading a file of the machine results in.

use std::path::Path;

/// Something looked for: what was found, or why that cannot be told.
pub type Seen<T> = Result<T, String>;

/// A small file's text.
pub(super) fn text(path: &Path) -> Seen<String> {
    let bytes = dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
