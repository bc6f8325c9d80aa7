//! Taking package versions out: of kernels, of what is built, of the tree.

use crate::add;
use crate::build;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::install::KernelChange;
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

/// Takes a package version back for some kernels; one depmod per kernel. Returns the kernels whose modules changed.
///
/// # Errors
/// Not in the tree, broken; or the first failure, after the other kernels were done.
pub fn take_back(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    depth: Depth,
) -> Result<Vec<Kernel>> {
    add::require_added(s, package)?;
    if depth == Depth::Remove
        && s.options.rpm_safe_upgrade
        && crate::rpm_upgrade::added_in_this_transaction(s, package)
    {
        return Err(Error::RemoveCancelled(package.clone()));
    }
    let mut changed = Vec::new();
    let mut first = None;
    for kernel in kernels {
        match one_kernel(s, package, kernel, depth) {
            Ok(true) => changed.push(kernel.clone()),
            Ok(false) => {}
            Err(e) => keep_first(s, &mut first, e, &Build::new(package, kernel)),
        }
    }
    if let Some(e) = first {
        return Err(e);
    }
    if depth == Depth::Remove {
        forget(s, package)?;
    }
    Ok(changed)
}

/// Remembers the first error of several; the later ones are told at once.
pub(crate) fn keep_first(s: &Session<'_>, first: &mut Option<Error>, e: Error, b: &Build) {
    if first.is_none() {
        *first = Some(e);
    } else {
        s.tell(Event::Failed { build: b.clone(), error: e.to_string(), code: 0 });
    }
}

fn one_kernel(s: &Session<'_>, package: &PackageId, kernel: &Kernel, depth: Depth) -> Result<bool> {
    let b = Build::new(package, kernel);
    let at = state::build_state(s.layout, &b);
    let nothing = |reason: &str| s.tell(Event::Nothing { about: b.to_string(), reason: reason.into() });
    // A link may point to a directory whose modules were deleted by hand.
    let active = state::is_active(s.layout, &b);
    if active {
        let mut change = KernelChange::begin(s, kernel)?;
        if let Err(e) = change.uninstall(s, &b) {
            change.abandon(s)?;
            return Err(e);
        }
        change.finish(s)?;
    } else if at == BuildState::NotBuilt {
        nothing("is neither built nor installed");
        return Ok(false);
    } else if depth == Depth::Uninstall {
        nothing("is not installed");
    }
    if depth != Depth::Uninstall && s.layout.built_dir(&b).is_dir() {
        build::unbuild(s, &b)?;
    }
    Ok(active)
}

/// Deletes `M/V` when it is built for no kernel, and `M` when it is empty then.
fn forget(s: &Session<'_>, package: &PackageId) -> Result<()> {
    if !state::builds(s.layout, package).is_empty() {
        s.tell(Event::Nothing {
            about: package.to_string(),
            reason: "stays in the tree: it is built for other kernels (--all takes it out of those as well)"
                .into(),
        });
        return Ok(());
    }
    let _held = crate::lock::build(s, package)?;
    let directory = s.layout.package_dir(&package.name);
    let doomed = directory.join(format!(".{}.removed", package.version));
    fs::remove_tree(&doomed)?;
    fs::rename(s.layout.version_dir(package), &doomed)?;
    fs::remove_tree(&doomed)?;
    let _ = std::fs::remove_dir(&directory);
    s.tell(Event::Forgotten { package: package.clone() });
    Ok(())
}

/// `kernel_prerm` (everything) and `kernel_preinst` (what autoinstall brings back): takes all packages back for one
/// kernel, with one depmod, and leaves no empty directories. Returns whether anything changed.
///
/// # Errors
/// [`Error::KernelHookFailed`] with the packages that failed.
pub fn clear_kernel(s: &Session<'_>, kernel: &Kernel, action: &str, autoinstall_only: bool) -> Result<bool> {
    let mut failed = Vec::new();
    let mut change: Option<KernelChange> = None;
    let mut changed = false;
    for package in state::all_packages(s.layout) {
        let b = Build::new(&package, kernel);
        if !s.layout.built_dir(&b).is_dir() && !state::is_active(s.layout, &b) {
            continue;
        }
        if let Err(e) = add::refuse_broken(s, &package) {
            s.warn(format!("{e}; left as it is"));
            continue;
        }
        if autoinstall_only {
            match crate::conf::load::load(s, &package, kernel).and_then(crate::conf::load::Loaded::lenient) {
                Ok(loaded) if !loaded.conf.autoinstall => continue,
                Ok(_) => {}
                Err(e) => {
                    s.tell(Event::Failed { build: b, error: e.to_string(), code: 8 });
                    failed.push(package.to_string());
                    continue;
                }
            }
        }
        match clear_one(s, &b, &mut change) {
            Ok(was_active) => changed |= was_active,
            Err(e) => {
                s.tell(Event::Failed { build: b, error: e.to_string(), code: 14 });
                failed.push(package.to_string());
            }
        }
    }
    if let Some(change) = change {
        change.finish(s)?;
    }
    let modules = s.layout.kernel_modules(&kernel.release);
    if modules.is_dir() {
        fs::remove_empty_below(&modules)?;
        let _ = std::fs::remove_dir(&modules);
    }
    if failed.is_empty() {
        Ok(changed)
    } else {
        Err(Error::KernelHookFailed { action: action.to_owned(), kernel: kernel.clone(), failed })
    }
}

fn clear_one(s: &Session<'_>, b: &Build, change: &mut Option<KernelChange>) -> Result<bool> {
    let active = state::is_active(s.layout, b);
    if active {
        let c = match change {
            Some(c) => c,
            None => change.insert(KernelChange::begin(s, &b.kernel)?),
        };
        c.uninstall(s, b)?;
    }
    if s.layout.built_dir(b).is_dir() {
        build::unbuild(s, b)?;
    }
    Ok(active)
}
