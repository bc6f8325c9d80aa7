//! Finds the files in `/lib/modules` that belong to a build.

use crate::build::collect;
use crate::conf::load;
use crate::event::Sink;
use crate::kernel::installed::decompressed;
use crate::system::System;
use dkms_conf::module_conf::ModuleConf;
use dkms_sys::fs::{self, Last};
use dkms_tree::beneath::{self, Trees};
use dkms_tree::ids::Build;
use dkms_tree::manifest::{Manifest, Stamp};
use dkms_tree::{RecordFault, state};
use kmodule::elf::Module;
use std::path::{Path, PathBuf};

/// A file in `/lib/modules` that a build is expected to have installed.
#[derive(Clone, Debug)]
pub(crate) struct InstalledModule {
    /// Module name.
    pub name: String,
    /// Its path, or the path where it should be.
    pub path: PathBuf,
    /// Whether it exists and belongs to this build.
    pub ours: bool,
    /// Whether a file exists at this path.
    pub present: bool,
}

/// Fails if the record of the installed files contains a path outside `/lib/modules/K`.
///
/// # Errors
/// [`dkms_tree::Error::RecordDamaged`].
pub(crate) fn check_record(trees: Trees<'_>, build: &Build) -> dkms_tree::Result<()> {
    let Some(installed) = Manifest::read(trees.layout, build)?.and_then(|m| m.installed) else {
        return Ok(());
    };
    for file in &installed.files {
        if let Some(escape) = beneath::kernel_escape(trees, &build.kernel.release, &file.path, Last::Name)? {
            let fault = RecordFault::Installed { path: file.path.clone(), escape };
            return Err(dkms_tree::Error::RecordDamaged { path: trees.layout.manifest(build), fault });
        }
    }
    Ok(())
}

/// Returns the files of an installed build: those in its manifest, or the files at the destinations of its
/// modules.
pub(crate) fn installed_files(system: &System, sink: &dyn Sink, build: &Build) -> Vec<InstalledModule> {
    let manifest = Manifest::load(&system.layout, build);
    let recorded = manifest.as_ref().and_then(|m| m.installed.as_ref());
    if let Some(installed) = recorded {
        return installed
            .files
            .iter()
            .filter(|f| beneath::in_kernel(system.trees(), build, &f.path).is_ok())
            .map(|f| {
                let name = f.path.file_name().and_then(|n| n.to_str()).and_then(state::module_stem);
                let built = system.layout.module_dir(build).join(&f.file);
                let untouched = Stamp::of(&f.path) == Some(f.stamp);
                InstalledModule {
                    name: name.unwrap_or_default().to_owned(),
                    ours: untouched || is_copy(&f.path, &built),
                    present: fs::exists(&f.path),
                    path: f.path.clone(),
                }
            })
            .collect();
    }
    // The conf of a build without a manifest decides where its modules may be.
    let conf = if manifest.is_none() {
        load::load(system, sink, &build.package, &build.kernel).ok().map(|loaded| loaded.conf)
    } else {
        None
    };
    state::module_files(&system.layout, build)
        .into_iter()
        .map(|file| {
            let directories =
                possible_directories(system, build, manifest.as_ref(), conf.as_ref(), &file.name);
            let candidates: Vec<PathBuf> = directories.into_iter().map(|dir| dir.join(&file.file)).collect();
            let copy = candidates.iter().find(|path| is_copy(path, &file.path));
            let existing = copy.or_else(|| candidates.iter().find(|path| fs::exists(path)));
            InstalledModule {
                name: file.name,
                ours: copy.is_some(),
                present: existing.is_some(),
                path: existing.or(candidates.first()).cloned().unwrap_or_default(),
            }
        })
        .collect()
}

/// Returns the directories in which a module of a build may be installed: the recorded one, the
/// distribution's, and the one in dkms.conf.
fn possible_directories(
    system: &System,
    build: &Build,
    manifest: Option<&Manifest>,
    conf: Option<&ModuleConf>,
    name: &str,
) -> Vec<PathBuf> {
    let mut locations: Vec<String> = Vec::new();
    if let Some(record) = manifest.and_then(|m| m.modules.iter().find(|record| record.name == name)) {
        locations.push(record.destination.clone());
    }
    if let Some(entry) = conf.and_then(|conf| conf.modules.iter().find(|module| module.dest_name == name)) {
        locations.push(collect::destination(&system.host, &entry.dest_location));
        locations.push(entry.dest_location.trim_end_matches('/').to_owned());
    }
    if locations.is_empty() {
        locations.extend(["/updates/dkms", "/updates", "/extra"].map(str::to_owned));
    }
    locations.dedup();
    locations.iter().map(|location| system.layout.destination(&build.kernel.release, location)).collect()
}

/// Returns whether an installed file is a copy of a built file: a link to it, a file with the same bytes, or
/// a module with the same version and srcversion.
fn is_copy(installed: &Path, built: &Path) -> bool {
    if !fs::exists(installed) {
        return false;
    }
    if fs::is_symlink(installed) {
        let (a, b) = (installed.canonicalize(), built.canonicalize());
        return matches!((a, b), (Ok(a), Ok(b)) if a == b);
    }
    if fs::same_contents(installed, built).unwrap_or(false) {
        return true;
    }
    let versions = |path: &Path| {
        let bytes = decompressed(&fs::read(path).ok()?).ok()?;
        let modinfo = Module::parse(&bytes).ok()?.modinfo;
        Some((modinfo.version()?.to_owned(), modinfo.srcversion()?.to_owned()))
    };
    matches!((versions(installed), versions(built)), (Some(a), Some(b)) if a == b)
}
