//! Taking package versions out: of kernels, of what is built, of the tree. One command is one transaction.

use crate::add;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::install::{Change, Ending};
use crate::lock;
use crate::package::PackageError;
use crate::session::Session;
use crate::tree::state::{self, BuildState};
use dkms_sys::fs;

/// How far a package version is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Out of `/lib/modules`.
    Uninstall,
    /// And its built files deleted.
    Unbuild,
    /// And out of the tree, when no kernel is left.
    Remove,
}

/// What is to be taken back of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub build: Build,
    /// It is taken out of its kernel.
    pub uninstall: bool,
    /// What was built is deleted.
    pub unbuild: bool,
    /// Why there is nothing to do.
    pub nothing: Option<&'static str>,
}

/// What a command takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// For each kernel.
    pub parts: Vec<Part>,
    /// Package versions that leave the tree.
    pub forget: Vec<PackageId>,
    /// Package versions that stay in it, built for other kernels.
    pub stay: Vec<PackageId>,
}

impl Parts {
    /// Nothing has to be changed.
    fn is_empty(&self) -> bool {
        self.forget.is_empty() && self.kernels().is_empty()
    }

    /// The kernels whose modules change, or for which something built is deleted.
    fn kernels(&self) -> Vec<Kernel> {
        let busy = self.parts.iter().filter(|p| p.uninstall || p.unbuild);
        busy.map(|p| p.build.kernel.clone()).collect()
    }
}

/// What taking a package version back for some kernels comes to.
pub fn plan(s: &Session<'_>, package: &PackageId, kernels: &[Kernel], depth: Depth) -> Parts {
    let mut all = Parts::default();
    for kernel in kernels {
        let build = Build::new(package, kernel);
        if all.parts.iter().any(|p| p.build == build) {
            continue;
        }
        let at = state::build_state(s.layout, &build);
        // A link may point to a directory whose modules were deleted by hand.
        let uninstall = state::is_active(s.layout, &build);
        let unbuild = depth != Depth::Uninstall && s.layout.built_dir(&build).is_dir();
        let nothing = match (uninstall, at) {
            (true, _) => None,
            (false, BuildState::NotBuilt) => Some("is neither built nor installed"),
            (false, _) if depth == Depth::Uninstall => Some("is not installed"),
            (false, _) => None,
        };
        all.parts.push(Part { build, uninstall, unbuild, nothing });
    }
    if depth == Depth::Remove {
        let left = state::builds(s.layout, package)
            .into_iter()
            .any(|b| !all.parts.iter().any(|p| p.build == b && p.unbuild));
        if left { all.stay.push(package.clone()) } else { all.forget.push(package.clone()) }
    }
    all
}

/// Refuses what is not in the tree, and a removal that an `add` in the same RPM transaction cancels.
///
/// # Errors
/// [`PackageError::NotAdded`], [`PackageError::Broken`], [`PackageError::RemoveCancelled`].
pub fn check(s: &Session<'_>, package: &PackageId, depth: Depth) -> Result<()> {
    add::require_added(s, package)?;
    if depth == Depth::Remove
        && s.options.rpm_safe_upgrade
        && crate::rpm_upgrade::added_in_this_transaction(s, package)
    {
        return Err(PackageError::RemoveCancelled(package.clone()).into());
    }
    Ok(())
}

/// Takes a package version back for some kernels, or for all it is built for: all of it, or nothing. Returns the kernels
/// whose modules changed.
///
/// # Errors
/// Not in the tree, broken; or the first failure.
pub fn take_back(
    s: &Session<'_>,
    package: &PackageId,
    kernels: Option<&[Kernel]>,
    depth: Depth,
) -> Result<Vec<Kernel>> {
    check(s, package, depth)?;
    let built = || state::builds(s.layout, package).into_iter().map(|b| b.kernel).collect();
    let planned = || plan(s, package, &kernels.map_or_else(built, <[Kernel]>::to_vec), depth);
    let mut all = planned();
    // Where there is nothing to do, nobody has to be waited for, and nothing has to be writable.
    let held = if all.is_empty() { None } else { Some(lock::build(s, package)?) };
    if held.is_some() {
        // Now nobody builds it, and nobody else takes it away.
        add::require_added(s, package)?;
        all = planned();
    }
    for part in &all.parts {
        if let Some(reason) = part.nothing {
            s.tell(Event::Nothing { about: part.build.to_string(), reason: reason.into() });
        }
    }
    let changed = carry_out(s, &all)?;
    for p in &all.stay {
        s.tell(Event::Nothing {
            about: p.to_string(),
            reason: "stays in the tree: it is built for other kernels (--all takes it out of those as well)"
                .into(),
        });
    }
    Ok(changed)
}

fn carry_out(s: &Session<'_>, all: &Parts) -> Result<Vec<Kernel>> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut kernels = all.kernels();
    if kernels.is_empty() {
        // Only the tree changes; a kernel it is about in name.
        kernels.push(Kernel { release: s.host.release.clone(), arch: s.host.machine.clone() });
    }
    let mut change = Change::begin(s, &kernels)?;
    let taken_back = all.parts.iter().try_for_each(|p| one(s, &mut change, p));
    if let Err(e) = taken_back.and_then(|()| all.forget.iter().try_for_each(|p| change.forget(s, p))) {
        return Err(change.abandon_because(s, e));
    }
    let finished = change.finish(s, Ending::Whole)?;
    let out = |k: &Kernel| all.parts.iter().any(|p| p.uninstall && p.build.kernel == *k);
    Ok(finished.changed.into_iter().filter(out).collect())
}

fn one(s: &Session<'_>, change: &mut Change, part: &Part) -> Result<()> {
    if let Some(signal) = dkms_sys::signal::interrupted() {
        return Err(Error::Interrupted(signal));
    }
    // Somebody may have been faster, before we had the lock: taken it out, or put it in.
    if (part.uninstall || part.unbuild) && state::is_active(s.layout, &part.build) {
        change.uninstall(s, &part.build)?;
    }
    if part.unbuild && s.layout.built_dir(&part.build).is_dir() {
        change.unbuild(s, &part.build)?;
    }
    Ok(())
}

/// What `kernel_prerm` (everything) and `kernel_preinst` (what autoinstall brings back) take back for a kernel, and what
/// they cannot say because of a wrong dkms.conf.
pub fn plan_clear(s: &Session<'_>, kernel: &Kernel, autoinstall_only: bool) -> (Parts, Vec<(Build, Error)>) {
    let (mut all, mut wrong) = (Parts::default(), Vec::new());
    for package in state::all_packages(s.layout) {
        let build = Build::new(&package, kernel);
        let (uninstall, unbuild) = (state::is_active(s.layout, &build), s.layout.built_dir(&build).is_dir());
        if !uninstall && !unbuild {
            continue;
        }
        if let Err(e) = add::refuse_broken(s, &package) {
            s.warn(format!("{e}; left as it is"));
            continue;
        }
        if autoinstall_only {
            match load::load(s, &package, kernel).and_then(load::Loaded::lenient) {
                Ok(loaded) if !loaded.conf.autoinstall => continue,
                Ok(_) => {}
                Err(e) => {
                    wrong.push((build, e));
                    continue;
                }
            }
        }
        all.parts.push(Part { build, uninstall, unbuild, nothing: None });
    }
    (all, wrong)
}

/// `kernel_prerm` and `kernel_preinst`: takes packages back for one kernel, with one depmod, and leaves no empty
/// directories. What fails stays as it was, the others go. Returns whether anything changed.
///
/// # Errors
/// [`Error::KernelHookFailed`] with the packages that failed.
pub fn clear_kernel(s: &Session<'_>, kernel: &Kernel, action: &str, autoinstall_only: bool) -> Result<bool> {
    let (all, wrong) = plan_clear(s, kernel, autoinstall_only);
    let mut failed = Vec::new();
    for (build, e) in wrong {
        failed.push(build.package.to_string());
        s.tell(Event::Failed { build, error: e.to_string(), code: 8 });
    }
    let mut changed = false;
    if !all.parts.is_empty() {
        let mut packages: Vec<&PackageId> = all.parts.iter().map(|p| &p.build.package).collect();
        packages.sort();
        let _held = packages.into_iter().map(|p| lock::build(s, p)).collect::<Result<Vec<_>>>()?;
        let mut change = Change::begin(s, std::slice::from_ref(kernel))?;
        for part in &all.parts {
            match one(s, &mut change, part) {
                Ok(()) => changed |= part.uninstall,
                Err(e @ Error::Interrupted(_)) => return Err(change.abandon_because(s, e)),
                Err(e) => {
                    s.tell(Event::Failed { build: part.build.clone(), error: e.to_string(), code: 14 });
                    failed.push(part.build.package.to_string());
                }
            }
        }
        change.finish(s, Ending::Regardless)?;
    }
    let modules = s.layout.kernel_modules(&kernel.release);
    if modules.is_dir() {
        // Empty directories that cannot go are no failure of what was to be taken back.
        if let Err(e) = fs::remove_empty_below(&modules) {
            s.tell(Event::Detail { text: e.to_string() });
        }
        let _ = std::fs::remove_dir(&modules);
    }
    if failed.is_empty() {
        Ok(changed)
    } else {
        Err(Error::KernelHookFailed { action: action.to_owned(), kernel: kernel.clone(), failed })
    }
}
