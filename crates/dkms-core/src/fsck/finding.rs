//! What fsck finds, and what can be done about it.

use super::about::About;
use super::spot::Spot;
use crate::ids::{Build, Kernel, PackageId};
use crate::lock;
use crate::tree::layout::Layout;
use crate::tree::originals::Original;
use std::path::PathBuf;

/// What is wrong. The words of [`Kind::word`] are part of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A version whose `source` is missing or leads nowhere.
    SourceMissing,
    /// A file or directory of a command that was cut off.
    Leftover,
    /// A build for a kernel that is not installed any more.
    KernelGone,
    /// `kernel-K-A` that leads to no build of that kernel.
    DanglingActiveLink,
    /// Installed files whose `kernel-K-A` is missing.
    ActiveLinkMissing,
    /// An installed file that is not there.
    InstalledMissing,
    /// An installed file that is not the one that was built.
    InstalledDiffers,
    /// A built file that is not there.
    ModuleMissing,
    /// A built file that is not the one that was built.
    ModuleDiffers,
    /// A manifest that is not this build's, or not to be understood.
    ManifestMismatch,
    /// A manifest that says "installed" of a build that is not.
    StaleRecord,
    /// An archived original although nothing of the package is installed for its kernel.
    OriginalStranded,
    /// An archived original in whose place another file lies.
    OriginalPlaceTaken,
    /// The journal of a change that was cut off.
    StaleJournal,
}

impl Kind {
    /// Its stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::SourceMissing => "source-missing",
            Self::Leftover => "leftover",
            Self::KernelGone => "kernel-gone",
            Self::DanglingActiveLink => "dangling-active-link",
            Self::ActiveLinkMissing => "active-link-missing",
            Self::InstalledMissing => "installed-missing",
            Self::InstalledDiffers => "installed-differs",
            Self::ModuleMissing => "module-missing",
            Self::ModuleDiffers => "module-differs",
            Self::ManifestMismatch => "manifest-mismatch",
            Self::StaleRecord => "stale-record",
            Self::OriginalStranded => "original-stranded",
            Self::OriginalPlaceTaken => "original-place-taken",
            Self::StaleJournal => "stale-journal",
        }
    }
}

/// One thing that is not in order.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Whose.
    pub about: About,
    /// Where.
    pub path: PathBuf,
    /// What is wrong there, as the rest of a sentence that begins with the path.
    pub what: String,
    /// What [`repair()`] does about it, or the administrator can.
    pub repair: String,
    pub(super) spot: Spot,
    pub(super) guards: Vec<Guard>,
    pub(super) remedy: Option<Remedy>,
}

/// A lock under which such things come and go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guard {
    /// By the name of its file.
    Build(String),
    Install(Kernel),
}

impl Guard {
    pub(super) fn build(p: &PackageId) -> Self {
        Self::Build(lock::build_name(p))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Build(name) => name.clone(),
            Self::Install(kernel) => lock::install_name(kernel),
        }
    }
}

/// What can be done safely.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// Delete the file or directory.
    Delete,
    /// Remove the directory and what is empty above it in the tree.
    RemoveEmpty,
    /// Make the link lead to this.
    Relink(PathBuf),
    /// Install a build again.
    Reinstall(Build),
    /// Take a build out of a kernel that is gone, and delete it.
    TakeBack(Build),
    /// Forget that a build was installed.
    ClearRecord(Build),
    /// Move an original back to this place.
    GiveBack(Original, PathBuf),
    /// Delete an original that is in its place already.
    DropOriginal(Original),
    /// Finish or take back what the journals are about.
    Recover,
}

impl Finding {
    pub(super) fn new(kind: Kind, about: About, path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self {
            kind,
            about,
            path: path.into(),
            what: what.into(),
            repair: String::new(),
            spot: Spot::Tree,
            guards: Vec::new(),
            remedy: None,
        }
    }

    /// What the administrator can do.
    pub(super) fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self
    }

    /// What [`repair()`] does.
    pub(super) fn safely(mut self, remedy: Remedy, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self.remedy = Some(remedy);
        self
    }

    pub(super) fn guarded(mut self, guards: impl IntoIterator<Item = Guard>) -> Self {
        self.guards.extend(guards);
        self
    }

    /// Whether [`repair()`] does something about it.
    pub fn safe(&self) -> bool {
        self.remedy.is_some()
    }

    /// Whether repairing it changes a kernel's modules or what is recorded of them.
    pub fn changes_a_kernel(&self) -> bool {
        self.safe() && self.guards.iter().any(|g| matches!(g, Guard::Install(_)))
    }

    /// Whether this is the same thing, found again.
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.path == other.path
    }

    pub(super) fn in_use(&self, layout: &Layout) -> bool {
        self.guards.iter().any(|g| dkms_tree::lock::is_held(layout, &g.name()))
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the tree, then of `/lib/modules`.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub unreadable: Vec<String>,
    /// Package versions looked at.
    pub packages: usize,
    /// Builds looked at.
    pub builds: usize,
}
