//! Sorted listings of folders, to compare them.

use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Lists everything below `dir`, one line each, sorted by path: `d 755 PATH`, `f 644 PATH SIZE DIGEST`,
/// `l PATH -> TARGET`, `? MODE PATH` for anything else. Links are not followed; a missing `dir` lists
/// nothing.
///
/// # Errors
/// When a folder or file below cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    if dir.is_dir() {
        walk(dir, "", &mut lines)?;
    }
    Ok(lines)
}

fn walk(dir: &Path, prefix: &str, lines: &mut Vec<String>) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        let meta = fs::symlink_metadata(&path)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() {
            lines.push(format!("l {name} -> {}", fs::read_link(&path)?.display()));
        } else if meta.is_dir() {
            lines.push(format!("d {mode:o} {name}"));
            walk(&path, &format!("{name}/"), lines)?;
        } else if meta.is_file() {
            let digest = sha256(&fs::read(&path)?);
            lines.push(format!("f {mode:o} {name} {} {}", meta.len(), digest.get(..12).unwrap_or(&digest)));
        } else {
            lines.push(format!("? {mode:o} {name}"));
        }
    }
    Ok(())
}
