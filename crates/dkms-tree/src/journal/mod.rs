//! Changes the modules of kernels in transactions.
//!
//! **Protocol.** Everything that one command changes, for one kernel or several, is recorded in one journal,
//! a file in `.journal` of the dkms tree. While it exists, the command holds the install locks of those
//! kernels. Changes are grouped in batches, one for each build that is installed, uninstalled or deleted:
//!
//! 1. The operations of the batch are appended to the journal as JSON lines, and the file is synced. Then the
//!    complete new copies are written next to their destinations.
//! 2. The operations are executed. Each is a single rename, or its progress can be seen from the files.
//! 3. A `Done` line ends the batch.
//!
//! A batch never deletes an existing file: it renames the file to a dot name in the same directory. After
//! depmod, the directories are synced and [`Transaction::commit`] writes a `Commit` line, deletes the renamed
//! files, and removes the journal. [`Transaction::rollback`] undoes every operation in reverse order.
//!
//! **After a crash** (`install/recover.rs`) the journal decides what to do. With a `Commit` line the
//! deletions are repeated. Without one, everything is undone, including completed batches, because a command
//! is applied as a single transaction. If depmod had started, it runs again. Every undo first checks the
//! current state, so it can be interrupted and repeated any number of times.
//!
//! **Meanwhile** `status` shows the state before the transaction. Before the first change to a package, its
//! status lines are written to the journal ([`Before`]), and `status` shows them until there is a `Commit`
//! line.

pub mod op;
mod reach;
mod read;

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::ids::Kernel;
use crate::layout::Layout;
use dkms_sys::{IoError, fs, sys};
use op::Op;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use reach::Reach;
pub use read::{Journal, Recorded};

/// The version of the journal format that this dkms writes and reads.
pub const SCHEMA: u32 = 2;

/// The first line of a journal: the process that writes it, and the kernels that it may change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The process that writes it.
    pub pid: u32,
    /// The start time of that process, in clock ticks since boot; distinguishes it from a later process with
    /// the same PID.
    pub started: Option<u64>,
    /// Its command line.
    pub command: String,
    /// The kernels it may change.
    pub kernels: Vec<Kernel>,
}

/// The status of a package before it was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Before {
    /// The package.
    pub package: String,
    /// Its status lines for the kernels of the transaction, and those without a kernel.
    pub entries: Vec<Entry>,
}

/// A kernel of the transaction, by its place in [`Begin::kernels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KernelIndex(usize);

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Begin(Begin),
    /// A package is about to be changed.
    Before(Before),
    /// An operation of the current batch, for that kernel.
    Do(KernelIndex, Op),
    /// The batch is complete.
    Done,
    /// depmod starts for a kernel; from here on the kernel's index may have changed.
    Depmod(KernelIndex),
    /// Everything is complete except the deletions. With `depmod_pending`, depmod is still pending for its
    /// kernels; the next command that changes them has to run it.
    Commit {
        #[serde(rename = "owed")]
        depmod_pending: bool,
    },
}

/// Returns whether the process that wrote a journal is still running, according to the name of the journal.
pub fn maker_is_alive(path: &Path) -> bool {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let pid = name.rsplit_once('-').and_then(|(_, pid)| pid.parse().ok());
    pid.is_some_and(sys::process_runs)
}

/// The existing journals, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub fn list(layout: &Layout) -> std::result::Result<Vec<PathBuf>, IoError> {
    let dir = layout.journal_dir();
    fs::refuse_foreign_dir(&dir)?;
    let names = fs::list_dir_optional(&dir)?;
    Ok(names.iter().filter(|n| !n.to_string_lossy().starts_with('.')).map(|n| dir.join(n)).collect())
}

fn undo<'a>(ops: impl DoubleEndedIterator<Item = &'a Op> + Clone) -> Result<()> {
    // Undo as much as possible, and return the first error.
    let undone = ops.clone().rev().map(Op::undo).fold(Ok(()), std::result::Result::and);
    op::sync(ops)?;
    Ok(undone?)
}

/// An open transaction. If it is dropped without commit or rollback, the journal stays for recovery.
#[derive(Debug)]
pub struct Transaction {
    path: PathBuf,
    file: File,
    /// The length of the valid part of the file; an incomplete line may follow it.
    length: u64,
    /// The file has data after `length` that could not be truncated. A line appended after it would be
    /// unreadable.
    torn: bool,
    kernels: Vec<Kernel>,
    /// The packages whose status is recorded.
    recorded: Vec<String>,
    ops: Vec<(KernelIndex, Op)>,
}

impl Transaction {
    /// Begins a transaction. The caller holds the kernels' install locks and has recovered earlier journals.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn begin(layout: &Layout, kernels: &[Kernel], command: &str) -> Result<Self> {
        let pid = sys::own_pid();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        // The names sort by start time: a dkms that a script of this command calls changes files after it.
        let path = layout.journal_dir().join(format!("{now:020}-{pid}"));
        fs::create_dir_all(layout.journal_dir())?;
        let begin = Begin {
            schema: SCHEMA,
            pid,
            started: sys::process_start_time(pid),
            command: command.to_owned(),
            kernels: kernels.to_vec(),
        };
        let first = bytes(&path, &[Line::Begin(begin)])?;
        fs::create_new(&path, &first, 0o644)?;
        fs::sync_dir(layout.journal_dir())?;
        let file = fs::open_append(&path)?;
        let length = first.len() as u64;
        Ok(Self {
            path,
            file,
            length,
            torn: false,
            kernels: kernels.to_vec(),
            recorded: Vec::new(),
            ops: Vec::new(),
        })
    }

    /// Returns whether [`Transaction::record_status`] was called for a package.
    pub fn has_recorded(&self, package: &str) -> bool {
        self.recorded.iter().any(|name| name == package)
    }

    /// Records the `status` lines of a package that is about to be changed.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn record_status(&mut self, before: Before) -> Result<()> {
        let package = before.package.clone();
        self.append(&[Line::Before(before)])?;
        self.recorded.push(package);
        Ok(())
    }

    /// Executes a batch on one kernel: records it, calls `stage` to write the complete copies that it puts
    /// into place, changes the files, and calls `record` to rewrite the files that the batch keeps
    /// ([`Op::Keep`]). If anything fails, the whole batch is undone and the error is returned; earlier
    /// batches stay.
    ///
    /// # Errors
    /// The first failure.
    pub fn perform<E: From<Error>>(
        &mut self,
        kernel: &Kernel,
        batch: Vec<Op>,
        stage: impl FnOnce() -> Result<(), E>,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if batch.is_empty() {
            return Ok(());
        }
        let (index, start) = (self.index(kernel)?, self.length);
        let batch: Vec<(KernelIndex, Op)> = batch.into_iter().map(|op| (index, op)).collect();
        let lines: Vec<Line> = batch.iter().cloned().map(|(index, op)| Line::Do(index, op)).collect();
        let done = self
            .append(&lines)
            .map_err(E::from)
            .and_then(|()| stage())
            .and_then(|()| {
                batch.iter().try_for_each(|(_, op)| op.perform()).map_err(|e| Error::from(e).into())
            })
            .and_then(|()| record())
            .and_then(|()| Ok(self.append(&[Line::Done])?));
        match done {
            Ok(()) => {
                self.ops.extend(batch);
                Ok(())
            }
            Err(e) => {
                match undo(batch.iter().map(|(_, op)| op)) {
                    // A failure is harmless: after a crash, the undo of this batch does nothing.
                    Ok(()) => drop(self.shorten(start)),
                    // The batch stays in the journal, for the rollback of the transaction or the next start.
                    Err(_) => self.ops.extend(batch),
                }
                Err(e)
            }
        }
    }

    fn index(&self, kernel: &Kernel) -> Result<KernelIndex> {
        let place = self.kernels.iter().position(|k| k == kernel).map(KernelIndex);
        place.ok_or_else(|| Error::KernelNotPart(kernel.clone()))
    }

    /// Records that depmod starts for a kernel. Call it before depmod runs.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn depmod_begins(&mut self, kernel: &Kernel) -> Result<()> {
        let index = self.index(kernel)?;
        self.append(&[Line::Depmod(index)])
    }

    /// Commits: deletes the files that were renamed aside, calls `clean_up` for the rest, and removes the
    /// journal. With `depmod_pending`, the journal stays and records that depmod is pending for the kernels.
    ///
    /// # Errors
    /// The commit cannot be recorded. Then nothing is committed, and the transaction can be rolled back.
    pub fn commit(&mut self, depmod_pending: bool, clean_up: impl FnOnce()) -> Result<()> {
        op::sync(self.ops.iter().map(|(_, op)| op))?;
        self.append(&[Line::Commit { depmod_pending }])?;
        op::finish(self.ops.iter().map(|(_, op)| op));
        clean_up();
        if !depmod_pending {
            // The transaction is committed; if the journal stays, the next command cleans it up.
            let _ = fs::remove_file(&self.path);
        }
        Ok(())
    }

    /// Rolls back the changes to one kernel; the others stay.
    ///
    /// # Errors
    /// A change could not be undone.
    pub fn rollback_kernel(&mut self, kernel: &Kernel) -> Result<()> {
        let index = self.index(kernel)?;
        undo(self.ops.iter().filter(|(changed, _)| *changed == index).map(|(_, op)| op))?;
        self.ops.retain(|(changed, _)| *changed != index);
        Ok(())
    }

    /// Rolls back everything. If a change could not be undone, the journal stays for the next start.
    ///
    /// # Errors
    /// A change could not be undone.
    pub fn rollback(self) -> Result<()> {
        undo(self.ops.iter().map(|(_, op)| op))?;
        fs::remove_file(&self.path)?;
        Ok(())
    }

    fn append(&mut self, lines: &[Line]) -> Result<()> {
        let bytes = bytes(&self.path, lines)?;
        if self.torn {
            self.shorten(self.length).map_err(|e| IoError::new("shorten", &self.path, e))?;
        }
        let written = (&self.file).write_all(&bytes).map_err(|e| ("write", e));
        match written.and_then(|()| self.file.sync_data().map_err(|e| ("sync", e))) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err((op, e)) => {
                // If this fails too, no other line is written until the file could be truncated.
                let _ = self.shorten(self.length);
                Err(IoError::new(op, &self.path, e).needing(bytes.len() as u64).into())
            }
        }
    }

    /// Truncates the file to `length`.
    fn shorten(&mut self, length: u64) -> std::io::Result<()> {
        self.torn = true;
        self.file.set_len(length)?;
        self.file.sync_data()?;
        (self.length, self.torn) = (length, false);
        Ok(())
    }
}

/// Formats the lines. An operation that cannot be recorded is not executed.
fn bytes(path: &Path, lines: &[Line]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).map_err(|e| IoError::new("write", path, e))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
