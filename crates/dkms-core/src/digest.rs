//! SHA-256 in hexadecimal, of bytes and of whole source trees; MD5 and SHA-1 where Debian's formats ask for them.

use sha2::{Digest, Sha256};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Of bytes.
pub fn bytes(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// MD5 of bytes: no proof of anything, but what `md5sums` and `.dsc` files hold.
pub fn md5(data: &[u8]) -> String {
    hex(&md5::Md5::digest(data))
}

/// SHA-1 of bytes: as [`md5()`], for `.dsc` files.
pub fn sha1(data: &[u8]) -> String {
    hex(&sha1::Sha1::digest(data))
}

/// Of a directory tree: names, kinds, execute bits, contents and link targets, in sorted order. Times and owners do not
/// count. What cannot be read counts as absent.
pub fn tree(root: &Path) -> String {
    let mut hash = Sha256::new();
    // The root itself may be a link into the source tree.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    walk(&root, &root, &mut hash);
    hex(&hash.finalize())
}

fn walk(root: &Path, dir: &Path, hash: &mut Sha256) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path);
        let field = |hash: &mut Sha256, kind: &[u8], data: &[u8]| {
            hash.update(kind);
            hash.update((data.len() as u64).to_le_bytes());
            hash.update(data);
        };
        field(hash, b"n", name.as_os_str().as_bytes());
        if meta.is_dir() {
            walk(root, &path, hash);
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap_or_default();
            field(hash, b"l", target.as_os_str().as_bytes());
        } else if meta.is_file() {
            let execute: &[u8] = if meta.permissions().mode() & 0o111 != 0 { b"x" } else { b"f" };
            field(hash, execute, &meta.len().to_le_bytes());
            let Ok(mut file) = dkms_sys::fs::open_bounded(&path, dkms_sys::fs::Limit::COPIED) else {
                continue;
            };
            let mut buffer = [0u8; 64 * 1024];
            while let Ok(n) = file.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                hash.update(buffer.get(..n).unwrap_or_default());
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
