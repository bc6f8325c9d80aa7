//! Checks the links `kernel-K-A` and the archived originals of the kernel.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::{Inspection, What};
use super::traces::{aside, empty, leftover};
use crate::look::status::same_contents;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::Manifest;
use dkms_tree::originals::{self, Original};
use dkms_tree::state;
use std::path::Path;

/// Checks `M/kernel-K-A`.
pub(super) fn link(inspection: &Inspection<'_>, name: &str, kernel: &Kernel) -> Option<Finding> {
    let layout = &inspection.system.layout;
    let path = layout.active_link(name, kernel);
    let target = dkms_sys::fs::read_link(&path).ok()?;
    let version = state::active_version(layout, name, kernel).and_then(|v| PackageId::new(name, &v).ok());
    let Some(id) = version else {
        if points_to_build(inspection, name, kernel, &path) {
            return None;
        }
        let target = target.display();
        let what = format!("points to {target}, which is not a build of {name} for kernel {kernel}");
        let about = About::package(name).for_kernel(kernel);
        let repair = "remove it: no version of dkms treats it as installed; files in /lib/modules are kept";
        let finding = Finding::new(Kind::DanglingActiveLink, about, path, what);
        return Some(finding.safely(Remedy::Delete, repair).guarded([Guard::Install(kernel.clone())]));
    };
    let build = Build::new(&id, kernel);
    let module_dir = layout.module_dir(&build);
    if module_dir.is_dir() {
        return None;
    }
    let what = format!("records {id} as installed, but {} does not exist", module_dir.display());
    let finding = Finding::new(Kind::DanglingActiveLink, About::build(&build), path, what)
        .guarded([Guard::Install(kernel.clone()), Guard::build(&id)]);
    let can_install = state::registration(layout, &id) == state::Registration::Added
        && inspection.has_kernel(&kernel.release) != Some(false);
    // If the package can be installed, the link is kept: because of it, the installation regards the files at
    // its destinations as its own and replaces them.
    Some(if can_install {
        finding.by_hand(format!("dkms install {id} -k {}/{}", kernel.release, kernel.arch))
    } else {
        finding.safely(Remedy::Delete, "remove it; any installed files in /lib/modules are kept")
    })
}

/// Returns whether the link points to a build through another path, for example because the path of the tree
/// contains a link.
fn points_to_build(inspection: &Inspection<'_>, name: &str, kernel: &Kernel, link: &Path) -> bool {
    let package_dir = inspection.system.layout.package_dir(name);
    let (Ok(target), Ok(package_dir)) = (link.canonicalize(), package_dir.canonicalize()) else {
        return false;
    };
    target.ends_with(Path::new(&kernel.release).join(&kernel.arch))
        && target.ancestors().nth(3) == Some(&package_dir)
}

/// Checks `M/original_module/K/A`.
pub(super) fn check(inspection: &Inspection<'_>, name: &str, kernel: &Kernel) -> Vec<Finding> {
    let layout = &inspection.system.layout;
    let about = About::package(name).for_kernel(kernel);
    let dir = layout.originals_dir(name, kernel);
    let mut findings = Vec::new();
    if dkms_sys::fs::is_empty_dir(&dir).unwrap_or(false) {
        findings.push(empty(about.clone(), dir.clone()));
    }
    leftovers(inspection, &about, &dir, &mut findings);
    let active = state::installed_version(layout, name, kernel).map(|id| Build::new(&id, kernel));
    let collisions = dir.join("collisions");
    let archived = originals::list(layout, name, kernel).unwrap_or_else(|e| {
        inspection.unreadable.borrow_mut().insert(e.to_string());
        Vec::new()
    });
    // Collisions are kept until the administrator deletes them.
    for original in archived.into_iter().filter(|original| !original.archived.starts_with(&collisions)) {
        findings.extend(match &active {
            Some(build) => check_replaced(inspection, &about, build, &original),
            None => check_unused(inspection, &about, kernel, original),
        });
    }
    findings.into_iter().map(|finding| finding.guarded([Guard::Install(kernel.clone())])).collect()
}

fn leftovers(inspection: &Inspection<'_>, about: &About, dir: &Path, findings: &mut Vec<Finding>) {
    for (entry, what) in inspection.entries(dir) {
        let path = dir.join(&entry);
        if what == What::Directory {
            leftovers(inspection, about, &path, findings);
        } else if let Some((original, word)) = names::aside(&entry) {
            findings.extend(aside(inspection, about.clone(), &path, original, word));
        } else if let Some(module) = entry.strip_suffix(".origin") {
            if !dkms_sys::fs::exists(dir.join(module)) {
                let what = "records the origin of a module that does not exist";
                findings.push(leftover(about.clone(), path, what));
            }
        }
    }
}

/// Checks an original of an installed package: whether its path is free, or used by that package.
fn check_replaced(
    inspection: &Inspection<'_>,
    about: &About,
    active: &Build,
    original: &Original,
) -> Option<Finding> {
    let origin = original.origin.as_ref()?;
    if !dkms_sys::fs::exists(origin)
        || is_installed(inspection, active, origin)
        || same_contents(origin, &original.archived)
    {
        return None;
    }
    let what = format!("can never be moved back: there is another file at {}", origin.display());
    let repair = "delete it if the other file is from the kernel's package, otherwise restore it yourself";
    Some(Finding::new(Kind::OriginalPlaceTaken, about.clone(), &original.archived, what).by_hand(repair))
}

/// Returns whether a file of the build is installed at this path.
fn is_installed(inspection: &Inspection<'_>, build: &Build, path: &Path) -> bool {
    let layout = &inspection.system.layout;
    let recorded = Manifest::load(layout, build).and_then(|manifest| manifest.installed);
    recorded.is_some_and(|installed| installed.files.iter().any(|file| file.path == path))
        || state::module_files(layout, build).iter().any(|file| same_contents(&file.path, path))
}

/// Checks an original of a package that is not installed.
fn check_unused(
    inspection: &Inspection<'_>,
    about: &About,
    kernel: &Kernel,
    original: Original,
) -> Option<Finding> {
    let finding = |kind, what: String| Finding::new(kind, about.clone(), &original.archived, what);
    let unused = "was moved aside for a module that is no longer installed";
    if !inspection.has_kernel(&kernel.release)? {
        let what = format!("{unused}, and its kernel is no longer installed either");
        let repair = "delete it, unless you will reinstall that kernel";
        return Some(finding(Kind::OriginalStranded, what).by_hand(repair));
    }
    let Some(origin) = original.origin.clone() else {
        let what = format!("{unused}, and its original path is unknown");
        let modules = inspection.system.layout.kernel_modules(&kernel.release);
        let repair = format!("move it below {} yourself and run depmod, or delete it", modules.display());
        return Some(finding(Kind::OriginalStranded, what).by_hand(repair));
    };
    Some(if !dkms_sys::fs::exists(&origin) {
        let repair = format!("move it back to {}", origin.display());
        let remedy = Remedy::RestoreOriginal(original.clone(), origin);
        finding(Kind::OriginalStranded, unused.to_owned()).safely(remedy, repair)
    } else if same_contents(&origin, &original.archived) {
        let what = format!("{unused}, and the same file is already at {}", origin.display());
        finding(Kind::OriginalStranded, what).safely(Remedy::DropOriginal(original.clone()), "delete it")
    } else {
        let what = format!("{unused}, and there is another file at {}", origin.display());
        let repair = "compare the two; delete this one, or restore it yourself and run depmod";
        finding(Kind::OriginalPlaceTaken, what).by_hand(repair)
    })
}
