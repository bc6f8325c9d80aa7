//! The errors of the tree. The program maps each variant to an exit code and a hint.

use crate::ids::Kernel;
use dkms_sys::IoError;
use dkms_sys::fs::Distrust;
use std::path::PathBuf;

/// The result of the functions here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors from reading, changing or locking the tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The tree is read-only for this process.
    #[error("the dkms tree cannot be changed: {0}")]
    NotWritable(#[source] IoError),
    /// A journal has another schema.
    #[error("{0} is a journal that this dkms does not understand")]
    JournalUnknown(PathBuf),
    /// A line of a journal is not valid.
    #[error("{path}:{line}: this line of a journal cannot be read: {reason}")]
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A user other than root and the current user can write to the journal, or to the directories above it.
    #[error("the journal {path} is not trusted: {}{why}", if .what == .path { String::new() } else { format!("{}: ", .what.display()) })]
    JournalRefused {
        /// The journal.
        path: PathBuf,
        /// The file or directory that is not trusted.
        what: PathBuf,
        /// Why not.
        #[source]
        why: Distrust,
    },
    /// An operation in a journal names a path that dkms never changes.
    #[error("{path}:{line}: this journal wants to change {wanted}: {reason}")]
    JournalLeaves {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The path that it names.
        wanted: PathBuf,
        /// Why dkms does not change that path.
        reason: String,
    },
    /// A link or a recorded path points out of the tree that it belongs to.
    #[error("{path} is not used: {reason}")]
    LeavesTree {
        /// The path.
        path: PathBuf,
        /// Where it points.
        reason: String,
    },
    /// A manifest is inconsistent or cannot be read.
    #[error("{path} cannot be used: {reason}")]
    RecordDamaged {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A change to a kernel that the transaction was not opened for.
    #[error("kernel {0} is not part of this change")]
    KernelNotPart(Kernel),
    /// Another command held a lock for longer than this command waits.
    #[error("timed out waiting for {holder} ({what})")]
    Busy {
        /// What the lock is for.
        what: String,
        /// The process that holds it.
        holder: String,
    },
    /// A signal arrived while waiting for a lock.
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
}

impl Error {
    /// The hint for the user; empty if the message already contains it.
    pub fn help(&self) -> Vec<String> {
        let one = |s: &str| vec![s.to_owned()];
        match self {
            Self::NotWritable(_) => one("--dkmstree names another tree"),
            Self::Busy { .. } => {
                one("try again later, or wait longer: --lock-timeout, lock_timeout in framework.conf")
            }
            Self::JournalUnknown(_) => one(
                "another version of dkms was interrupted: let that version finish (any command that changes something), or read the journal and delete it",
            ),
            Self::JournalDamaged { .. } => one(
                "nothing was changed, and the journal is kept: undo by hand what its lines say was begun, delete it, then run 'dkms fsck'",
            ),
            Self::JournalRefused { path, .. } => vec![format!(
                "nothing was changed: if you trust {} and all users who could write it, give it to root (chown, chmod go-w); otherwise delete it",
                path.display()
            )],
            Self::JournalLeaves { path, .. } => vec![format!(
                "nothing was changed: dkms changes only its tree and the modules of the kernel; if {} does not come from dkms on this system, delete it",
                path.display()
            )],
            Self::LeavesTree { .. } => {
                one("nothing was changed: remove or correct that link or path, then try again")
            }
            Self::RecordDamaged { path, .. } => vec![format!(
                "build it again (dkms build --force), or delete {}: dkms then looks at the files instead, as for builds of dkms 3.x",
                path.display()
            )],
            Self::Io(_) | Self::KernelNotPart(_) | Self::Interrupted(_) => Vec::new(),
        }
    }
}
