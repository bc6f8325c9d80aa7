//! Checks the tree: registered packages, and leftovers of interrupted commands.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::{Inspection, What};
use super::traces::{empty, in_journal, leftover};
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::state::{self, Breakage, looks_like_release};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that no lock covers may be in use until it is this old.
const YOUNG: Duration = Duration::from_secs(3600);

const TEMPORARY: &str = "is a temporary file of an interrupted command";

/// Finds temporary files next to keys, journals and archives.
pub(super) fn root(inspection: &Inspection<'_>) -> Vec<Finding> {
    let layout = &inspection.system.layout;
    [layout.dkms_tree.clone(), layout.journal_dir()]
        .iter()
        .flat_map(|dir| old(inspection, dir, &About::default()))
        .collect()
}

fn old(inspection: &Inspection<'_>, dir: &Path, about: &About) -> Vec<Finding> {
    let aged = |path: &PathBuf| {
        let modified = path.symlink_metadata().and_then(|m| m.modified());
        modified.ok().and_then(|t| t.elapsed().ok()).is_some_and(|age| age > YOUNG)
    };
    inspection
        .entries(dir)
        .iter()
        .filter(|(name, what)| *what == What::File && names::atomic(name).is_some())
        .map(|(name, _)| dir.join(name))
        .filter(aged)
        .map(|path| leftover(about.clone(), path, TEMPORARY))
        .collect()
}

/// Finds unfinished copies of source trees.
pub(super) fn sources(inspection: &Inspection<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, what) in inspection.entries(&inspection.system.layout.source_tree) {
        let Some((stem, "adding")) = names::registering(&name) else { continue };
        if what != What::Directory {
            continue;
        }
        // Both names and versions may contain dashes, so the package is only known if such a version is in
        // the tree.
        let known = stem.match_indices('-').find_map(|(n, _)| {
            let id = PackageId::new(stem.get(..n)?, stem.get(n + 1..)?).ok()?;
            inspection.system.layout.version_dir(&id).is_dir().then_some(id)
        });
        let about = known.as_ref().map_or_else(About::default, About::version);
        let path = inspection.system.layout.source_tree.join(&name);
        let what = "is a copy of a source tree that an interrupted command left";
        found.push(leftover(about, path, what).guarded([Guard::Build(format!("build-{stem}"))]));
    }
    found
}

/// Checks the direct contents of `M`.
pub(super) fn package(inspection: &Inspection<'_>, name: &str) -> Vec<Finding> {
    let dir = inspection.system.layout.package_dir(name);
    let entries = inspection.entries(&dir);
    let mut found = Vec::new();
    if entries.is_empty() && dir.is_dir() {
        return vec![empty(About::package(name), dir)];
    }
    for (entry, what) in &entries {
        let path = dir.join(entry);
        if let (Some((version, word)), What::Directory) = (names::registering(entry), what) {
            let Ok(id) = PackageId::new(name, version) else { continue };
            let what = if word == "adding" {
                "is a version that an interrupted command did not finish to register"
            } else {
                "is a version that an interrupted command did not finish to delete"
            };
            found.push(leftover(About::version(&id), path, what).guarded([Guard::build(&id)]));
        } else if let Some((link, "link")) = names::aside(entry) {
            let Some((release, arch)) = names::active_link(link) else { continue };
            let Ok(kernel) = Kernel::new(release, arch) else { continue };
            if !in_journal(inspection, &path) {
                let about = About::package(name).on(&kernel);
                found.push(leftover(about, path, TEMPORARY).guarded([Guard::Install(kernel)]));
            }
        } else if entry == "original_module" && *what == What::Directory {
            found.extend(empty_archives(inspection, name, &path));
        }
    }
    found
}

/// Finds `original_module` and its kernel directories if they are empty.
fn empty_archives(inspection: &Inspection<'_>, name: &str, root: &Path) -> Vec<Finding> {
    let kernels = inspection.entries(root);
    let guards = |release: Option<&str>| {
        let all = dkms_tree::lock::kernels(&inspection.system.layout).into_iter();
        all.filter(|k| release.is_none_or(|r| r == k.release)).map(Guard::Install).collect::<Vec<_>>()
    };
    if kernels.is_empty() && root.is_dir() {
        return vec![empty(About::package(name), root.to_owned()).guarded(guards(None))];
    }
    let mut found = Vec::new();
    for (release, what) in kernels {
        let path = root.join(&release);
        if what == What::Directory && dkms_sys::fs::is_empty_dir(&path).unwrap_or(false) {
            let about = About { release: Some(release.clone()), ..About::package(name) };
            found.push(empty(about, path).guarded(guards(Some(&release))));
        }
    }
    found
}

/// Checks the contents of `M/V`, except the builds.
pub(super) fn version(inspection: &Inspection<'_>, id: &PackageId) -> Vec<Finding> {
    let dir = inspection.system.layout.version_dir(id);
    let mut found: Vec<Finding> = source(inspection, id).into_iter().collect();
    if let Err(e) = dkms_sys::fs::open_bounded(inspection.system.layout.conf(id), dkms_sys::fs::Limit::CONFIG)
    {
        // A missing source is a separate finding.
        if !e.is_not_found() {
            inspection.note(&e);
        }
    }
    for (entry, what) in inspection.entries(&dir) {
        let path = dir.join(&entry);
        match what {
            What::Directory if entry == "build" || entry.starts_with(".build-") => {
                found.extend(build_directory(inspection, id, &path));
            }
            What::Directory if looks_like_release(&entry) => {
                kernel(inspection, id, &entry, &path, &mut found)
            }
            What::Directory if entry == "tarball" => {
                found.extend(old(inspection, &path, &About::version(id)))
            }
            What::Link | What::File if names::atomic(&entry).is_some() => {
                found.push(leftover(About::version(id), path, TEMPORARY));
            }
            _ => {}
        }
    }
    found.into_iter().map(|f| f.guarded([Guard::build(id)])).collect()
}

fn source(inspection: &Inspection<'_>, id: &PackageId) -> Option<Finding> {
    let link = inspection.system.layout.source_link(id);
    let what = match state::breakage(&inspection.system.layout, id)? {
        Breakage::LinkMissing => "is missing, so nothing can be done with this version".to_owned(),
        Breakage::TargetMissing => match dkms_sys::fs::read_link(&link) {
            Ok(target) => format!("leads to {}, which is not there", target.display()),
            Err(_) => "is neither a directory nor a link to one".to_owned(),
        },
    };
    let replaceable = link.is_symlink() || !dkms_sys::fs::exists(&link);
    let f = Finding::new(Kind::SourceMissing, About::version(id), link, what);
    let source = inspection.system.layout.source_dir(id);
    Some(if replaceable && source.join("dkms.conf").is_file() {
        let text = format!("link it to {}", source.display());
        f.safely(Remedy::Relink(source), text)
    } else {
        f.by_hand(format!(
            "reinstall the package that brought {}, or delete {} if it is not needed any more",
            source.display(),
            inspection.system.layout.version_dir(id).display()
        ))
    })
}

/// Checks a build directory. If a failed build left it for inspection, it is no finding.
fn build_directory(inspection: &Inspection<'_>, id: &PackageId, dir: &Path) -> Option<Finding> {
    let shared = dir.file_name().is_some_and(|n| n == "build");
    if inspection.entries(dir).is_empty() && (shared || !dkms_sys::fs::is_real_dir(dir)) {
        return None;
    }
    match dkms_sys::fs::read_optional(dir.join("make.log"), dkms_sys::fs::Limit::INDEX) {
        Err(e) => {
            inspection.note(&e);
            return None;
        }
        Ok(Some(text)) if failed(inspection, id, &dir.join("make.log"), &text) => return None,
        Ok(_) => {}
    }
    let what = "is the directory of a build that was interrupted";
    Some(leftover(About::version(id), dir.to_owned(), what))
}

/// Returns whether a make.log is from a failed build. Our dkms keeps a copy of such a log; dkms 3.x writes
/// another heading and keeps no copy.
fn failed(inspection: &Inspection<'_>, id: &PackageId, log: &Path, text: &[u8]) -> bool {
    if !text.starts_with(b"DKMS (") {
        return true;
    }
    let logs = inspection.system.layout.version_dir(id).join(".log");
    let same = |name: &str| dkms_sys::fs::same_contents(log, logs.join(name)).unwrap_or(false);
    inspection.entries(&logs).iter().any(|(name, _)| name.starts_with("make-") && same(name))
}

/// Checks the contents of `M/V/K`, except the builds.
fn kernel(inspection: &Inspection<'_>, id: &PackageId, release: &str, dir: &Path, found: &mut Vec<Finding>) {
    let about = About { release: Some(release.to_owned()), ..About::version(id) };
    let entries = inspection.entries(dir);
    if entries.is_empty() && dkms_sys::fs::list_dir(dir).is_ok() {
        found.push(empty(about, dir.to_owned()));
        return;
    }
    for (entry, what) in entries {
        if what == What::Directory && entry.starts_with(".tmp_") {
            let what = "is a build that an interrupted command did not put into its place or did not delete";
            found.push(leftover(about.clone(), dir.join(entry), what));
        }
    }
}
