//! The records of package managers about packages, with lists of digests.

use std::collections::HashMap;
use std::path::Path;

/// The record of a package manager about a package.
pub(super) struct Record {
    /// `NAME=VERSION`
    pub(super) label: String,
    /// A digest that identifies the contents of the package.
    pub(super) digest: String,
    /// The digest and the name of each file, in the format of `.md5sums`; MD5 or SHA-256. Empty if the
    /// package manager has no digests.
    pub(super) sums: Vec<u8>,
    /// The time when the package was created, in nanoseconds since 1970. Files of the package are not newer.
    pub(super) created: i64,
    /// The time when the files of the package were complete on this system, in nanoseconds since 1970.
    /// Unchanged files have no later change time. A file with later times may have changed, so it is read.
    pub(super) unpacked: i64,
}

impl Record {
    /// Returns whether a file with these times, in nanoseconds since 1970, may differ from the package.
    pub(super) fn may_differ(&self, modified: i64, changed: i64) -> bool {
        modified > self.created || changed > self.unpacked
    }
}

/// Returns the possible names of a path in dpkg's lists, without the first slash: the path itself and,
/// because `/lib` can be a link to `/usr/lib`, the path without `usr/`.
pub(super) fn names_of(path: &Path) -> impl Iterator<Item = &[u8]> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let name = bytes.strip_prefix(b"/").unwrap_or(bytes);
    std::iter::once(name).chain(name.strip_prefix(b"usr/"))
}

/// Parses a `.md5sums`, or a list of the same format with SHA-256. Returns the digest of each name; the names
/// have no first slash. Skips lines that cannot be parsed.
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
