//! Checks the tree: registered packages, and leftovers of interrupted commands.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::{Inspection, What};
use super::traces::{TEMPORARY, empty, in_journal, leftover};
use crate::look::status::same_contents;
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::state::{self, Breakage, looks_like_release};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A temporary file that no lock protects is a leftover if it is older than this.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Finds temporary files next to the keys and the journals.
pub(super) fn root(inspection: &Inspection<'_>) -> Vec<Finding> {
    let layout = &inspection.system.layout;
    [layout.dkms_tree.clone(), layout.journal_dir()]
        .iter()
        .flat_map(|dir| old_temporary_files(inspection, dir, &About::default()))
        .collect()
}

fn old_temporary_files(inspection: &Inspection<'_>, dir: &Path, about: &About) -> Vec<Finding> {
    let is_old = |path: &PathBuf| {
        let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
        modified.ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > MAX_AGE)
    };
    inspection
        .entries(dir)
        .iter()
        .filter(|(name, what)| *what == What::File && names::atomic(name).is_some())
        .map(|(name, _)| dir.join(name))
        .filter(is_old)
        .map(|path| leftover(about.clone(), path, TEMPORARY))
        .collect()
}

/// Finds unfinished copies of source trees.
pub(super) fn sources(inspection: &Inspection<'_>) -> Vec<Finding> {
    let layout = &inspection.system.layout;
    let mut findings = Vec::new();
    for (name, what) in inspection.entries(&layout.source_tree) {
        let (Some((stem, "adding")), What::Directory) = (names::registering(&name), what) else { continue };
        // Names and versions may contain dashes. So the name and version are only known if they are in the
        // tree.
        let known = stem.match_indices('-').find_map(|(dash, _)| {
            let id = PackageId::new(stem.get(..dash)?, stem.get(dash + 1..)?).ok()?;
            layout.version_dir(&id).is_dir().then_some(id)
        });
        let about = known.as_ref().map_or_else(About::default, About::version);
        let what = "is a copy of a source tree that an interrupted command left";
        let finding = leftover(about, layout.source_tree.join(&name), what);
        findings.push(finding.guarded([Guard::Build(format!("build-{stem}"))]));
    }
    findings
}

/// Checks the direct contents of `M`.
pub(super) fn package(inspection: &Inspection<'_>, name: &str) -> Vec<Finding> {
    let dir = inspection.system.layout.package_dir(name);
    let entries = inspection.entries(&dir);
    let mut findings = Vec::new();
    if entries.is_empty() && dir.is_dir() {
        return vec![empty(About::package(name), dir)];
    }
    for (entry, what) in &entries {
        let path = dir.join(entry);
        if let (Some((version, word)), What::Directory) = (names::registering(entry), what) {
            let Ok(id) = PackageId::new(name, version) else { continue };
            let what = if word == "adding" {
                "is a version that an interrupted command did not add completely"
            } else {
                "is a version that an interrupted command did not delete completely"
            };
            findings.push(leftover(About::version(&id), path, what).guarded([Guard::build(&id)]));
        } else if let Some((link, "link")) = names::aside(entry) {
            let Some((release, arch)) = names::active_link(link) else { continue };
            let Ok(kernel) = Kernel::new(release, arch) else { continue };
            if !in_journal(inspection, &path) {
                let about = About::package(name).for_kernel(&kernel);
                findings.push(leftover(about, path, TEMPORARY).guarded([Guard::Install(kernel)]));
            }
        } else if entry == "original_module" && *what == What::Directory {
            findings.extend(empty_archives(inspection, name, &path));
        }
    }
    findings
}

/// Finds `original_module` and its kernel directories if they are empty.
fn empty_archives(inspection: &Inspection<'_>, name: &str, root: &Path) -> Vec<Finding> {
    let kernels = inspection.entries(root);
    let guards = |release: Option<&str>| {
        let kernels = dkms_tree::lock::kernels(&inspection.system.layout).into_iter();
        let selected = kernels.filter(|kernel| release.is_none_or(|release| release == kernel.release));
        selected.map(Guard::Install).collect::<Vec<_>>()
    };
    if kernels.is_empty() && root.is_dir() {
        return vec![empty(About::package(name), root.to_owned()).guarded(guards(None))];
    }
    let mut findings = Vec::new();
    for (release, what) in kernels {
        let path = root.join(&release);
        if what == What::Directory && dkms_sys::fs::is_empty_dir(&path).unwrap_or(false) {
            let about = About { release: Some(release.clone()), ..About::package(name) };
            findings.push(empty(about, path).guarded(guards(Some(&release))));
        }
    }
    findings
}

/// Checks the contents of `M/V`, except the builds.
pub(super) fn version(inspection: &Inspection<'_>, id: &PackageId) -> Vec<Finding> {
    let dir = inspection.system.layout.version_dir(id);
    let mut findings: Vec<Finding> = check_source(inspection, id).into_iter().collect();
    // If dkms.conf does not exist, nothing is recorded: a missing source is a separate finding.
    if let Err(e) = dkms_sys::fs::open_bounded(inspection.system.layout.conf(id), dkms_sys::fs::Limit::CONFIG)
    {
        inspection.note(&e);
    }
    for (entry, what) in inspection.entries(&dir) {
        let path = dir.join(&entry);
        match what {
            What::Directory if entry == "build" || entry.starts_with(".build-") => {
                findings.extend(check_build_directory(inspection, id, &path));
            }
            What::Directory if looks_like_release(&entry) => {
                findings.extend(check_kernel_directory(inspection, id, &entry, &path));
            }
            What::Directory if entry == "tarball" => {
                findings.extend(old_temporary_files(inspection, &path, &About::version(id)));
            }
            What::Link | What::File if names::atomic(&entry).is_some() => {
                findings.push(leftover(About::version(id), path, TEMPORARY));
            }
            _ => {}
        }
    }
    findings.into_iter().map(|finding| finding.guarded([Guard::build(id)])).collect()
}

fn check_source(inspection: &Inspection<'_>, id: &PackageId) -> Option<Finding> {
    let layout = &inspection.system.layout;
    let link = layout.source_link(id);
    let what = match state::breakage(layout, id)? {
        Breakage::LinkMissing => "is missing, so nothing can be done with this version".to_owned(),
        Breakage::TargetMissing => match dkms_sys::fs::read_link(&link) {
            Ok(target) => format!("points to {}, which does not exist", target.display()),
            Err(_) => "is neither a directory nor a link to one".to_owned(),
        },
    };
    let can_relink = link.is_symlink() || !dkms_sys::fs::exists(&link);
    let finding = Finding::new(Kind::SourceMissing, About::version(id), link, what);
    let source = layout.source_dir(id);
    Some(if can_relink && source.join("dkms.conf").is_file() {
        let repair = format!("link it to {}", source.display());
        finding.safely(Remedy::Relink(source), repair)
    } else {
        finding.by_hand(format!(
            "reinstall the package that contains {}, or delete {} if it is no longer needed",
            source.display(),
            layout.version_dir(id).display()
        ))
    })
}

/// Checks a build directory. The directory of a failed build is not reported, because it is kept for
/// inspection.
fn check_build_directory(inspection: &Inspection<'_>, id: &PackageId, dir: &Path) -> Option<Finding> {
    let is_shared = dir.file_name().is_some_and(|name| name == "build");
    if inspection.entries(dir).is_empty() && (is_shared || !dkms_sys::fs::is_real_dir(dir)) {
        return None;
    }
    let log = dir.join("make.log");
    match dkms_sys::fs::read_optional(&log, dkms_sys::fs::Limit::INDEX) {
        Err(e) => {
            inspection.note(&e);
            return None;
        }
        Ok(Some(text)) if is_from_failed_build(inspection, id, &log, &text) => return None,
        Ok(_) => {}
    }
    let what = "is the directory of a build that was interrupted";
    Some(leftover(About::version(id), dir.to_owned(), what))
}

/// Returns whether a make.log is from a failed build. This dkms keeps a copy of the log of a failed build;
/// dkms 3.x writes another heading and keeps no copy.
fn is_from_failed_build(inspection: &Inspection<'_>, id: &PackageId, log: &Path, text: &[u8]) -> bool {
    if !text.starts_with(b"DKMS (") {
        return true;
    }
    let logs = inspection.system.layout.version_dir(id).join(".log");
    let mut copies = inspection.entries(&logs).into_iter().filter(|(name, _)| name.starts_with("make-"));
    copies.any(|(name, _)| same_contents(log, &logs.join(name)))
}

/// Checks the contents of `M/V/K`, except the builds.
fn check_kernel_directory(
    inspection: &Inspection<'_>,
    id: &PackageId,
    release: &str,
    dir: &Path,
) -> Vec<Finding> {
    let about = About { release: Some(release.to_owned()), ..About::version(id) };
    let entries = inspection.entries(dir);
    if entries.is_empty() && dkms_sys::fs::list_dir(dir).is_ok() {
        return vec![empty(about, dir.to_owned())];
    }
    let is_temporary =
        |(entry, what): &(String, What)| *what == What::Directory && entry.starts_with(".tmp_");
    let what = "is a build that an interrupted command did not move into place or did not delete";
    let temporary = entries.into_iter().filter(is_temporary);
    temporary.map(|(entry, _)| leftover(about.clone(), dir.join(entry), what)).collect()
}
