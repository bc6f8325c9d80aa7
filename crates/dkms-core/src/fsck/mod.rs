//! `dkms fsck`: what in the tree and in `/lib/modules` is not as dkms left it, and mending what can be mended safely.
//!
//! **Looking** writes nothing and takes no lock, so anybody may do it who can read the tree. The tree is divided into
//! spots: a version, a build, a link, a kernel's directory. Each is looked at by itself, and what cannot be read
//! there is told and stops nothing else.
//!
//! **What is in use is no finding.** Each finding names the locks under which such a thing comes and goes. After a spot
//! was looked at, those locks are tried; if one is held, the finding is dropped; if all are free, the spot is looked at
//! again, since their holder may just have finished.
//!
//! **Repairing** ([`repair()`]) takes those locks, looks at the spot once more, and mends what is still found. What it did is
//! judged by looking at everything again, not by its own word.

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

/// What a finding is about, as far as that is known.
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
    spot: Spot,
    guards: Vec<Guard>,
    remedy: Option<Remedy>,
}

/// A lock under which such things come and go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guard {
    /// By the name of its file.
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

/// What can be done safely.
#[derive(Clone, Debug)]
enum Remedy {
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

    fn in_use(&self, layout: &Layout) -> bool {
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

/// Looks at everything that fits one of the filters; no filter: everything. What belongs to no package (journals, leftovers
/// in `/lib/modules`) is left out when packages are named.
///
/// # Errors
/// [`LookError`] when the tree cannot be listed, or when nothing in it fits. What cannot be read below that is in
/// [`Report::unreadable`].
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
    /// What is found at a spot, whether or not somebody is at work there.
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

    /// What is found at a spot and nobody is at work on.
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
