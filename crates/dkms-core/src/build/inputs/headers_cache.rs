//! Caches the identity of a kernel's headers, together with the stamps of their files, as git's index does. A
//! stamp consists of the kind, the size, the inode and the times of a file.
//!
//! If the cache is missing or cannot be written, the headers are read again.

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

/// The first line. It must change when the meaning of the values or of the stamps changes.
const FORMAT: &str = "dkms headers 1";

/// A file that was changed within this time can change again without a new change time.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The cache file for a kernel's headers.
pub(super) struct HeadersCache {
    path: PathBuf,
    /// SHA-256 of the current stamps of all files.
    stamp: String,
}

impl HeadersCache {
    pub(super) fn new(layout: &Layout, kernel: &Kernel, trees: &[Tree]) -> Self {
        Self { path: layout.headers_cache(kernel), stamp: stamp(trees) }
    }

    /// Returns the result of an earlier command, if no file has changed since then. Ignores a cache file that
    /// another user may have written.
    pub(super) fn load(&self) -> Option<Identity> {
        self.path.parent().map(fs::refuse_foreign_dir).transpose().ok()?;
        let bytes = fs::read_trusted(&self.path).ok()?.ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FORMAT || lines.next()? != self.stamp {
            return None;
        }
        let headers = lines.next()?.strip_prefix("headers=")?.to_owned();
        let kbuild = lines.next()?.strip_prefix("kbuild=")?.to_owned();
        // Without the last line, the file is incomplete.
        (lines.next()? == "end" && !headers.is_empty())
            .then(|| Identity { headers, kbuild: Some(kbuild).filter(|value| !value.is_empty()) })
    }

    /// Stores a result. Errors are only a detail, because the tree may be read-only.
    pub(super) fn store(&self, host: &Host, sink: &dyn Sink, trees: &[Tree], identity: &Identity) {
        if !is_settled(trees) || !host.records_stamps() {
            return;
        }
        let kbuild = identity.kbuild.as_deref().unwrap_or_default();
        let text = format!("{FORMAT}\n{}\nheaders={}\nkbuild={kbuild}\nend\n", self.stamp, identity.headers);
        let parent = self.path.parent().unwrap_or(&self.path);
        let stored = fs::refuse_foreign_dir(parent)
            .and_then(|()| fs::create_dir_all(parent))
            .and_then(|_| fs::write_atomic(&self.path, text.as_bytes(), 0o644));
        if let Err(e) = stored {
            sink.event(Event::Detail { text: format!("the digest of the headers is not cached: {e}") });
        }
    }
}

/// Computes a digest of the paths and the stamps of all entries.
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

/// Returns whether no file was changed within the last [`SETTLE_TIME`].
fn is_settled(trees: &[Tree]) -> bool {
    let newest = trees.iter().flat_map(|tree| &tree.entries).map(|entry| entry.stat.ctime).max();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = i64::try_from(now.saturating_sub(SETTLE_TIME).as_nanos()).unwrap_or(i64::MAX);
    newest.is_none_or(|newest| newest < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { headers: "tree:1".into(), kbuild: None }
    }

    fn cache(dir: &tempfile::TempDir, stamp: &str) -> HeadersCache {
        HeadersCache { path: dir.path().join("K-A"), stamp: stamp.into() }
    }

    fn text(stamp: &str) -> String {
        format!("{FORMAT}\n{stamp}\nheaders=tree:1\nkbuild=\nend\n")
    }

    #[test]
    fn only_a_complete_and_trusted_cache_of_the_same_files_is_used() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cache(&dir, "s").load(), None);
        let path = dir.path().join("K-A");
        std::fs::write(&path, text("s")).unwrap();
        assert_eq!(cache(&dir, "s").load(), Some(identity()));
        assert_eq!(cache(&dir, "other").load(), None);
        fs::set_mode(&path, 0o666).unwrap();
        assert_eq!(cache(&dir, "s").load(), None, "all users may write to it");
        fs::set_mode(&path, 0o644).unwrap();
        let whole = text("s");
        for length in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache(&dir, "s").load(), None, "{length}");
        }
    }
}
