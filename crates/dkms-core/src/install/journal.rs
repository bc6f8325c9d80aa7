//! Changes to a kernel's modules as a transaction.
//!
//! **Protocol.** Everything one command changes for one kernel goes into one journal, `.journal/K-A` in the dkms tree,
//! while the install lock of that kernel is held. Changes come in batches (one per build that is installed or uninstalled):
//!
//! 1. the batch's operations are appended to the journal as JSON lines, and the file is synced; then the complete new
//!    copies are made beside their places;
//! 2. the operations are carried out, each by one rename or by something that can be told from its traces;
//! 3. a `done` line closes the batch.
//!
//! Nothing that was there before is deleted in a batch: it is renamed to a dot name beside its place. After depmod,
//! [`Transaction::commit`] writes a `commit` line, deletes those, and removes the journal. [`Transaction::rollback`] undoes
//! every operation in reverse.
//!
//! **After a crash** ([`super::recover`]) the journal tells what to do: with a `commit` line the deletions are repeated;
//! without, the batch that has no `done` line is undone, and the complete ones are kept and get the depmod they waited
//! for. Every undo looks at what is there first, so it can be interrupted and repeated as often as one likes.

use crate::error::Result;
use crate::ids::Kernel;
use crate::tree::layout::Layout;
use dkms_sys::{IoError, fs};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One change, and what is needed to take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `from` goes to `to`, which is not there yet; over file systems by a copy that is renamed.
    Move {
        /// Where it is.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// `staged`, complete and synced in the same directory, becomes `to`. What was at `to` is kept as `saved`.
    Place {
        /// The complete new file.
        staged: PathBuf,
        /// Its place.
        to: PathBuf,
        /// Dot name for what was there, if anything was.
        saved: Option<PathBuf>,
    },
    /// `path` becomes `saved`, to be deleted at the commit.
    Remove {
        /// What goes.
        path: PathBuf,
        /// Dot name beside it.
        saved: PathBuf,
    },
    /// The symbolic link `link` points to `target` from now on, or is gone.
    Link {
        /// The link.
        link: PathBuf,
        /// New target; `None`: no link.
        target: Option<PathBuf>,
        /// Old target; `None`: there was no link.
        before: Option<PathBuf>,
    },
    /// A small file has the text `text` from now on, or is gone.
    Text {
        /// The file.
        path: PathBuf,
        /// New text; `None`: no file.
        text: Option<String>,
        /// Old text; `None`: there was no file.
        before: Option<String>,
    },
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// First line: who and for which kernel.
    Begin { release: String, arch: String, pid: u32, schema: u32 },
    /// An operation of the batch that is open.
    Do(Op),
    /// The batch is complete.
    Done,
    /// Everything is complete; only deletions are left.
    Commit,
}

/// An open transaction. Dropped without commit or rollback it stays as it is, for recovery.
#[derive(Debug)]
pub struct Transaction {
    path: PathBuf,
    file: File,
    ops: Vec<Op>,
}

/// Where the journal of a kernel is.
pub fn path(layout: &Layout, kernel: &Kernel, nested: bool) -> PathBuf {
    let name = format!("{}-{}", kernel.release, kernel.arch);
    let name = if nested { format!("{name}~{}", dkms_sys::sys::own_pid()) } else { name };
    layout.journal_dir().join(name)
}

/// A dot name beside `path` that neither depmod nor dkms 3.x looks at.
pub fn aside(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.dkms-{word}"))
}

impl Transaction {
    /// Opens a transaction. The caller holds the kernel's install lock and has recovered what was there.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn begin(layout: &Layout, kernel: &Kernel, nested: bool) -> Result<Self> {
        let path = path(layout, kernel, nested);
        fs::create_dir_all(layout.journal_dir())?;
        // Appears complete with its first line: nobody takes it for one that was cut off.
        let begin = Line::Begin {
            release: kernel.release.clone(),
            arch: kernel.arch.clone(),
            pid: dkms_sys::sys::own_pid(),
            schema: 1,
        };
        fs::write_atomic(&path, &bytes(&[begin]), 0o644)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|source| IoError::new("open", &path, source))?;
        Ok(Self { path, file, ops: Vec::new() })
    }

    /// Whether anything was changed.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Carries out a batch: records it, has `stage` make the complete copies that it puts into place, and changes the
    /// files. When anything fails, the whole batch is undone and the error returned; earlier batches stay.
    ///
    /// # Errors
    /// The first failure.
    pub fn perform(&mut self, batch: Vec<Op>, stage: impl FnOnce() -> Result<()>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let lines: Vec<Line> = batch.iter().cloned().map(Line::Do).collect();
        let done = self
            .append(&lines)
            .and_then(|()| stage())
            .and_then(|()| batch.iter().try_for_each(|op| Ok(op.perform()?)))
            .and_then(|()| self.append(&[Line::Done]));
        match done {
            Ok(()) => {
                self.ops.extend(batch);
                Ok(())
            }
            Err(e) => {
                for op in batch.iter().rev() {
                    op.undo()?;
                }
                // The journal must not ask for it again.
                self.rewrite()?;
                Err(e)
            }
        }
    }

    /// The journal with the complete batches only.
    fn rewrite(&mut self) -> Result<()> {
        let text = String::from_utf8_lossy(&fs::read(&self.path)?).into_owned();
        let begin = text.lines().next().unwrap_or_default();
        let mut all = format!("{begin}\n").into_bytes();
        if !self.ops.is_empty() {
            let kept: Vec<Line> = self.ops.iter().cloned().map(Line::Do).chain([Line::Done]).collect();
            all.extend(bytes(&kept));
        }
        fs::write_atomic(&self.path, &all, 0o644)?;
        self.file = OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(|source| IoError::new("open", &self.path, source))?;
        Ok(())
    }

    /// Makes it final: deletes what was put aside, lets `clean_up` do the rest, and removes the journal.
    ///
    /// # Errors
    /// When the commit cannot be recorded; then nothing is final and [`Transaction::rollback`] is still possible at the
    /// next start.
    pub fn commit(mut self, clean_up: impl FnOnce()) -> Result<()> {
        self.append(&[Line::Commit])?;
        finish(&self.ops);
        clean_up();
        fs::remove_file(&self.path)?;
        Ok(())
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// When something could not be put back; the journal stays for the next start.
    pub fn rollback(self) -> Result<()> {
        for op in self.ops.iter().rev() {
            op.undo()?;
        }
        fs::remove_file(&self.path)?;
        Ok(())
    }

    fn append(&mut self, lines: &[Line]) -> Result<()> {
        let io = |op, source| IoError::new(op, &self.path, source);
        (&self.file).write_all(&bytes(lines)).map_err(|e| io("write", e))?;
        self.file.sync_data().map_err(|e| io("sync", e))?;
        Ok(())
    }
}

fn bytes(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        if serde_json::to_writer(&mut bytes, line).is_ok() {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Deletes what a committed transaction put aside. What cannot be deleted is a leftover, not a failure.
pub(super) fn finish(ops: &[Op]) {
    for op in ops {
        match op {
            Op::Place { saved: Some(saved), .. } | Op::Remove { saved, .. } => {
                let _ = fs::remove_tree(saved);
            }
            _ => {}
        }
    }
}

impl Op {
    fn perform(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => move_file(from, to),
            Self::Place { staged, to, saved } => {
                if let Some(saved) = saved {
                    fs::remove_file(saved)?;
                    // A second name for the old file, so that there is no moment without one at `to`.
                    if std::fs::hard_link(to, saved).is_err() {
                        fs::rename(to, saved)?;
                    }
                }
                fs::rename(staged, to)?;
                sync_parent(to)
            }
            Self::Remove { path, saved } => {
                fs::remove_tree(saved)?;
                fs::rename(path, saved)?;
                sync_parent(path)
            }
            Self::Link { link, target, .. } => set_link(link, target.as_deref()),
            Self::Text { path, text, .. } => set_text(path, text.as_deref()),
        }
    }

    /// Directories that this may leave empty, whether it is made or taken back.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let of = |p: &Path| p.parent().map(Path::to_path_buf);
        match self {
            Self::Move { from, to } => [of(from), of(to)].into_iter().flatten().collect(),
            Self::Place { to, .. } => of(to).into_iter().collect(),
            Self::Remove { path, .. } => of(path).into_iter().collect(),
            Self::Link { .. } => Vec::new(),
            Self::Text { path, .. } => of(path).into_iter().collect(),
        }
    }

    /// Takes the change back, whether it was made, half made or not made at all.
    pub(super) fn undo(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => {
                // Halves of copies between file systems, in either direction.
                fs::remove_file(aside(to, "moving"))?;
                fs::remove_file(aside(from, "moving"))?;
                match (fs::exists(from), fs::exists(to)) {
                    (false, true) => move_file(to, from),
                    (true, true) => fs::remove_file(to).map(|_| ()),
                    _ => Ok(()),
                }
            }
            Self::Place { staged, to, saved } => {
                let pending = fs::remove_file(staged)?;
                match saved {
                    Some(saved) if fs::exists(saved) => fs::rename(saved, to)?,
                    None if !pending => {
                        fs::remove_file(to)?;
                    }
                    _ => return Ok(()),
                }
                sync_parent(to)
            }
            Self::Remove { path, saved } => {
                if fs::exists(saved) {
                    if let Some(parent) = path.parent() {
                        fs::create_dir_all(parent)?;
                    }
                    fs::rename(saved, path)?;
                    sync_parent(path)?;
                }
                Ok(())
            }
            Self::Link { link, before, .. } => set_link(link, before.as_deref()),
            Self::Text { path, before, .. } => set_text(path, before.as_deref()),
        }
    }
}

fn sync_parent(path: &Path) -> std::result::Result<(), IoError> {
    // Undoing what was never begun, there may be no directory yet.
    path.parent().filter(|p| p.is_dir()).map_or(Ok(()), fs::sync_dir)
}

// Their temporary names are known, so that an undo after a crash finds them.

fn set_link(link: &Path, target: Option<&Path>) -> std::result::Result<(), IoError> {
    let staged = aside(link, "link");
    fs::remove_file(&staged)?;
    match target {
        Some(target) => {
            fs::symlink(target, &staged)?;
            fs::rename(&staged, link)?;
        }
        None => {
            fs::remove_file(link)?;
        }
    }
    sync_parent(link)
}

fn set_text(path: &Path, text: Option<&str>) -> std::result::Result<(), IoError> {
    let staged = aside(path, "text");
    fs::remove_file(&staged)?;
    match text {
        // A directory that is gone with everything in it needs no text back.
        Some(text) => match path.parent() {
            Some(parent) if parent.is_dir() => {
                fs::create_new(&staged, text.as_bytes(), 0o644)?;
                fs::sync_file(&staged)?;
                fs::rename(&staged, path)?;
                sync_parent(path)
            }
            _ => Ok(()),
        },
        None => fs::remove_file(path).map(|_| ()),
    }
}

fn move_file(from: &Path, to: &Path) -> std::result::Result<(), IoError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(e) if e.errno() == Some(EXDEV) => {
            let staged = aside(to, "moving");
            fs::remove_file(&staged)?;
            fs::copy_file(from, &staged)?;
            fs::sync_file(&staged)?;
            fs::rename(&staged, to)?;
            sync_parent(to)?;
            fs::remove_file(from)?;
            sync_parent(from)
        }
        Err(e) => Err(e),
        Ok(()) => {
            sync_parent(to)?;
            sync_parent(from)
        }
    }
}

/// "Cross-device link", rename(2).
const EXDEV: i32 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        Kernel { release: "6.1.0".into(), arch: "x86_64".into() }
    }

    fn layout(dir: &Path) -> Layout {
        Layout { dkms_tree: dir.join("tree"), ..Layout::default() }
    }

    fn listing(dir: &Path) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut pending = vec![dir.to_path_buf()];
        while let Some(d) = pending.pop() {
            for e in std::fs::read_dir(d).unwrap().flatten() {
                let p = e.path();
                if p.is_symlink() {
                    all.push((
                        p.display().to_string(),
                        std::fs::read_link(&p).unwrap().display().to_string(),
                    ));
                } else if p.is_dir() {
                    pending.push(p);
                } else {
                    all.push((p.display().to_string(), std::fs::read_to_string(&p).unwrap()));
                }
            }
        }
        all.sort();
        all
    }

    fn batch(d: &Path) -> Vec<Op> {
        let at = |n: &str| d.join(n);
        std::fs::write(at(".new.ko.dkms-new"), "new").unwrap();
        vec![
            Op::Move { from: at("orig.ko"), to: at("archive/orig.ko") },
            Op::Text { path: at("archive/orig.ko.origin"), text: Some("x\n".into()), before: None },
            Op::Place {
                staged: at(".new.ko.dkms-new"),
                to: at("new.ko"),
                saved: Some(aside(&at("new.ko"), "old")),
            },
            Op::Remove { path: at("gone.ko"), saved: aside(&at("gone.ko"), "old") },
            Op::Link { link: at("active"), target: Some("2/k/a".into()), before: Some("1/k/a".into()) },
        ]
    }

    fn fixture() -> dkms_sys::fs::TempDir {
        let t = dkms_sys::fs::TempDir::new_in(std::env::temp_dir(), "journal").unwrap();
        let d = t.path().join("lib");
        std::fs::create_dir_all(d.join("archive")).unwrap();
        for f in ["orig.ko", "new.ko", "gone.ko"] {
            std::fs::write(d.join(f), format!("old {f}")).unwrap();
        }
        std::os::unix::fs::symlink("1/k/a", d.join("active")).unwrap();
        t
    }

    #[test]
    fn rollback_gives_back_exactly_what_was_there() {
        let t = fixture();
        let d = t.path().join("lib");
        let before = listing(&d);
        let mut tx = Transaction::begin(&layout(t.path()), &kernel(), false).unwrap();
        tx.perform(batch(&d), || Ok(())).unwrap();
        assert_ne!(listing(&d), before);
        tx.rollback().unwrap();
        assert_eq!(listing(&d), before);
    }

    #[test]
    fn commit_leaves_nothing_aside() {
        let t = fixture();
        let d = t.path().join("lib");
        let mut tx = Transaction::begin(&layout(t.path()), &kernel(), false).unwrap();
        tx.perform(batch(&d), || Ok(())).unwrap();
        tx.commit(|| ()).unwrap();
        let names: Vec<String> =
            listing(&d).into_iter().map(|e| e.0.replace(&d.display().to_string(), "")).collect();
        assert_eq!(names, ["/active", "/archive/orig.ko", "/archive/orig.ko.origin", "/new.ko"]);
        assert!(listing(&t.path().join("tree")).is_empty());
    }

    /// Undoing after any prefix of the operations was carried out gives the state before.
    #[test]
    fn undo_from_every_point() {
        for reached in 0..=5 {
            let t = fixture();
            let d = t.path().join("lib");
            let before = listing(&d);
            let ops = batch(&d);
            for op in ops.iter().take(reached) {
                op.perform().unwrap();
            }
            for _ in 0..2 {
                for op in ops.iter().rev() {
                    op.undo().unwrap();
                }
            }
            assert_eq!(listing(&d), before, "after {reached} operations");
        }
    }

    #[test]
    fn a_failing_operation_undoes_its_batch() {
        let t = fixture();
        let d = t.path().join("lib");
        let before = listing(&d);
        let mut ops = batch(&d);
        ops.push(Op::Remove { path: d.join("not-there"), saved: d.join(".x") });
        let mut tx = Transaction::begin(&layout(t.path()), &kernel(), false).unwrap();
        assert!(tx.perform(ops, || Ok(())).is_err());
        assert_eq!(listing(&d), before);
    }
}
