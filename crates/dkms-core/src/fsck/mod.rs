//! `dkms fsck`: finds inconsistencies in the tree and in `/lib/modules`, and repairs those that can be
//! repaired safely.
//!
//! **Checking** writes nothing and takes no lock, so every user who can read the tree may do it. The tree is
//! divided into spots: a version, a build, a link, a kernel's directory. Each is checked separately. If one
//! cannot be read, that is reported, and the others are still checked.
//!
//! **Things in use are not reported.** Each finding lists the locks that a command holds while it creates or
//! deletes such a thing. After a spot is checked, those locks are tried. If one is held, the finding is
//! dropped. If all are free, the spot is checked again, because their holder may just have finished.
//!
//! **Repairing** ([`repair()`]) takes those locks, checks the spot again, and repairs what is still found.
//! Afterwards everything is checked again to determine the result.

mod build;
mod kernel;
mod names;
mod originals;
mod repair;
mod spot;
#[cfg(test)]
mod tests;
mod traces;
mod tree;

pub use repair::{Repaired, repair};

use crate::error::Result;
use crate::ids::{Build, Kernel, PackageId};
use crate::lock;
use crate::look::LookError;
use crate::session::Session;
use crate::status::Filter;
use crate::tree::layout::Layout;
use crate::tree::originals::Original;
use spot::{Look, Spot};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The kind of a finding. The words of [`Kind::word`] are part of the JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A version whose `source` is missing or a dangling link.
    SourceMissing,
    /// A file or directory that an interrupted command left.
    Leftover,
    /// A build for a kernel that is no longer installed.
    KernelGone,
    /// `kernel-K-A` that does not point to a build of that kernel.
    DanglingActiveLink,
    /// Installed files whose `kernel-K-A` is missing.
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
    /// A manifest with `installed`, although the build is not installed.
    StaleRecord,
    /// An archived original, although the package is not installed for its kernel.
    OriginalStranded,
    /// An archived original whose path is used by another file.
    OriginalPlaceTaken,
    /// The journal of an interrupted change.
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

/// The subject of a finding, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Package name.
    pub package: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// Kernel release.
    pub release: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
}

impl About {
    fn package(name: &str) -> Self {
        Self { package: Some(name.to_owned()), ..Self::default() }
    }

    fn version(p: &PackageId) -> Self {
        Self { version: Some(p.version.clone()), ..Self::package(&p.name) }
    }

    fn build(b: &Build) -> Self {
        Self::version(&b.package).on(&b.kernel)
    }

    fn release(release: &str) -> Self {
        Self { release: Some(release.to_owned()), ..Self::default() }
    }

    fn on(mut self, k: &Kernel) -> Self {
        self.release = Some(k.release.clone());
        self.arch = Some(k.arch.clone());
        self
    }
}

/// An inconsistency.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// Its subject.
    pub about: About,
    /// Its path.
    pub path: PathBuf,
    /// The problem, as the rest of a sentence that begins with the path.
    pub what: String,
    /// What [`repair()`] or the administrator can do about it.
    pub repair: String,
    spot: Spot,
    guards: Vec<Guard>,
    remedy: Option<Remedy>,
}

/// A lock that a command holds while it creates or deletes such things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guard {
    /// The lock with this file name.
    Build(String),
    Install(Kernel),
}

impl Guard {
    fn build(p: &PackageId) -> Self {
        Self::Build(lock::build_name(p))
    }

    fn name(&self) -> String {
        match self {
            Self::Build(name) => name.clone(),
            Self::Install(kernel) => lock::install_name(kernel),
        }
    }
}

/// A safe repair.
#[derive(Clone, Debug)]
enum Remedy {
    /// Delete the file or directory.
    Delete,
    /// Remove the directory and its empty parents in the tree.
    RemoveEmpty,
    /// Make the link point to this.
    Relink(PathBuf),
    /// Reinstall a build.
    Reinstall(Build),
    /// Uninstall a build from a kernel that no longer exists, and delete it.
    TakeBack(Build),
    /// Clear the record that a build is installed.
    ClearRecord(Build),
    /// Move an original back to this path.
    GiveBack(Original, PathBuf),
    /// Delete an archived original that is already in its place.
    DropOriginal(Original),
    /// Complete or roll back the changes in the journals.
    Recover,
}

impl Finding {
    fn new(kind: Kind, about: About, path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
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
    fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self
    }

    /// What [`repair()`] does.
    fn safely(mut self, remedy: Remedy, text: impl Into<String>) -> Self {
        self.repair = text.into();
        self.remedy = Some(remedy);
        self
    }

    fn guarded(mut self, guards: impl IntoIterator<Item = Guard>) -> Self {
        self.guards.extend(guards);
        self
    }

    /// Whether [`repair()`] repairs it.
    pub fn safe(&self) -> bool {
        self.remedy.is_some()
    }

    /// Whether the repair changes a kernel's modules or their records.
    pub fn changes_a_kernel(&self) -> bool {
        self.safe() && self.guards.iter().any(|g| matches!(g, Guard::Install(_)))
    }

    /// Whether this is the same finding, found again.
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.path == other.path
    }

    fn in_use(&self, layout: &Layout) -> bool {
        self.guards.iter().any(|g| dkms_tree::lock::is_held(layout, &g.name()))
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the tree, then of `/lib/modules`.
    pub findings: Vec<Finding>,
    /// What could not be checked, and why.
    pub unreadable: Vec<String>,
    /// Number of package versions that were checked.
    pub packages: usize,
    /// Number of builds that were checked.
    pub builds: usize,
}

/// Checks everything that matches one of the filters; without filters, everything. If packages are given,
/// things that belong to no package (journals, leftovers in `/lib/modules`) are left out.
///
/// # Errors
/// [`LookError`] if the tree cannot be listed, or if nothing in it matches. What cannot be read below it is
/// in [`Report::unreadable`].
pub fn look(s: &Session<'_>, filters: &[Filter]) -> Result<Report> {
    dkms_sys::fs::list_dir(&s.layout.dkms_tree).map_err(LookError::TreeUnreadable)?;
    let l = Look::new(s, filters);
    let spots = l.spots();
    if l.names_a_package() && !spots.iter().any(|spot| matches!(spot, Spot::Package(_))) {
        let names = filters.iter().filter_map(|f| f.name.clone()).collect();
        return Err(LookError::NoSuchPackage { tree: s.layout.dkms_tree.clone(), names }.into());
    }
    let mut report = Report::default();
    for spot in &spots {
        match spot {
            Spot::Version(_) => report.packages += 1,
            Spot::Build(b) => report.builds += usize::from(s.layout.module_dir(b).is_dir()),
            _ => {}
        }
        report.findings.extend(l.confirmed(spot));
    }
    report.unreadable = l.unreadable();
    Ok(report)
}

impl Look<'_> {
    /// The findings at a spot, whether or not it is in use.
    fn at(&self, spot: &Spot) -> Vec<Finding> {
        let mut found = match spot {
            Spot::Tree => tree::root(self),
            Spot::Journals => kernel::journals(self),
            Spot::Sources => tree::sources(self),
            Spot::Package(name) => tree::package(self, name),
            Spot::Version(id) => tree::version(self, id),
            Spot::Build(b) => build::look(self, b),
            Spot::Link(name, k) => originals::link(self, name, k).into_iter().collect(),
            Spot::Originals(name, k) => originals::look(self, name, k),
            Spot::KernelDir(release) => kernel::directory(self, release),
        };
        found.retain(|f| self.wants(&f.about));
        for f in &mut found {
            f.spot = spot.clone();
        }
        found
    }

    /// The findings at a spot that are not in use.
    fn confirmed(&self, spot: &Spot) -> Vec<Finding> {
        let mut suspects = self.at(spot);
        suspects.retain(|f| !f.in_use(self.s.layout));
        if suspects.iter().any(|f| !f.guards.is_empty()) {
            let again = self.at(spot);
            suspects.retain(|f| again.iter().any(|a| a.is(f)));
        }
        suspects
    }

    fn unreadable(&self) -> Vec<String> {
        let all: &BTreeSet<String> = &self.unreadable.borrow();
        all.iter().cloned().collect()
    }
}
