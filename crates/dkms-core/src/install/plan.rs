//! Plans what installing one build changes, before anything is changed.

use super::error::{InstallError, Newer};
use super::judge::Judge;
use crate::build::{NotForKernel, collect};
use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::installed;
use crate::kernel::installed::{ModuleIndex, decompressed};
use crate::look::verify::Facts;
use crate::request::Overrides;
use crate::system::System;
use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::Build;
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;
use dkms_tree::{originals, state};
use kmodule::elf::Module;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// One built module file and its destination.
#[derive(Clone, Debug)]
pub struct Source {
    /// DEST_MODULE_NAME
    pub name: String,
    /// File name with suffixes.
    pub file: String,
    /// The built file.
    pub path: PathBuf,
    /// The directory into which it is installed.
    pub destination: PathBuf,
}

/// The file changes that install one build, decided under the lock of its kernel.
#[derive(Debug, Default)]
pub struct InstallChanges {
    /// The operations, in this order.
    pub ops: Vec<Op>,
    /// Files that are installed.
    pub placed: Vec<Source>,
    /// Files that are already installed, with the same contents.
    pub adopted: Vec<Source>,
    /// Files that stay as they are, with the reason.
    pub kept: Vec<(PathBuf, String)>,
    /// Files that are not installed because a newer file is installed.
    pub refused: Vec<Newer>,
    /// The old and new paths of originals that are archived.
    pub archived: Vec<(PathBuf, PathBuf)>,
    /// Warnings for the administrator.
    pub warnings: Vec<String>,
}

/// The checks that `--force` and the force list override.
#[derive(Clone, Copy, Debug, Default)]
pub struct Force {
    /// Replace any existing file.
    pub all: bool,
    /// Do not compare versions.
    pub version: bool,
}

/// Combines `--force`, `--force-version-override`, `--rpm_safe_upgrade`, and the files in
/// `modules_to_force_install/`.
pub fn force_for(layout: &Layout, overrides: Overrides, package: &str) -> Force {
    let mut force = Force { all: overrides.force || overrides.rpm_safe_upgrade, version: overrides.version };
    let Ok(names) = dkms_sys::fs::list_dir(&layout.force_dir) else { return force };
    for name in names {
        let file = layout.force_dir.join(name);
        let Ok(text) = dkms_sys::fs::read_text(file, dkms_sys::fs::Limit::CONFIG) else { continue };
        for word in text.split_whitespace() {
            force.all |= word == package;
            force.version |= word.strip_suffix("_version-override") == Some(package);
        }
    }
    force
}

/// Plans the installation of `sources`.
///
/// # Errors
/// A built file is not a module for this kernel, or the kernel would not load it; a file cannot be read.
pub fn plan(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    sources: &[Source],
    index: &ModuleIndex,
    facts: &Facts,
    force: Force,
) -> Result<InstallChanges> {
    let modules: Vec<&Path> = sources.iter().map(|source| source.path.as_path()).collect();
    let link = system.layout.active_link(&build.package.name, &build.kernel);
    let mut planner = Planner {
        layout: &system.layout,
        symlinks: system.settings.symlink_modules,
        build,
        judge: Judge::new(&system.host, facts, &modules, force.all),
        force,
        owned: owned_files(system, sink, build)?,
        is_active: dkms_sys::fs::is_symlink(&link),
        changes: InstallChanges::default(),
    };
    for source in sources {
        planner.module(source, index.find(&source.name))?;
    }
    let in_place = planner.changes.placed.len() + planner.changes.adopted.len();
    // A package without modules is installed by creating its link.
    if in_place > 0 || sources.is_empty() {
        planner.drop_leftovers();
        planner.changes.ops.push(Op::Link {
            target: Some(system.layout.active_target(build)),
            before: planner.is_active.then(|| dkms_sys::fs::read_link(&link)).transpose()?,
            link,
        });
    }
    Ok(planner.changes)
}

/// The installed files of the version that is active now, whether it is this version or another.
fn owned_files(system: &System, sink: &dyn Sink, build: &Build) -> Result<Vec<PathBuf>> {
    let Some(active) = state::installed_version(&system.layout, &build.package.name, &build.kernel) else {
        return Ok(Vec::new());
    };
    let active = Build::new(&active, &build.kernel);
    installed::check_record(system.trees(), &active)?;
    let files = installed::installed_files(system, sink, &active).into_iter();
    Ok(files.filter(|f| f.ours).map(|f| f.path).collect())
}

/// Plans one module after the other.
struct Planner<'a> {
    layout: &'a Layout,
    /// Whether modules are installed as links to the built files.
    symlinks: bool,
    build: &'a Build,
    judge: Judge<'a>,
    force: Force,
    /// The installed files of the version that is active.
    owned: Vec<PathBuf>,
    /// Whether a version is active.
    is_active: bool,
    /// The changes that are planned so far.
    changes: InstallChanges,
}

impl Planner<'_> {
    /// Plans one module. `existing` are the kernel's files of that name.
    fn module(&mut self, source: &Source, existing: &[PathBuf]) -> Result<()> {
        let bytes = dkms_sys::fs::read(&source.path)?;
        let ours = decompressed(&bytes)
            .map_err(NotForKernel::from)
            .and_then(|plain| collect::check(&plain, self.build, self.force.all))
            .map_err(|cause| InstallError::Unusable { path: source.path.clone(), cause })?;
        let target = source.destination.join(&source.file);
        if let [only] = existing {
            if only == &target && dkms_sys::fs::same_contents(only, &source.path)? && !self.symlinks {
                self.changes.adopted.push(source.clone());
                return Ok(());
            }
            if self.stays(&ours, only, source) {
                return Ok(());
            }
        } else if existing.len() > 1 {
            self.changes.warnings.push(format!(
                "{} files named {} are in kernel {}; their versions are not compared",
                existing.len(),
                source.name,
                self.build.kernel.release
            ));
        }
        self.judge.module(&bytes, &source.path, &mut self.changes.warnings)?;
        self.make_room(source, existing);
        let archived = self.changes.archived.iter().find(|(from, _)| *from == target);
        let vacated = archived.map(|(_, to)| to.clone());
        if target.is_dir() && !dkms_sys::fs::is_symlink(&target) {
            return Err(InstallError::TargetIsDirectory(target).into());
        }
        self.changes.ops.push(Op::Place {
            staged: aside(&target, "new"),
            saved: (dkms_sys::fs::exists(&target) && vacated.is_none()).then(|| aside(&target, "old")),
            vacated,
            to: target,
        });
        self.changes.placed.push(source.clone());
        Ok(())
    }

    /// Returns whether the kernel's own module is newer or the same, so that it is not replaced.
    fn stays(&mut self, ours: &Module, theirs: &Path, source: &Source) -> bool {
        if self.force.all || self.force.version {
            return false;
        }
        match compare(ours, theirs, &source.path) {
            Found::Newer(version, own) => {
                let (path, package) = (theirs.to_owned(), self.build.package.clone());
                self.changes.refused.push(Newer { path, version, own, package });
                true
            }
            Found::Same(version) => {
                let reason = format!("it is {version} already; --force replaces it");
                self.changes.kept.push((theirs.to_owned(), reason));
                true
            }
            Found::Older => false,
        }
    }

    /// Archives the files of that name that are not ours. The original is the first one found in extra,
    /// updates or the destination, or the only one. The others are archived as collisions.
    fn make_room(&mut self, source: &Source, existing: &[PathBuf]) {
        let (layout, name, kernel) = (self.layout, &self.build.package.name, &self.build.kernel);
        let modules = layout.kernel_modules(&kernel.release);
        let in_dest = |p: &PathBuf| p.parent() == Some(source.destination.as_path());
        let mut foreign: Vec<&PathBuf> = existing
            .iter()
            // While a version of ours is active, a file at the destination belongs to it.
            .filter(|p| !(self.owned.contains(p) || self.is_active && in_dest(p)))
            .collect();
        let preferred = foreign
            .iter()
            .position(|p| p.parent() == Some(&modules.join("extra")))
            .or_else(|| foreign.iter().position(|p| p.parent() == Some(&modules.join("updates"))))
            .or_else(|| foreign.iter().position(|p| in_dest(p)))
            .or_else(|| (foreign.len() == 1).then_some(0));
        let mut archive = |from: &PathBuf, to: Option<PathBuf>| {
            let Some(to) = to.filter(|to| !dkms_sys::fs::exists(to)) else { return };
            let text = originals::origin_text(from);
            self.changes.ops.push(Op::Move { from: from.clone(), to: to.clone() });
            self.changes.ops.push(Op::Text { path: originals::origin_file(&to), text });
            self.changes.archived.push((from.clone(), to));
        };
        if let Some(n) = preferred {
            let from = foreign.remove(n);
            match originals::archive_path(layout, name, kernel, from) {
                Some(to) if !dkms_sys::fs::exists(&to) => archive(from, Some(to)),
                _ => archive(from, originals::collision_path(layout, name, kernel, from)),
            }
        }
        for from in foreign {
            archive(from, originals::collision_path(layout, name, kernel, from));
        }
    }

    /// Removes files of the version that was active so far, unless the new version replaces them.
    fn drop_leftovers(&mut self) {
        let changes = &mut self.changes;
        let in_use: Vec<PathBuf> =
            changes.placed.iter().chain(&changes.adopted).map(|m| m.destination.join(&m.file)).collect();
        for path in &self.owned {
            let kept = changes.kept.iter().any(|(p, _)| p == path);
            if !in_use.contains(path) && !kept && dkms_sys::fs::exists(path) {
                changes.ops.push(Op::Remove { path: path.clone(), saved: aside(path, "old") });
            }
        }
    }
}

enum Found {
    Newer(String, String),
    Same(String),
    Older,
}

/// Returns the first word of MODULE_VERSION. Only this word is compared: some drivers append a date or a
/// name.
fn version_word(module: &Module) -> &str {
    module.modinfo.version().and_then(|v| v.split_whitespace().next()).unwrap_or_default()
}

/// Compares the installed module with ours: by MODULE_VERSION in dkms's order, then by srcversion, then by
/// bytes.
fn compare(ours: &Module, theirs_path: &Path, ours_path: &Path) -> Found {
    let theirs = dkms_sys::fs::read(theirs_path).ok().and_then(|bytes| decompressed(&bytes).ok());
    let Some(theirs) = theirs.and_then(|bytes| Module::parse(&bytes).ok()) else { return Found::Older };
    let (own, there) = (version_word(ours), version_word(&theirs));
    if own != there {
        // If a version is missing on either side, neither is newer.
        let newer = !own.is_empty() && !there.is_empty() && compare_versions(there, own) == Ordering::Greater;
        return if newer { Found::Newer(there.into(), own.into()) } else { Found::Older };
    }
    let (a, b) =
        (ours.modinfo.srcversion().unwrap_or_default(), theirs.modinfo.srcversion().unwrap_or_default());
    let same = if a.is_empty() && b.is_empty() && own.is_empty() {
        dkms_sys::fs::same_contents(theirs_path, ours_path).unwrap_or(false)
    } else {
        a == b
    };
    match (same, own) {
        (false, _) => Found::Older,
        (true, "") => Found::Same("the same module".into()),
        (true, v) => Found::Same(format!("version {v} with the same source")),
    }
}

/// The built files of a build and their destinations: from its manifest, or from its dkms.conf if dkms 3.x
/// built it.
pub fn sources(
    host: &Host,
    layout: &Layout,
    build: &Build,
    manifest: Option<&Manifest>,
    written: &dyn Fn(&str) -> Option<String>,
) -> Vec<Source> {
    state::module_files(layout, build)
        .into_iter()
        .map(|f| {
            let recorded = manifest.and_then(|m| m.modules.iter().find(|r| r.file == f.file));
            let location = match recorded {
                Some(r) => r.destination.clone(),
                None => crate::build::collect::destination(
                    host,
                    &written(&f.name).unwrap_or_else(|| "/extra".into()),
                ),
            };
            Source {
                destination: layout.destination(&build.kernel.release, &location),
                name: f.name,
                file: f.file,
                path: f.path,
            }
        })
        .collect()
}
