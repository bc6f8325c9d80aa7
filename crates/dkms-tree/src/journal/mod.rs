//! Changes to kernels' modules as a transaction.
//!
//! **Protocol.** Everything one command changes, for one kernel or several, goes into one journal, a file in `.journal` of
//! the dkms tree, while the install locks of those kernels are held. Changes come in batches (one per build that is
//! installed, uninstalled or deleted):
//!
//! 1. the batch's operations are appended to the journal as JSON lines, and the file is synced; then the complete new
//!    copies are made beside their places;
//! 2. the operations are carried out, each by one rename or by something that can be told from its traces;
//! 3. a `Done` line closes the batch.
//!
//! Nothing that was there before is deleted in a batch: it is renamed to a dot name beside its place. After depmod the
//! directories are synced and [`Transaction::commit`] writes a `Commit` line, deletes those, and removes the journal.
//! [`Transaction::rollback`] undoes every operation in reverse.
//!
//! **After a crash** (`install/recover.rs`) the journal tells what to do: with a `Commit` line the deletions are repeated;
//! without, everything is undone, batches that are done as well: a command happens whole or not at all. Where depmod had
//! begun, it runs again. Every undo looks at what is there first, so it can be interrupted and repeated as often as one
//! likes.
//!
//! **Meanwhile** `status` shows what was before: a batch that touches a package first writes down that package's lines
//! ([`Before`]), and `status` shows them as long as there is no `Commit`.

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

/// The form of journal that we write and read.
pub const SCHEMA: u32 = 2;

/// The first line: who changes what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The process that writes it.
    pub pid: u32,
    /// When that process began, in clock ticks since the machine started; tells it from a later one of that number.
    pub started: Option<u64>,
    /// Its command line.
    pub command: String,
    /// The kernels it may change.
    pub kernels: Vec<Kernel>,
}

/// What `status` said of a package before it was touched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Before {
    /// The package.
    pub package: String,
    /// Its lines for the transaction's kernels, and those without a kernel.
    pub entries: Vec<Entry>,
}

/// A kernel of the transaction, by its place in [`Begin::kernels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KernelIndex(usize);

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Begin(Begin),
    /// A package is about to be touched.
    Before(Before),
    /// An operation of the batch that is open, on that kernel.
    Do(KernelIndex, Op),
    /// The batch is complete.
    Done,
    /// depmod begins for a kernel; from here on its index may be another.
    Depmod(KernelIndex),
    /// Everything is complete; only deletions are left, and with `owed` the depmod of its kernels, which whoever changes
    /// them next has to run.
    Commit {
        owed: bool,
    },
}

/// Whether the process that made a journal, by its name, still runs.
pub fn maker_is_alive(path: &Path) -> bool {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let pid = name.rsplit_once('-').and_then(|(_, pid)| pid.parse().ok());
    pid.is_some_and(sys::process_exists)
}

/// The journals that are there, oldest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(layout: &Layout) -> std::result::Result<Vec<PathBuf>, IoError> {
    let dir = layout.journal_dir();
    fs::refuse_foreign_dir(&dir)?;
    let names = fs::list_dir_optional(&dir)?;
    Ok(names.iter().filter(|n| !n.to_string_lossy().starts_with('.')).map(|n| dir.join(n)).collect())
}

fn undo<'a>(ops: impl DoubleEndedIterator<Item = &'a Op> + Clone) -> Result<()> {
    let mut first = None;
    for op in ops.clone().rev() {
        // What can be put back is, whatever cannot.
        if let Err(e) = op.undo() {
            first.get_or_insert(e);
        }
    }
    op::sync(ops)?;
    first.map_or(Ok(()), |e| Err(e.into()))
}

/// An open transaction. Dropped without commit or rollback it stays as it is, for recovery.
#[derive(Debug)]
pub struct Transaction {
    path: PathBuf,
    file: File,
    /// Bytes of it that count; behind them there may be half a line.
    length: u64,
    /// Behind them there is something that could not be cut off. A line behind it could not be read.
    torn: bool,
    kernels: Vec<Kernel>,
    /// Packages that were noted.
    noted: Vec<String>,
    ops: Vec<(KernelIndex, Op)>,
}

impl Transaction {
    /// Opens a transaction. The caller holds the kernels' install locks and has recovered what was there.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn begin(layout: &Layout, kernels: &[Kernel], command: &str) -> Result<Self> {
        let pid = sys::own_pid();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        // In the order of their beginning: what a script of ours changes comes after what we have.
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
            noted: Vec::new(),
            ops: Vec::new(),
        })
    }

    /// Whether [`Transaction::note`] has been told of a package.
    pub fn knows(&self, package: &str) -> bool {
        self.noted.iter().any(|name| name == package)
    }

    /// Writes down what `status` says of a package that is about to be touched.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn note(&mut self, before: Before) -> Result<()> {
        let package = before.package.clone();
        self.append(&[Line::Before(before)])?;
        self.noted.push(package);
        Ok(())
    }

    /// Carries out a batch on one kernel: records it, has `stage` make the complete copies that it puts into place, changes
    /// the files, and lets `record` write anew what the batch keeps ([`Op::Keep`]). When anything fails, the whole batch is undone and the error returned; earlier batches stay.
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
        let (n, start) = (self.index(kernel)?, self.length);
        let batch: Vec<(KernelIndex, Op)> = batch.into_iter().map(|op| (n, op)).collect();
        let lines: Vec<Line> = batch.iter().cloned().map(|(n, op)| Line::Do(n, op)).collect();
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
                    // If the journal cannot forget it, an undo after a crash will find nothing to do.
                    Ok(()) => drop(self.shorten(start)),
                    // It stays in the journal, for the rollback of everything or the next start.
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

    /// To be called before depmod runs for a kernel.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn depmod_begins(&mut self, kernel: &Kernel) -> Result<()> {
        let n = self.index(kernel)?;
        self.append(&[Line::Depmod(n)])
    }

    /// Makes it final: deletes what was put aside, lets `clean_up` do the rest, and removes the journal. With `owed` the
    /// journal stays, and says that the kernels still need a depmod.
    ///
    /// # Errors
    /// When the commit cannot be recorded; then nothing is final, and it can be rolled back.
    pub fn commit(&mut self, owed: bool, clean_up: impl FnOnce()) -> Result<()> {
        op::sync(self.ops.iter().map(|(_, op)| op))?;
        self.append(&[Line::Commit { owed }])?;
        op::finish(self.ops.iter().map(|(_, op)| op));
        clean_up();
        if !owed {
            // It is final; a journal that stays is cleaned up after by the next command.
            let _ = fs::remove_file(&self.path);
        }
        Ok(())
    }

    /// Takes back what was done for one kernel; the rest stays.
    ///
    /// # Errors
    /// When something could not be put back.
    pub fn rollback_kernel(&mut self, kernel: &Kernel) -> Result<()> {
        let n = self.index(kernel)?;
        undo(self.ops.iter().filter(|(of, _)| *of == n).map(|(_, op)| op))?;
        self.ops.retain(|(of, _)| *of != n);
        Ok(())
    }

    /// Takes everything back. The journal stays if something could not be put back, for the next start.
    ///
    /// # Errors
    /// When something could not be put back.
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
                // If that fails too, the next line is not written before it has worked.
                let _ = self.shorten(self.length);
                Err(IoError::new(op, &self.path, e).needing(bytes.len() as u64).into())
            }
        }
    }

    /// Cuts off what is behind `length`.
    fn shorten(&mut self, length: u64) -> std::io::Result<()> {
        self.torn = true;
        self.file.set_len(length)?;
        self.file.sync_data()?;
        (self.length, self.torn) = (length, false);
        Ok(())
    }
}

/// The lines as they are written. What cannot be written down is not done.
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
