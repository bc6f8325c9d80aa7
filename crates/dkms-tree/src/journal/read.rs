//! Reads a journal. A line that cannot be read is an error, and nothing is changed. Only data after the last
//! newline are ignored: dkms did nothing for them yet, because it syncs each line first.

use super::op::{self, Op};
use super::{Before, Begin, KernelIndex, Line, Reach, SCHEMA};
use crate::error::{Error, JournalFault, Result};
use crate::ids::{BadName, Kernel, PackageId};
use dkms_sys::{fs, sys};
use std::path::{Path, PathBuf};

/// The first bytes of every journal.
const FIRST: &[u8] = b"{\"Begin\":{\"schema\":";

/// An operation in a journal.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The number of its line, from 1.
    pub line: usize,
    /// Its kernel.
    pub kernel: Kernel,
    /// The operation, whether it was executed or only planned.
    pub op: Op,
}

/// A journal that was read.
#[derive(Debug)]
pub struct Journal {
    /// Its path.
    pub path: PathBuf,
    /// Its writer.
    pub begin: Begin,
    /// The status of the packages before the transaction.
    pub before: Vec<Before>,
    /// Operations, in order.
    pub ops: Vec<Recorded>,
    /// Kernels whose index may have been rewritten.
    pub indexed: Vec<Kernel>,
    /// Whether it is committed.
    pub committed: bool,
    /// Whether depmod is still pending.
    pub depmod_pending: bool,
}

impl Journal {
    /// Reads a journal. `None` if it has no complete first line: then nothing was changed, or it is just
    /// being created ([`super::maker_is_alive`] distinguishes the two).
    ///
    /// # Errors
    /// The journal cannot be read, is not trusted, has another format than ours, or has a damaged line.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Self::parse(path, &trusted_bytes(path)?)
    }

    /// Reads only the kernels in the first line of a journal. `None` if that line cannot be read.
    pub fn kernels(path: &Path) -> Option<Vec<Kernel>> {
        let bytes = trusted_bytes(path).ok()?;
        let first = bytes.split(|byte| *byte == b'\n').next()?;
        Some(parse_first_line(path, first).ok()?.kernels)
    }

    /// Parses the bytes of a journal; see [`Journal::read`]. The path is for messages.
    ///
    /// # Errors
    /// As for [`Journal::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Option<Self>> {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        // After the last newline there is nothing, or an incomplete line.
        let tail = lines.pop().unwrap_or_default();
        let Some((first, rest)) = lines.split_first() else {
            return if is_incomplete_first_line(tail) {
                Ok(None)
            } else {
                Err(damaged(path, 1, JournalFault::NotABeginning))
            };
        };
        let mut journal = Self {
            path: path.to_owned(),
            begin: parse_first_line(path, first)?,
            before: Vec::new(),
            ops: Vec::new(),
            indexed: Vec::new(),
            committed: false,
            depmod_pending: false,
        };
        for (line, bytes) in (2..).zip(rest) {
            let parsed = serde_json::from_slice(bytes).map_err(|e| damaged(path, line, e))?;
            journal.add(line, parsed).map_err(|fault| damaged(path, line, fault))?;
        }
        Ok(Some(journal))
    }

    fn add(&mut self, number: usize, line: Line) -> Result<(), JournalFault> {
        if self.committed {
            return Err(JournalFault::AfterCommit);
        }
        match line {
            Line::Do(index, op) => self.ops.push(Recorded { line: number, kernel: self.kernel(index)?, op }),
            Line::Depmod(index) => self.indexed.push(self.kernel(index)?),
            Line::Before(before) => {
                check_names(&before)?;
                self.before.push(before);
            }
            Line::Commit { depmod_pending } => (self.committed, self.depmod_pending) = (true, depmod_pending),
            Line::Done => {}
            Line::Begin(_) => return Err(JournalFault::BeginsTwice),
        }
        Ok(())
    }

    fn kernel(&self, KernelIndex(place): KernelIndex) -> Result<Kernel, JournalFault> {
        let all = &self.begin.kernels;
        all.get(place).cloned().ok_or(JournalFault::NoKernel { place, count: all.len() })
    }

    /// Returns whether the process that wrote it is still running.
    pub fn writer_is_alive(&self) -> bool {
        let now = sys::process_start_time(self.begin.pid);
        sys::process_runs(self.begin.pid) && (self.begin.started.is_none() || now == self.begin.started)
    }

    /// Checks that its operations touch only what a journal may touch.
    ///
    /// # Errors
    /// [`Error::JournalLeaves`], with the first line that is not allowed.
    pub fn check(&self, reach: &Reach<'_>) -> Result<()> {
        self.ops.iter().try_for_each(|recorded| self.check_one(reach, recorded))
    }

    fn check_one(&self, reach: &Reach<'_>, recorded: &Recorded) -> Result<()> {
        let Some((wanted, outside)) = reach.stray(&recorded.kernel, &recorded.op)? else { return Ok(()) };
        Err(Error::JournalLeaves { path: self.path.clone(), line: recorded.line, wanted, outside })
    }

    /// Undoes everything, latest first, and syncs the result. The caller has checked the journal.
    ///
    /// # Errors
    /// A change could not be undone.
    pub fn undo(&self, reach: &Reach<'_>) -> Result<()> {
        // Undo as much as possible, and return the first error. The checks are repeated, because an earlier
        // undo may have restored a link in a path.
        let undo = |recorded| self.check_one(reach, recorded).and_then(|()| Ok(recorded.op.undo()?));
        let undone = self.ops.iter().rev().map(undo).fold(Ok(()), Result::and);
        op::sync(self.ops.iter().map(|recorded| &recorded.op))?;
        undone
    }

    /// Deletes the files that were renamed aside. The caller has checked the journal.
    pub fn finish(&self) {
        op::finish(self.ops.iter().map(|recorded| &recorded.op));
    }

    /// The directories that the operations change, which may be empty after an undo.
    pub fn directories(&self) -> Vec<(Kernel, PathBuf)> {
        let ops = self.ops.iter();
        let all = ops.flat_map(|recorded| recorded.op.directories().map(|dir| (&recorded.kernel, dir)));
        all.map(|(kernel, dir)| (kernel.clone(), dir.to_owned())).collect()
    }
}

/// Reads a journal that no other user can have written, in a tree where no other user can replace journals.
fn trusted_bytes(path: &Path) -> Result<Vec<u8>> {
    let refused = |what: &Path, why: fs::Distrust| Error::JournalRefused {
        path: path.to_owned(),
        what: what.to_owned(),
        why,
    };
    let parents = path.ancestors().skip(1).take(2).filter(|dir| !dir.as_os_str().is_empty());
    for (level, dir) in parents.enumerate() {
        // The path of the tree may contain a link, but its directory of journals must not be a link.
        let meta = if level == 0 { fs::symlink_metadata(dir)? } else { fs::metadata(dir)? };
        if !meta.is_dir() {
            return Err(refused(dir, fs::Distrust::NotDirectory));
        }
        if let Some(why) = fs::written_by_others(&meta) {
            return Err(refused(dir, why));
        }
    }
    fs::read_trusted(path)?.map_err(|why| refused(path, why))
}

fn damaged(path: &Path, line: usize, fault: impl Into<JournalFault>) -> Error {
    Error::JournalDamaged { path: path.to_owned(), line, fault: fault.into() }
}

/// Returns whether this is an incomplete first line, or zeros that were allocated for it before a crash.
fn is_incomplete_first_line(tail: &[u8]) -> bool {
    tail.iter().all(|byte| *byte == 0) || FIRST.starts_with(tail) || tail.starts_with(FIRST)
}

fn parse_first_line(path: &Path, line: &[u8]) -> Result<Begin> {
    /// The fields of a first line that every version of the format has.
    #[derive(serde::Deserialize)]
    struct Any {
        #[serde(rename = "Begin")]
        begin: Schema,
    }
    #[derive(serde::Deserialize)]
    struct Schema {
        schema: u32,
    }
    let any: Any = serde_json::from_slice(line).map_err(|e| damaged(path, 1, e))?;
    if any.begin.schema != SCHEMA {
        return Err(Error::JournalUnknown(path.to_owned()));
    }
    let Line::Begin(begin) = serde_json::from_slice(line).map_err(|e| damaged(path, 1, e))? else {
        return Err(damaged(path, 1, JournalFault::NotABeginning));
    };
    for kernel in &begin.kernels {
        Kernel::new(&kernel.release, &kernel.arch).map_err(|e| damaged(path, 1, e))?;
    }
    Ok(begin)
}

/// Checks names, because they are printed and used to find packages.
fn check_names(before: &Before) -> Result<(), BadName> {
    PackageId::new(&before.package, "0")?;
    for entry in &before.entries {
        PackageId::new(&entry.package.name, &entry.package.version)?;
        if let Some(kernel) = entry.kernel() {
            Kernel::new(&kernel.release, &kernel.arch)?;
        }
    }
    Ok(())
}
