//! Finds the files in `/lib/modules` that belong to a build.

use crate::conf::load;
use crate::event::Sink;
use crate::kernel::installed::decompressed;
use crate::system::System;
use dkms_sys::fs::Last;
use dkms_tree::beneath::{self, Trees};
use dkms_tree::ids::Build;
use dkms_tree::manifest::{Manifest, Stamp};
use dkms_tree::{RecordFault, state};
use std::path::{Path, PathBuf};

/// A file in `/lib/modules` that a build is expected to have installed.
#[derive(Clone, Debug)]
pub(crate) struct InstalledModule {
    /// Module name.
    pub name: String,
    /// Its path, or the path where it should be.
    pub path: PathBuf,
    /// It exists, and it belongs to this build.
    pub ours: bool,
    /// A file exists at this path.
    pub present: bool,
}

/// Fails if a record of installed files names one outside `/lib/modules/K`.
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

/// The files of an installed build: from the manifest, or found at the destinations of its modules.
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
                    present: dkms_sys::fs::exists(&f.path),
                    path: f.path.clone(),
                }
            })
            .collect();
    }
    let places = places(system, sink, build, manifest.as_ref());
    state::module_files(&system.layout, build)
        .into_iter()
        .map(|f| {
            let candidates: Vec<PathBuf> = places(&f.name).into_iter().map(|d| d.join(&f.file)).collect();
            let found = candidates.iter().find(|p| is_copy(p, &f.path));
            let there = found.or_else(|| candidates.iter().find(|p| dkms_sys::fs::exists(p)));
            InstalledModule {
                name: f.name,
                ours: found.is_some(),
                present: there.is_some(),
                path: there.or(candidates.first()).cloned().unwrap_or_default(),
            }
        })
        .collect()
}

/// The possible directories of a module of this build: the distribution's, and the one in dkms.conf.
fn places<'a>(
    system: &'a System,
    sink: &'a dyn Sink,
    build: &'a Build,
    manifest: Option<&'a Manifest>,
) -> impl Fn(&str) -> Vec<PathBuf> + 'a {
    let mut conf = None;
    let release = &build.kernel.release;
    if manifest.is_none() {
        conf = load::load(system, sink, &build.package, &build.kernel).ok().map(|l| l.conf);
    }
    move |name: &str| {
        let written = conf
            .as_ref()
            .and_then(|c| c.modules.iter().find(|m| m.dest_name == name).map(|m| m.dest_location.clone()));
        let recorded =
            manifest.and_then(|m| m.modules.iter().find(|r| r.name == name)).map(|r| r.destination.clone());
        let mut found = Vec::new();
        if let Some(r) = recorded {
            found.push(system.layout.destination(release, &r));
        }
        if let Some(w) = &written {
            found.push(
                system.layout.destination(release, &crate::build::collect::destination(&system.host, w)),
            );
            found.push(system.layout.destination(release, w.trim_end_matches('/')));
        }
        if found.is_empty() {
            for place in ["/updates/dkms", "/updates", "/extra"] {
                found.push(system.layout.destination(release, place));
            }
        }
        found.dedup();
        found
    }
}

/// Whether an installed file is a copy of a built one: a link to it, a file with the same bytes, or one with
/// the same version and srcversion.
fn is_copy(installed: &Path, built: &Path) -> bool {
    if !dkms_sys::fs::exists(installed) {
        return false;
    }
    if dkms_sys::fs::is_symlink(installed) {
        let (a, b) = (installed.canonicalize(), built.canonicalize());
        return matches!((a, b), (Ok(a), Ok(b)) if a == b);
    }
    if dkms_sys::fs::same_contents(installed, built).unwrap_or(false) {
        return true;
    }
    let info = |p: &Path| {
        let bytes = decompressed(&dkms_sys::fs::read(p).ok()?).ok()?;
        let module = kmodule::elf::Module::parse(&bytes).ok()?;
        let (v, sv) = (module.modinfo.version()?.to_owned(), module.modinfo.srcversion()?.to_owned());
        Some((v, sv))
    };
    matches!((info(installed), info(built)), (Some(a), Some(b)) if a == b)
}
