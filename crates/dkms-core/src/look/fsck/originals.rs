//! Checks `kernel-K-A` links and the archive of the kernel's own modules.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::{Inspection, What};
use super::traces::{aside, empty, leftover};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::Manifest;
use dkms_tree::originals::{self, Original};
use dkms_tree::state;
use std::path::{Path, PathBuf};

/// Checks `M/kernel-K-A`.
pub(super) fn link(inspection: &Inspection<'_>, name: &str, kernel: &Kernel) -> Option<Finding> {
    let layout = &inspection.system.layout;
    let path = layout.active_link(name, kernel);
    let target = dkms_sys::fs::read_link(&path).ok()?;
    let version = state::active_version(layout, name, kernel).and_then(|v| PackageId::new(name, &v).ok());
    let Some(id) = version else {
        if leads_to_a_build(inspection, name, kernel, &path) {
            return None;
        }
        let what = format!("leads to {}, which is no build of {name} for kernel {kernel}", target.display());
        let finding = Finding::new(Kind::DanglingActiveLink, About::package(name).on(kernel), path, what);
        let repair = "remove it: no dkms counts it as installed; files in /lib/modules stay";
        return Some(finding.safely(Remedy::Delete, repair).guarded([Guard::Install(kernel.clone())]));
    };
    let build = Build::new(&id, kernel);
    if layout.module_dir(&build).is_dir() {
        return None;
    }
    let what =
        format!("records {id} as installed, but {} does not exist", layout.module_dir(&build).display());
    let finding = Finding::new(Kind::DanglingActiveLink, About::build(&build), path, what)
        .guarded([Guard::Install(kernel.clone()), Guard::build(&id)]);
    // As long as the link exists, an installation takes the files in its destinations for ours and replaces
    // them.
    Some(
        if state::registration(layout, &id) == state::Registration::Added
            && inspection.has_kernel(&kernel.release) != Some(false)
        {
            finding.by_hand(format!("dkms install {id} -k {}/{}", kernel.release, kernel.arch))
        } else {
            finding.safely(Remedy::Delete, "remove it; what may be left in /lib/modules of it stays")
        },
    )
}

/// Returns whether the link points to a build through another path, for example because the path of the tree
/// contains a link.
fn leads_to_a_build(inspection: &Inspection<'_>, name: &str, kernel: &Kernel, link: &Path) -> bool {
    let (Ok(to), Ok(dir)) = (link.canonicalize(), inspection.system.layout.package_dir(name).canonicalize())
    else {
        return false;
    };
    to.ends_with(Path::new(&kernel.release).join(&kernel.arch)) && to.ancestors().nth(3) == Some(&dir)
}

/// Checks `M/original_module/K/A`.
pub(super) fn check(inspection: &Inspection<'_>, name: &str, kernel: &Kernel) -> Vec<Finding> {
    let about = About::package(name).on(kernel);
    let dir = inspection.system.layout.originals_dir(name, kernel);
    let mut found = Vec::new();
    if dkms_sys::fs::is_empty_dir(&dir).unwrap_or(false) {
        found.push(empty(about.clone(), dir.clone()));
    }
    leftovers(inspection, &about, &dir, &mut found);
    let active =
        state::installed_version(&inspection.system.layout, name, kernel).map(|id| Build::new(&id, kernel));
    let collisions = dir.join("collisions");
    let archived = originals::list(&inspection.system.layout, name, kernel).unwrap_or_else(|e| {
        inspection.unreadable.borrow_mut().insert(e.to_string());
        Vec::new()
    });
    for original in archived {
        // Collisions are kept until the administrator deletes them.
        if original.archived.starts_with(&collisions) {
            continue;
        }
        found.extend(match &active {
            Some(b) => taken(inspection, &about, b, &original),
            None => stranded(inspection, &about, kernel, original),
        });
    }
    found.into_iter().map(|f| f.guarded([Guard::Install(kernel.clone())])).collect()
}

fn leftovers(inspection: &Inspection<'_>, about: &About, dir: &Path, found: &mut Vec<Finding>) {
    for (entry, what) in inspection.entries(dir) {
        let path = dir.join(&entry);
        if what == What::Directory {
            leftovers(inspection, about, &path, found);
        } else if let Some((inside, word)) = names::aside(&entry) {
            found.extend(aside(inspection, about.clone(), &path, inside, word));
        } else if let Some(module) = entry.strip_suffix(".origin") {
            if !dkms_sys::fs::exists(dir.join(module)) {
                let what = "records the origin of a module that does not exist";
                found.push(leftover(about.clone(), path, what));
            }
        }
    }
}

/// Checks an original of an installed package whose path is used by another file.
fn taken(inspection: &Inspection<'_>, about: &About, active: &Build, original: &Original) -> Option<Finding> {
    let place = original.origin.as_ref()?;
    if !dkms_sys::fs::exists(place)
        || is_installed(inspection, active, place)
        || same(place, &original.archived)
    {
        return None;
    }
    let what = format!("can never go back: another file has taken its place, {}", place.display());
    let finding = Finding::new(Kind::OriginalPlaceTaken, about.clone(), &original.archived, what);
    Some(
        finding
            .by_hand("delete it if the kernel's package brought the new one, otherwise restore it yourself"),
    )
}

fn same(a: &Path, b: &Path) -> bool {
    dkms_sys::fs::same_contents(a, b).unwrap_or(false)
}

/// Returns whether a file of the build is installed at this path.
fn is_installed(inspection: &Inspection<'_>, build: &Build, place: &Path) -> bool {
    let recorded = Manifest::load(&inspection.system.layout, build).and_then(|m| m.installed);
    recorded.is_some_and(|i| i.files.iter().any(|f| f.path == place))
        || state::module_files(&inspection.system.layout, build).iter().any(|f| same(&f.path, place))
}

/// Checks an original of a package that is not installed.
fn stranded(
    inspection: &Inspection<'_>,
    about: &About,
    kernel: &Kernel,
    original: Original,
) -> Option<Finding> {
    let finding = |kind, what: String| Finding::new(kind, about.clone(), &original.archived, what);
    let idle = "was moved aside for a module that is not installed any more";
    match inspection.has_kernel(&kernel.release) {
        None => return None,
        Some(false) => {
            let what = format!("{idle}, and its kernel is gone too");
            return Some(
                finding(Kind::OriginalStranded, what).by_hand("delete it if that kernel does not come back"),
            );
        }
        Some(true) => {}
    }
    let Some(place) = original.origin.clone() else {
        let what = format!("{idle}, and it is not known where it came from");
        let repair = format!(
            "move it below {} yourself and run depmod, or delete it",
            inspection.system.layout.kernel_modules(&kernel.release).display()
        );
        return Some(finding(Kind::OriginalStranded, what).by_hand(repair));
    };
    Some(original_without_owner(&place, finding, idle, original.clone()))
}

fn original_without_owner(
    place: &Path,
    finding: impl Fn(Kind, String) -> Finding,
    idle: &str,
    original: Original,
) -> Finding {
    let to: PathBuf = place.to_owned();
    if !dkms_sys::fs::exists(place) {
        let text = format!("move it back to {}", to.display());
        finding(Kind::OriginalStranded, idle.to_owned()).safely(Remedy::RestoreOriginal(original, to), text)
    } else if same(place, &original.archived) {
        let what = format!("{idle}, and the same file is at {} already", to.display());
        finding(Kind::OriginalStranded, what).safely(Remedy::DropOriginal(original), "delete it")
    } else {
        let what = format!("{idle}, and another file has taken its place, {}", to.display());
        finding(Kind::OriginalPlaceTaken, what)
            .by_hand("compare the two; delete this one, or restore it yourself and run depmod")
    }
}
