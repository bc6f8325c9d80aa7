//! Remembers what a kernel's headers are, with the stamps of their files, as git's index does.
//!
//! The file is only a cache: without it, or if it cannot be written, the headers are examined.

use super::tree::{Identity, Tree};
use crate::digest::Hasher;
use crate::event::{Event, Sink};
use crate::host::Host;
use dkms_sys::fs;
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Must change when the meaning of the values or of the stamps changes.
const FORMAT: &str = "dkms headers 1";

/// A file that changed so recently may change again without a new time.
const SETTLED: Duration = Duration::from_secs(2);

/// The memory of one kernel's headers as they are now.
pub(super) struct Memory {
    path: PathBuf,
    /// SHA-256 of the stamps of all files.
    stamp: String,
}

impl Memory {
    pub(super) fn of(layout: &Layout, kernel: &Kernel, trees: &[Tree]) -> Self {
        Self { path: layout.headers_cache(kernel), stamp: stamp(trees) }
    }

    /// What an earlier command found, if no file has changed since. A file that another user may have written
    /// is not believed.
    pub(super) fn recall(&self) -> Option<Identity> {
        self.path.parent().map(fs::refuse_foreign_dir).transpose().ok()?;
        let bytes = fs::read_trusted(&self.path).ok()?.ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FORMAT || lines.next()? != self.stamp {
            return None;
        }
        let headers = lines.next()?.strip_prefix("headers=")?.to_owned();
        let kbuild = lines.next()?.strip_prefix("kbuild=")?.to_owned();
        // The last line is written last.
        (lines.next()? == "end" && !headers.is_empty())
            .then(|| Identity { headers, kbuild: Some(kbuild).filter(|value| !value.is_empty()) })
    }

    /// Remembers what was found. A failure only costs time: the tree may be read-only.
    pub(super) fn keep(&self, host: &Host, sink: &dyn Sink, trees: &[Tree], identity: &Identity) {
        if !is_settled(trees) || !host.records_stamps() {
            return;
        }
        let kbuild = identity.kbuild.as_deref().unwrap_or_default();
        let text = format!("{FORMAT}\n{}\nheaders={}\nkbuild={kbuild}\nend\n", self.stamp, identity.headers);
        let parent = self.path.parent().unwrap_or(&self.path);
        let kept = fs::refuse_foreign_dir(parent)
            .and_then(|()| fs::create_dir_all(parent))
            .and_then(|_| fs::write_atomic(&self.path, text.as_bytes(), 0o644));
        if let Err(e) = kept {
            sink.event(Event::Detail { text: format!("the digest of the headers is not kept: {e}") });
        }
    }
}

/// Digest of the paths, kinds, sizes, inodes and times of all entries.
fn stamp(trees: &[Tree]) -> String {
    let mut hash = Hasher::new();
    let mut record = Vec::new();
    for tree in trees {
        hash.update(tree.path.as_os_str().as_bytes());
        hash.update(b"\0\0");
        for entry in &tree.entries {
            record.clear();
            record.extend_from_slice(entry.path.as_os_str().as_bytes());
            record.extend_from_slice(&[0, entry.kind as u8]);
            let stat = &entry.stat;
            record.extend_from_slice(&stat.size.to_le_bytes());
            record.extend_from_slice(&stat.inode.to_le_bytes());
            record.extend_from_slice(&stat.mtime.to_le_bytes());
            record.extend_from_slice(&stat.ctime.to_le_bytes());
            hash.update(&record);
        }
    }
    hash.finish()
}

fn is_settled(trees: &[Tree]) -> bool {
    let newest = trees.iter().flat_map(|tree| &tree.entries).map(|entry| entry.stat.ctime).max();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = i64::try_from(now.saturating_sub(SETTLED).as_nanos()).unwrap_or(i64::MAX);
    newest.is_none_or(|newest| newest < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { headers: "tree:1".into(), kbuild: None }
    }

    fn memory(dir: &tempfile::TempDir, stamp: &str) -> Memory {
        Memory { path: dir.path().join("K-A"), stamp: stamp.into() }
    }

    fn text(stamp: &str) -> String {
        format!("{FORMAT}\n{stamp}\nheaders=tree:1\nkbuild=\nend\n")
    }

    #[test]
    fn only_a_whole_file_of_ours_for_the_same_files_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(memory(&dir, "s").recall(), None);
        let path = dir.path().join("K-A");
        std::fs::write(&path, text("s")).unwrap();
        assert_eq!(memory(&dir, "s").recall(), Some(identity()));
        assert_eq!(memory(&dir, "other").recall(), None);
        fs::set_mode(&path, 0o666).unwrap();
        assert_eq!(memory(&dir, "s").recall(), None, "all users may write to it");
        fs::set_mode(&path, 0o644).unwrap();
        let whole = text("s");
        for length in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(memory(&dir, "s").recall(), None, "{length}");
        }
    }
}
