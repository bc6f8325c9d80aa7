//! Temporary names next to a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A dot name next to `path`, which depmod and dkms 3.x ignore.
pub fn aside(path: &Path, word: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".dkms-{word}"));
    path.with_file_name(name)
}
