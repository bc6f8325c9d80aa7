//! Temporary names beside a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A dot name beside `path` that neither depmod nor dkms 3.x looks at.
pub fn aside(path: &Path, word: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".dkms-{word}"));
    path.with_file_name(name)
}
