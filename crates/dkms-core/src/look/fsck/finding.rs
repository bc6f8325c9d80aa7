//! The findings of fsck, and their repairs.

use super::about::About;
use super::spot::Spot;
use crate::lock;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::originals::Original;
use std::path::PathBuf;

/// The kind of a finding. The words of [`Kind::word`] are part of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A version whose `source` is missing or is a dangling link.
    SourceMissing,
    /// A file or directory that an interrupted command left behind.
    Leftover,
    /// A build for a kernel that is no longer installed.
    KernelGone,
    /// A link `kernel-K-A` that does not point to a build for that kernel.
    DanglingActiveLink,
    /// Installed files without a link `kernel-K-A`.
    ActiveLinkMissing,
    /// An installed file that is missing.
    InstalledMissing,
    /// An installed file that differs from the built one.
    InstalledDiffers,
    /// A built file that is missing.
    ModuleMissing,
    /// A built file that has changed.
    ModuleDiffers,
    /// A manifest that belongs to another build or cannot be read.
    ManifestMismatch,
    /// A manifest that records installed files, although the build is not installed.
    StaleRecord,
    /// An archived original of the kernel, although the package is not installed for that kernel.
    OriginalStranded,
    /// An archived original of the kernel that cannot be moved back, because another file has its path.
    OriginalPlaceTaken,
    /// The journal of an interrupted change.
    StaleJournal,
    /// The index of a kernel does not match its modules.
    IndexDiffers,
    /// A damaged or foreign file in the cache of builds.
    CacheDamaged,
}

impl Kind {
    /// The word in JSON.
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
            Self::IndexDiffers => "index-differs",
            Self::CacheDamaged => "cache-damaged",
        }
    }
}

/// An inconsistency.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The package and kernel that it is about.
    pub about: About,
    /// The path of the file or directory.
    pub path: PathBuf,
    /// The problem, as the rest of a sentence that begins with the path.
    pub what: String,
    /// A description of the repair. If it is not [safe](Finding::safe), the administrator has to do it.
    pub repair: String,
    pub(super) spot: Spot,
    pub(super) guards: Vec<Guard>,
    pub(super) remedy: Option<Remedy>,
}

/// A lock that commands hold while they create, change or delete the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guard {
    /// The lock with this file name.
    Build(String),
    Install(Kernel),
}

impl Guard {
    pub(super) fn build(package: &PackageId) -> Self {
        Self::Build(lock::build_name(package))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Build(name) => name.clone(),
            Self::Install(kernel) => lock::install_name(kernel),
        }
    }
}

/// A safe repair.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// Delete the file or directory.
    Delete,
    /// Remove the directory and its empty parents in the tree.
    RemoveEmpty,
    /// Make the link point to this path.
    Relink(PathBuf),
    /// Reinstall a build.
    Reinstall(Build),
    /// Uninstall a build from a kernel that no longer exists, and delete it.
    Unbuild(Build),
    /// Clear the record that a build is installed.
    ClearRecord(Build),
    /// Move an original back to this path.
    RestoreOriginal(Original, PathBuf),
    /// Delete the archive of an original that is already restored.
    DropOriginal(Original),
    /// Complete or roll back the changes in the journals.
    Recover,
    /// Rewrite the index of the kernel's modules.
    Reindex,
    /// Remove this path from the cache of builds.
    DropFromCache(PathBuf),
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

    /// Sets a repair that the administrator has to do.
    pub(super) fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self
    }

    /// Sets a repair that [`repair()`](super::repair()) does, and its description.
    pub(super) fn safely(mut self, remedy: Remedy, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self.remedy = Some(remedy);
        self
    }

    /// Adds locks. While one of them is held, the finding is not reported.
    pub(super) fn guarded(mut self, guards: impl IntoIterator<Item = Guard>) -> Self {
        self.guards.extend(guards);
        self
    }

    /// Returns whether [`repair()`](super::repair()) repairs it.
    pub fn safe(&self) -> bool {
        self.remedy.is_some()
    }

    /// Returns whether the repair changes a kernel's modules or their records.
    pub fn changes_a_kernel(&self) -> bool {
        self.safe() && self.guards.iter().any(|guard| matches!(guard, Guard::Install(_)))
    }

    /// Returns whether both values describe the same finding.
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.path == other.path
    }

    /// Returns whether a command holds one of its locks.
    pub(super) fn in_use(&self, layout: &Layout) -> bool {
        self.guards.iter().any(|guard| dkms_tree::lock::is_held(layout, &guard.name()))
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings: first those in the tree, then those in `/lib/modules`.
    pub findings: Vec<Finding>,
    /// Paths that could not be checked, and the reasons.
    pub unreadable: Vec<String>,
    /// The number of package versions that were checked.
    pub packages: usize,
    /// The number of builds that were checked.
    pub builds: usize,
}
