//! Lists the entries of tar archives that dkms does not unpack, such as the layers of a container image.

use super::entries::{RawEntry, StreamError, walk};
use super::error::ArchiveError;
use dkms_sys::fs;
use std::path::Path;

/// The type of a listed entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedKind<'a> {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A symbolic link, with its unchecked target.
    Symlink(&'a [u8]),
    /// Another name of an earlier entry of the archive.
    HardLink(&'a [u8]),
    /// Anything else, such as a device.
    Other,
}

/// Calls `each` with the name, type and permission bits of every entry, in archive order. Nothing is checked
/// and nothing is written, so names may be absolute or contain `..`.
///
/// # Errors
/// The file is not a tar archive, is damaged, or unpacks to more than `limit` bytes.
pub fn list(
    archive: &Path,
    limit: u64,
    mut each: impl FnMut(&[u8], ListedKind<'_>, u32),
) -> Result<(), ArchiveError> {
    let file = fs::open_bounded(archive, fs::Limit::COPIED)?;
    let result = walk(file, limit, |raw: &RawEntry, _| {
        each(&raw.name, kind(raw), raw.mode);
        Ok::<(), StreamError>(())
    });
    result.map(|_| ()).map_err(|error| match error {
        StreamError::Damaged(damage) => ArchiveError::Damaged { path: archive.to_owned(), damage },
        StreamError::NotTar => ArchiveError::NotAnArchive { path: archive.to_owned(), looks_like: None },
        StreamError::TooBig => ArchiveError::TooBig { path: archive.to_owned(), limit, unit: "bytes" },
    })
}

fn kind(raw: &RawEntry) -> ListedKind<'_> {
    match raw.kind {
        tar::EntryType::Directory => ListedKind::Directory,
        tar::EntryType::Regular | tar::EntryType::Continuous => ListedKind::File,
        tar::EntryType::Symlink => ListedKind::Symlink(&raw.link),
        tar::EntryType::Link => ListedKind::HardLink(&raw.link),
        _ => ListedKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Member, write};

    #[test]
    fn written_entries_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("layer.tar.gz");
        let mut program = Member::bytes("bin/busybox", "program", 0);
        program.mode = Some(0o755);
        let members = [Member::directory("bin", 0), program, Member::link("bin/sh", "/bin/busybox", 0)];
        write(&archive, &members, None).unwrap();
        let mut seen = Vec::new();
        list(&archive, 1 << 20, |name, kind, mode| {
            seen.push(format!("{} {kind:?} {mode:o}", String::from_utf8_lossy(name)));
        })
        .unwrap();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0], "bin/ Directory 755");
        assert_eq!(seen[1], "bin/busybox File 755");
        assert!(seen[2].starts_with("bin/sh Symlink("), "{}", seen[2]);
    }

    #[test]
    fn other_files_and_bombs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        std::fs::write(&text, "not an archive").unwrap();
        assert!(matches!(list(&text, 1 << 20, |_, _, _| ()), Err(ArchiveError::NotAnArchive { .. })));
        let bomb = dir.path().join("bomb.tar.gz");
        write(&bomb, &[Member::bytes("zeros", vec![0; 4 << 20], 0)], None).unwrap();
        assert!(matches!(list(&bomb, 1 << 20, |_, _, _| ()), Err(ArchiveError::TooBig { .. })));
    }
}
