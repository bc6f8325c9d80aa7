//! Lists of digests as package managers keep them.

use std::collections::HashMap;
use std::path::Path;

/// The digests that a package manager has recorded for a package's files.
pub(super) struct Record {
    /// A digest of the contents of the package.
    pub(super) digest: String,
    /// The digest and the name of each file, as in `.md5sums`; MD5 or SHA-256.
    pub(super) sums: Vec<u8>,
    /// A file is as in the package if it is not newer than `made` and has not changed since `unpacked`
    /// (nanoseconds since 1970). Other files are read.
    pub(super) made: i64,
    pub(super) unpacked: i64,
}

/// The names of a path in dpkg's lists: without the first slash, and on systems where `/lib` is a link to
/// `/usr/lib`, also as if it were not.
pub(super) fn names_of(path: &Path) -> impl Iterator<Item = &[u8]> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let name = bytes.strip_prefix(b"/").unwrap_or(bytes);
    std::iter::once(name).chain(name.strip_prefix(b"usr/"))
}

/// The digests in a `.md5sums` or a list of the same form with SHA-256, by name without the first slash.
/// Lines that are not understood are skipped.
pub(super) fn digests(md5sums: &[u8]) -> HashMap<&[u8], &str> {
    md5sums.split(|b| *b == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<(&[u8], &str)> {
    let length = if line.get(32) == Some(&b' ') { 32 } else { 64 };
    let digest = line.get(..length).filter(|digest| digest.iter().all(u8::is_ascii_hexdigit))?;
    let name = line.get(length..)?.strip_prefix(b"  ")?;
    Some((name.strip_prefix(b"/").unwrap_or(name), std::str::from_utf8(digest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_name() {
        let text = b"0123456789abcdef0123456789abcdef  usr/a b\n\nnonsense\n\
            0123456789abcdef0123456789abcdef *binary\n0123456789abcdef0123456789abcdeg  usr/c\n";
        let found = digests(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found.get(b"usr/a b".as_slice()), Some(&"0123456789abcdef0123456789abcdef"));
    }
}
