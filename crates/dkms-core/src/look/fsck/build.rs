//! Checks one build: its files, its manifest, and the files it installed.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::{Look, What};
use super::traces::{self, leftover};
use crate::installed;
use dkms_tree::ids::Build;
use dkms_tree::manifest::{InstalledFile, Manifest, ModuleRecord, SCHEMA, Stamp};
use dkms_tree::{beneath, originals, state};
use std::path::Path;

/// Checks `M/V/K/A` and the files it installed.
pub(super) fn look(look: &Look<'_>, build: &Build) -> Vec<Finding> {
    let mut found = leftovers(look, build);
    let path = look.system.layout.manifest(build);
    let bytes = match dkms_sys::fs::read_optional(&path, dkms_sys::fs::Limit::RECORD) {
        Ok(bytes) => bytes,
        Err(e) => {
            look.note(&e);
            return found;
        }
    };
    let manifest = bytes.as_deref().and_then(|bytes| Manifest::parse(bytes, build).ok().flatten());
    if let Some(reason) = bytes.as_ref().and_then(|_| unusable(look, build, manifest.is_some())) {
        let f = Finding::new(
            Kind::ManifestMismatch,
            About::build(build),
            path,
            format!("cannot be used: {reason}"),
        );
        found.push(f.by_hand(rebuild(build)).guarded(both(build)));
    }
    let gone = look.has_kernel(&build.kernel.release) == Some(false);
    let active = state::is_active(&look.system.layout, build);
    // A build for headers in another place does not need an installed kernel.
    let elsewhere = manifest.as_ref().is_some_and(|m| m.inputs.headers.is_dir());
    if !look.system.layout.module_dir(build).is_dir() {
        found.extend(no_modules(look, build, bytes.is_some()));
    } else if gone && (active || !elsewhere) {
        found.push(kernel_gone(look, build, manifest.is_some()));
    } else {
        let before = found.len();
        if let Some(m) = &manifest {
            modules(look, build, m, &mut found);
        }
        let sound = found.len() == before && state::breakage(&look.system.layout, &build.package).is_none();
        if look.has_kernel(&build.kernel.release).is_some() {
            if active {
                installed(look, build, manifest.as_ref(), sound, &mut found);
            } else if let Some(m) = &manifest {
                found.extend(record(look, build, m, sound));
            }
        }
    }
    found
}

fn both(b: &Build) -> [Guard; 2] {
    [Guard::Install(b.kernel.clone()), Guard::build(&b.package)]
}

fn words(b: &Build) -> String {
    format!("{} -k {}/{}", b.package, b.kernel.release, b.kernel.arch)
}

fn rebuild(b: &Build) -> String {
    format!("rebuild it: dkms build --force {}", words(b))
}

fn leftovers(look: &Look<'_>, build: &Build) -> Vec<Finding> {
    let dir = look.system.layout.built_dir(build);
    let mut found = Vec::new();
    for (entry, what) in look.entries(&dir) {
        let path = dir.join(&entry);
        if what == What::Directory {
            continue;
        }
        if names::atomic(&entry).is_some() {
            let what = "is a temporary file of an interrupted command";
            found.push(leftover(About::build(build), path, what).guarded(both(build)));
        } else if let Some((inside, word)) = names::aside(&entry) {
            let f = traces::aside(look, About::build(build), &path, inside, word);
            found.extend(f.map(|f| f.guarded(both(build))));
        }
    }
    found
}

/// Why an existing manifest cannot be used.
fn unusable(look: &Look<'_>, build: &Build, understood: bool) -> Option<String> {
    match installed::check_record(look.system.trees(), build) {
        Err(dkms_tree::Error::RecordDamaged { fault, .. }) => Some(fault.to_string()),
        Err(e) => Some(e.to_string()),
        Ok(()) if !understood => {
            Some(format!("it was written by a newer dkms (this one knows schema {SCHEMA})"))
        }
        Ok(()) => None,
    }
}

/// `K/A` without `module`: traces of a build, but no built modules.
fn no_modules(look: &Look<'_>, build: &Build, recorded: bool) -> Option<Finding> {
    let dir = look.system.layout.module_dir(build);
    (recorded || look.system.layout.make_log(build).is_file()).then(|| {
        let what = "is missing: what was built is gone";
        Finding::new(Kind::ModuleMissing, About::build(build), dir, what)
            .by_hand(rebuild(build))
            .guarded(both(build))
    })
}

/// Deleting the build is safe if it can be rebuilt when the kernel is installed again, and if nothing that is
/// not ours is deleted with it.
fn kernel_gone(look: &Look<'_>, build: &Build, recorded: bool) -> Finding {
    let layout = &look.system.layout;
    let what = format!(
        "is built for kernel {}, which is not in {}",
        build.kernel.release,
        layout.install_tree.display()
    );
    let f = Finding::new(Kind::KernelGone, About::build(build), layout.built_dir(build), what)
        .guarded(both(build));
    let unbuild = format!("dkms unbuild {}", words(build));
    let kept = if look.kernels.as_ref().is_none_or(std::collections::BTreeSet::is_empty) {
        "there is no kernel at all, as if it were not mounted"
    } else if !recorded {
        "it may have come from an archive"
    } else if !buildable(look, build) {
        "its source is not there to build it again"
    } else if !originals::list(layout, &build.package.name, &build.kernel)
        .is_ok_and(|archived| archived.is_empty())
    {
        "modules of that kernel are still archived"
    } else {
        return f.safely(Remedy::Unbuild(build.clone()), format!("delete it ({unbuild})"));
    };
    f.by_hand(format!("{kept}; if it is not needed any more: {unbuild}"))
}

fn buildable(look: &Look<'_>, build: &Build) -> bool {
    let source = look.system.layout.source_link(&build.package);
    let visible = dkms_sys::fs::list_dir(source)
        .map_or(0, |names| names.iter().filter(|n| !n.to_string_lossy().starts_with('.')).count());
    // A source directory with nothing but a dkms.conf was added without source.
    visible > 1
}

fn modules(look: &Look<'_>, build: &Build, manifest: &Manifest, found: &mut Vec<Finding>) {
    for r in &manifest.modules {
        let path = look.system.layout.module_dir(build).join(&r.file);
        let (kind, what) = match Stamp::of(&path) {
            None => (Kind::ModuleMissing, "is missing although the manifest lists it"),
            Some(now) if differs(look, manifest, r, &path, now) => {
                (Kind::ModuleDiffers, "is not the file that was built: it was changed since")
            }
            Some(_) => continue,
        };
        found.push(
            Finding::new(kind, About::build(build), path, what).by_hand(rebuild(build)).guarded(both(build)),
        );
    }
}

/// Compares the size first. The contents are only read if the change time shows that they may have changed.
fn differs(look: &Look<'_>, manifest: &Manifest, r: &ModuleRecord, path: &Path, now: Stamp) -> bool {
    if r.sha256.is_empty() {
        return false;
    }
    if now.size != r.size {
        return true;
    }
    let as_installed = manifest
        .installed
        .as_ref()
        .is_some_and(|i| i.files.iter().any(|f| f.file == r.file && f.built == now));
    let end = i64::try_from(manifest.built_at).unwrap_or(0).saturating_add(1).saturating_mul(1_000_000_000);
    if as_installed || now.ctime <= end {
        return false;
    }
    match dkms_sys::fs::read(path) {
        Ok(bytes) => crate::digest::bytes(&bytes) != r.sha256,
        Err(e) => {
            look.note(&e);
            false
        }
    }
}

/// Checks the files of the active build. `sound` means that the build itself has no findings and can be
/// reinstalled.
fn installed(
    look: &Look<'_>,
    build: &Build,
    manifest: Option<&Manifest>,
    sound: bool,
    found: &mut Vec<Finding>,
) {
    let before = found.len();
    let mut missing = Vec::new();
    match manifest.and_then(|m| m.installed.as_ref()) {
        Some(recorded) => {
            for f in recorded
                .files
                .iter()
                .filter(|f| beneath::in_kernel(look.system.trees(), build, &f.path).is_ok())
            {
                if !dkms_sys::fs::exists(&f.path) {
                    missing.push(f.path.clone());
                } else {
                    found.extend(changed(look, build, f));
                }
            }
        }
        // dkms 3.x wrote no record, so its files are looked for where they are installed.
        None => {
            for (file, places) in crate::look::status::likely_places(look.system, build) {
                let there: Vec<_> = places.iter().filter(|p| dkms_sys::fs::exists(p)).collect();
                match (places.first(), there.first()) {
                    (Some(first), None) => missing.push(first.clone()),
                    (_, Some(path)) if !there.iter().any(|p| same(p, &file.path)) => {
                        found.push(installed_differs(build, path, "is not the file that was built"));
                    }
                    _ => {}
                }
            }
        }
    }
    // Reinstalling would replace a file that was changed after it was installed.
    let safe = sound && found.len() == before;
    for path in missing {
        let what = format!("is missing although {} is installed", build.package);
        let f = Finding::new(Kind::InstalledMissing, About::build(build), path, what).guarded(both(build));
        found.push(if safe {
            f.safely(Remedy::Reinstall(build.clone()), "install it again from what is built")
        } else {
            f.by_hand(format!("dkms install --force {}, after the build itself is fixed", words(build)))
        });
    }
}

fn same(a: &Path, b: &Path) -> bool {
    dkms_sys::fs::same_contents(a, b).unwrap_or(false)
}

/// Compares an existing installed file with the built one.
fn changed(look: &Look<'_>, build: &Build, file: &InstalledFile) -> Option<Finding> {
    let built = look.system.layout.module_dir(build).join(&file.file);
    let (now, source) = (Stamp::of(&file.path), Stamp::of(&built)?);
    if (now == Some(file.stamp) && source == file.built) || same(&file.path, &built) {
        return None;
    }
    let what = if now == Some(file.stamp) {
        "is from an earlier build: it was rebuilt since, but not installed"
    } else {
        "is not the file that was installed: it was replaced or changed"
    };
    Some(installed_differs(build, &file.path, what))
}

fn installed_differs(build: &Build, path: &Path, what: &str) -> Finding {
    let repair = format!("if what is built is right: dkms install --force {}", words(build));
    Finding::new(Kind::InstalledDiffers, About::build(build), path, what).by_hand(repair).guarded(both(build))
}

/// Checks the record in the manifest of a build that is not active. If another version was installed after
/// it, the record is no finding.
fn record(look: &Look<'_>, build: &Build, manifest: &Manifest, sound: bool) -> Option<Finding> {
    let recorded = manifest.installed.as_ref()?;
    let link = look.system.layout.active_link(&build.package.name, &build.kernel);
    if dkms_sys::fs::is_symlink(&link) {
        return None;
    }
    let built = |f: &InstalledFile| look.system.layout.module_dir(build).join(&f.file);
    let untouched = |f: &InstalledFile| Stamp::of(&f.path) == Some(f.stamp) || same(&f.path, &built(f));
    if !recorded.files.is_empty() && recorded.files.iter().all(untouched) {
        let what = format!("is missing although the modules of {} are in place", build.package);
        let f = Finding::new(Kind::ActiveLinkMissing, About::build(build), link, what).guarded(both(build));
        return Some(if sound {
            f.safely(Remedy::Reinstall(build.clone()), "install it again, which puts the link back")
        } else {
            f.by_hand(format!("dkms install {}", words(build)))
        });
    }
    let what = "says that this build is installed, and it is not (dkms 3.x leaves that when it uninstalls)";
    let f = Finding::new(Kind::StaleRecord, About::build(build), look.system.layout.manifest(build), what);
    Some(f.safely(Remedy::ClearRecord(build.clone()), "clear that entry").guarded(both(build)))
}
