//! Checks one build: its files, its manifest, and the files it installed.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::spot::{Inspection, What};
use super::traces::leftover;
use super::{names, traces};
use crate::installed;
use crate::look::status::{possible_paths, same_contents};
use dkms_tree::ids::Build;
use dkms_tree::manifest::{InstalledFile, Manifest, ModuleRecord, SCHEMA, Stamp};
use dkms_tree::{beneath, originals, state};
use std::path::Path;

/// Checks `M/V/K/A` and the files it installed.
pub(super) fn check(inspection: &Inspection<'_>, build: &Build) -> Vec<Finding> {
    let mut findings = leftovers(inspection, build);
    check_build(inspection, build, &mut findings);
    let guards = [Guard::Install(build.kernel.clone()), Guard::build(&build.package)];
    findings.into_iter().map(|finding| finding.guarded(guards.clone())).collect()
}

fn check_build(inspection: &Inspection<'_>, build: &Build, findings: &mut Vec<Finding>) {
    let layout = &inspection.system.layout;
    let path = layout.manifest(build);
    let bytes = match dkms_sys::fs::read_optional(&path, dkms_sys::fs::Limit::RECORD) {
        Ok(bytes) => bytes,
        Err(e) => return inspection.note(&e),
    };
    let manifest = bytes.as_deref().and_then(|bytes| Manifest::parse(bytes, build).ok().flatten());
    if let Some(reason) = bytes.as_ref().and_then(|_| unusable(inspection, build, manifest.is_some())) {
        let what = format!("cannot be used: {reason}");
        let finding = Finding::new(Kind::ManifestMismatch, About::build(build), path, what);
        findings.push(finding.by_hand(rebuild(build)));
    }
    let is_gone = inspection.has_kernel(&build.kernel.release) == Some(false);
    let active = state::is_active(layout, build);
    // The kernel need not be installed if its headers are still where they were.
    let has_headers = manifest.as_ref().is_some_and(|manifest| manifest.inputs.headers.is_dir());
    if !layout.module_dir(build).is_dir() {
        findings.extend(no_modules(inspection, build, bytes.is_some()));
    } else if is_gone && (active || !has_headers) {
        findings.push(kernel_gone(inspection, build, manifest.is_some()));
    } else {
        let before = findings.len();
        if let Some(manifest) = &manifest {
            check_modules(inspection, build, manifest, findings);
        }
        let is_sound = findings.len() == before && state::breakage(layout, &build.package).is_none();
        if inspection.has_kernel(&build.kernel.release).is_some() {
            if active {
                check_installed(inspection, build, manifest.as_ref(), is_sound, findings);
            } else if let Some(manifest) = &manifest {
                findings.extend(check_record(inspection, build, manifest, is_sound));
            }
        }
    }
}

/// Returns the arguments that select a build on the command line.
fn arguments(build: &Build) -> String {
    format!("{} -k {}/{}", build.package, build.kernel.release, build.kernel.arch)
}

fn rebuild(build: &Build) -> String {
    format!("rebuild it: dkms build --force {}", arguments(build))
}

fn leftovers(inspection: &Inspection<'_>, build: &Build) -> Vec<Finding> {
    let dir = inspection.system.layout.built_dir(build);
    let mut findings = Vec::new();
    for (entry, what) in inspection.entries(&dir) {
        let path = dir.join(&entry);
        if what == What::Directory {
            continue;
        }
        if names::atomic(&entry).is_some() {
            findings.push(leftover(About::build(build), path, traces::TEMPORARY));
        } else if let Some((original, word)) = names::aside(&entry) {
            findings.extend(traces::aside(inspection, About::build(build), &path, original, word));
        }
    }
    findings
}

/// Returns the reason why an existing manifest cannot be used.
fn unusable(inspection: &Inspection<'_>, build: &Build, is_parsed: bool) -> Option<String> {
    match installed::check_record(inspection.system.trees(), build) {
        Err(dkms_tree::Error::RecordDamaged { fault, .. }) => Some(fault.to_string()),
        Err(e) => Some(e.to_string()),
        Ok(()) if !is_parsed => {
            Some(format!("it was written by a newer dkms (this version supports schema {SCHEMA})"))
        }
        Ok(()) => None,
    }
}

/// Returns the finding for a `K/A` that has a manifest or a log, but no `module`.
fn no_modules(inspection: &Inspection<'_>, build: &Build, has_manifest: bool) -> Option<Finding> {
    let dir = inspection.system.layout.module_dir(build);
    (has_manifest || inspection.system.layout.make_log(build).is_file()).then(|| {
        let what = "is missing: the built modules are gone";
        Finding::new(Kind::ModuleMissing, About::build(build), dir, what).by_hand(rebuild(build))
    })
}

/// Deleting the build is safe if it can be rebuilt when the kernel is installed again, and if only files of
/// dkms are deleted with it.
fn kernel_gone(inspection: &Inspection<'_>, build: &Build, has_manifest: bool) -> Finding {
    let layout = &inspection.system.layout;
    let what = format!(
        "is built for kernel {}, which is not in {}",
        build.kernel.release,
        layout.install_tree.display()
    );
    let finding = Finding::new(Kind::KernelGone, About::build(build), layout.built_dir(build), what);
    let unbuild = format!("dkms unbuild {}", arguments(build));
    let reason_to_keep = if inspection.kernels.as_ref().is_none_or(std::collections::BTreeSet::is_empty) {
        "there is no kernel at all, so the directory may not be mounted"
    } else if !has_manifest {
        "it may have come from an archive"
    } else if !has_source(inspection, build) {
        "its source is missing, so it could not be rebuilt"
    } else if !originals::list(layout, &build.package.name, &build.kernel)
        .is_ok_and(|archived| archived.is_empty())
    {
        "modules of that kernel are still archived"
    } else {
        return finding.safely(Remedy::Unbuild(build.clone()), format!("delete it ({unbuild})"));
    };
    finding.by_hand(format!("{reason_to_keep}; if it is no longer needed: {unbuild}"))
}

fn has_source(inspection: &Inspection<'_>, build: &Build) -> bool {
    let source = inspection.system.layout.source_link(&build.package);
    let visible = dkms_sys::fs::list_dir(source)
        .map_or(0, |names| names.iter().filter(|name| !name.to_string_lossy().starts_with('.')).count());
    // A package that was added without its source has only a dkms.conf.
    visible > 1
}

/// Compares the built modules with the manifest.
fn check_modules(
    inspection: &Inspection<'_>,
    build: &Build,
    manifest: &Manifest,
    findings: &mut Vec<Finding>,
) {
    for module in &manifest.modules {
        let path = inspection.system.layout.module_dir(build).join(&module.file);
        let (kind, what) = match Stamp::of(&path) {
            None => (Kind::ModuleMissing, "is missing although the manifest lists it"),
            Some(now) if differs(inspection, manifest, module, &path, now) => {
                (Kind::ModuleDiffers, "is not the file that was built: it was changed later")
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(kind, About::build(build), path, what).by_hand(rebuild(build)));
    }
}

/// Compares the size first. The contents are only read if the change time shows that they may have changed.
fn differs(
    inspection: &Inspection<'_>,
    manifest: &Manifest,
    module: &ModuleRecord,
    path: &Path,
    now: Stamp,
) -> bool {
    if module.sha256.is_empty() {
        return false;
    }
    if now.size != module.size {
        return true;
    }
    let mut installed = manifest.installed.iter().flat_map(|installed| &installed.files);
    let is_as_installed = installed.any(|file| file.file == module.file && file.built == now);
    let built_at = i64::try_from(manifest.built_at).unwrap_or(0);
    let end_of_build = built_at.saturating_add(1).saturating_mul(1_000_000_000);
    if is_as_installed || now.ctime <= end_of_build {
        return false;
    }
    match dkms_sys::fs::read(path) {
        Ok(bytes) => crate::digest::bytes(&bytes) != module.sha256,
        Err(e) => {
            inspection.note(&e);
            false
        }
    }
}

/// Checks the installed files of the active build. `is_sound` means that the build itself has no findings, so
/// that it can be reinstalled.
fn check_installed(
    inspection: &Inspection<'_>,
    build: &Build,
    manifest: Option<&Manifest>,
    is_sound: bool,
    findings: &mut Vec<Finding>,
) {
    let before = findings.len();
    let mut missing = Vec::new();
    match manifest.and_then(|manifest| manifest.installed.as_ref()) {
        Some(recorded) => {
            let is_in_kernel = |file: &&InstalledFile| {
                beneath::in_kernel(inspection.system.trees(), build, &file.path).is_ok()
            };
            for file in recorded.files.iter().filter(is_in_kernel) {
                if !dkms_sys::fs::exists(&file.path) {
                    missing.push(file.path.clone());
                } else {
                    findings.extend(compare_installed(inspection, build, file));
                }
            }
        }
        // dkms 3.x wrote no record, so all paths where it may have installed the files are checked.
        None => {
            for (file, paths) in possible_paths(inspection.system, build) {
                let existing: Vec<_> = paths.iter().filter(|path| dkms_sys::fs::exists(path)).collect();
                match (paths.first(), existing.first()) {
                    (Some(first), None) => missing.push(first.clone()),
                    (_, Some(path)) if !existing.iter().any(|path| same_contents(path, &file.path)) => {
                        findings.push(installed_differs(build, path, "is not the file that was built"));
                    }
                    _ => {}
                }
            }
        }
    }
    // Reinstalling would also replace files that were changed after they were installed.
    let is_safe = is_sound && findings.len() == before;
    for path in missing {
        let what = format!("is missing although {} is installed", build.package);
        let finding = Finding::new(Kind::InstalledMissing, About::build(build), path, what);
        findings.push(if is_safe {
            finding.safely(Remedy::Reinstall(build.clone()), "reinstall it from the built files")
        } else {
            let arguments = arguments(build);
            finding.by_hand(format!("dkms install --force {arguments}, after the build itself is fixed"))
        });
    }
}

/// Compares an existing installed file with the built one.
fn compare_installed(inspection: &Inspection<'_>, build: &Build, file: &InstalledFile) -> Option<Finding> {
    let path = inspection.system.layout.module_dir(build).join(&file.file);
    let (installed, built) = (Stamp::of(&file.path), Stamp::of(&path)?);
    let is_untouched = installed == Some(file.stamp);
    if (is_untouched && built == file.built) || same_contents(&file.path, &path) {
        return None;
    }
    let what = if is_untouched {
        "is from an earlier build: the module was rebuilt later, but not installed"
    } else {
        "is not the file that was installed: it was replaced or changed"
    };
    Some(installed_differs(build, &file.path, what))
}

fn installed_differs(build: &Build, path: &Path, what: &str) -> Finding {
    let repair = format!("if the built files are correct: dkms install --force {}", arguments(build));
    Finding::new(Kind::InstalledDiffers, About::build(build), path, what).by_hand(repair)
}

/// Checks the record of installed files in the manifest of a build that is not active. If another version is
/// active, the record is not reported.
fn check_record(
    inspection: &Inspection<'_>,
    build: &Build,
    manifest: &Manifest,
    is_sound: bool,
) -> Option<Finding> {
    let layout = &inspection.system.layout;
    let recorded = manifest.installed.as_ref()?;
    let link = layout.active_link(&build.package.name, &build.kernel);
    if dkms_sys::fs::is_symlink(&link) {
        return None;
    }
    let is_untouched = |file: &InstalledFile| {
        Stamp::of(&file.path) == Some(file.stamp)
            || same_contents(&file.path, &layout.module_dir(build).join(&file.file))
    };
    if !recorded.files.is_empty() && recorded.files.iter().all(is_untouched) {
        let what = format!("is missing although the modules of {} are in place", build.package);
        let finding = Finding::new(Kind::ActiveLinkMissing, About::build(build), link, what);
        return Some(if is_sound {
            finding.safely(Remedy::Reinstall(build.clone()), "reinstall it, which restores the link")
        } else {
            finding.by_hand(format!("dkms install {}", arguments(build)))
        });
    }
    let what = "records this build as installed, but it is not (dkms 3.x leaves this when it uninstalls)";
    let finding = Finding::new(Kind::StaleRecord, About::build(build), layout.manifest(build), what);
    Some(finding.safely(Remedy::ClearRecord(build.clone()), "clear that record"))
}
