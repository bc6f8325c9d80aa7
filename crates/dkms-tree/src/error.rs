//! The errors of the tree. The program maps each variant to an exit code and a hint.

use crate::ids::{BadName, Build, Kernel};
use dkms_sys::IoError;
use dkms_sys::fs::{Distrust, Escape};
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
    #[error("{0} is a journal of another version of dkms")]
    JournalUnknown(PathBuf),
    /// A line of a journal is not valid.
    #[error("{path}:{line}: this line of a journal cannot be read: {fault}")]
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The error.
        #[source]
        fault: JournalFault,
    },
    /// A user other than root and the current user can write to the journal, or to the directories above it.
    #[error("the journal {path} is not trusted: {}{why}", if .what == .path { String::new() } else { format!("{}: ", .what.display()) })]
    JournalRefused {
        /// The journal.
        path: PathBuf,
        /// The file or directory that is not trusted.
        what: PathBuf,
        /// The reason.
        #[source]
        why: Distrust,
    },
    /// An operation in a journal names a path that dkms never changes.
    #[error("{path}:{line}: this line of a journal changes {wanted}: {outside}")]
    JournalLeaves {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The path that it names.
        wanted: PathBuf,
        /// The reason why dkms does not change that path.
        #[source]
        outside: Outside,
    },
    /// A link or a recorded path points out of the tree that it belongs to.
    #[error("{path} is not used: {outside}")]
    LeavesTree {
        /// The path.
        path: PathBuf,
        /// The place where it leaves the tree.
        #[source]
        outside: Outside,
    },
    /// A manifest is inconsistent or cannot be read.
    #[error("{path} cannot be used: {fault}")]
    RecordDamaged {
        /// The manifest.
        path: PathBuf,
        /// The error.
        #[source]
        fault: RecordFault,
    },
    /// A change to a kernel that the transaction was not opened for.
    #[error("kernel {0} is not part of this change")]
    KernelNotPart(Kernel),
    /// Another command held a lock for longer than this command waits.
    #[error("timed out waiting for {holder} ({what})")]
    Busy {
        /// The purpose of the lock.
        what: String,
        /// The process that holds it.
        holder: String,
    },
    /// A signal arrived while waiting for a lock.
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
}

/// The error in a line of a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// The first line is not a valid first line.
    #[error("a journal cannot begin with it")]
    NotABeginning,
    /// A later line is a first line.
    #[error("only the first line may be like this")]
    BeginsTwice,
    /// The transaction was committed before this line.
    #[error("it is after the commit")]
    AfterCommit,
    /// It refers to a kernel by a number that is too high.
    #[error("kernel {place} is not one of the {count} in line 1")]
    NoKernel {
        /// The number, from 0.
        place: usize,
        /// The number of kernels in the first line.
        count: usize,
    },
    /// A name in it cannot be the name of a directory.
    #[error(transparent)]
    Name(#[from] BadName),
    /// It is not valid JSON of a line.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The reason why a path is not in the tree that it belongs to.
#[derive(Debug, thiserror::Error)]
pub enum Outside {
    /// The path leaves the tree, or a link on the path does.
    #[error(transparent)]
    Escape(#[from] Escape),
    /// It is in none of the directories that a change may touch.
    #[error("it is neither below {tree} nor below {modules}")]
    Neither {
        /// The dkms tree.
        tree: PathBuf,
        /// The directory of the kernel's modules.
        modules: PathBuf,
    },
}

/// The error in a manifest.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// It is not valid JSON of a manifest.
    #[error("it is not the record of a build ({0})")]
    NotARecord(#[from] serde_json::Error),
    /// It has no schema version.
    #[error("it has no schema")]
    NoSchema,
    /// It belongs to another build.
    #[error("it belongs to {package}/{version} for kernel {kernel} ({arch}), not to {build}")]
    OtherBuild {
        /// Its package.
        package: String,
        /// Its version.
        version: String,
        /// Its kernel release.
        kernel: String,
        /// Its architecture.
        arch: String,
        /// The build in whose directory it is.
        build: Build,
    },
    /// A file name in it leads out of the directory of the modules.
    #[error("it contains the name of a module file that cannot be in its directory, '{0}'")]
    FileName(String),
    /// An installed file in it is not in the directory of the kernel.
    #[error("according to it, {path} is installed, but {escape}")]
    Installed {
        /// The file.
        path: PathBuf,
        /// The place where its path leaves the directory.
        #[source]
        escape: Escape,
    },
}

impl Error {
    /// The hint for the user; empty if the message already contains it.
    pub fn help(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::NotWritable(_) => hint("use another tree with --dkmstree"),
            Self::Busy { .. } => {
                hint("try again later, or wait longer: --lock-timeout, lock_timeout in framework.conf")
            }
            Self::JournalUnknown(_) => hint(
                "another version of dkms was interrupted: let that version finish (any command that changes something), or read the journal and delete it",
            ),
            Self::JournalDamaged { .. } => hint(
                "nothing was changed, and the journal is kept: undo the changes in its lines by hand, delete it, then run 'dkms fsck'",
            ),
            Self::JournalRefused { path, .. } => vec![format!(
                "nothing was changed: if you trust {} and all users who could write it, change its owner to root (chown, chmod go-w); otherwise delete it",
                path.display()
            )],
            Self::JournalLeaves { path, .. } => vec![format!(
                "nothing was changed: dkms changes only its tree and the modules of the kernel; if {} does not come from dkms on this system, delete it",
                path.display()
            )],
            Self::LeavesTree { .. } => {
                hint("nothing was changed: remove or correct that link or path, then try again")
            }
            Self::RecordDamaged { path, .. } => vec![format!(
                "build it again (dkms build --force), or delete {}: dkms then examines the files instead, as for builds of dkms 3.x",
                path.display()
            )],
            Self::Io(_) | Self::KernelNotPart(_) | Self::Interrupted(_) => Vec::new(),
        }
    }
}
