//! Plans what installing one build changes, before anything is changed.

use super::built::{Built, BuiltModule};
use super::error::{InstallError, Newer};
use super::judge::Judge;
use crate::build::{NotForKernel, collect};
use crate::error::Result;
use crate::event::Sink;
use crate::installed;
use crate::kernel::installed::{ModuleIndex, decompressed};
use crate::look::verify::Facts;
use crate::request::Overrides;
use crate::system::System;
use dkms_conf::kernel_match::compare_versions;
use dkms_sys::fs;
use dkms_tree::ids::Build;
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::{originals, state};
use kmodule::elf::Module;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// The file changes that install one build.
#[derive(Debug, Default)]
pub(crate) struct InstallChanges {
    /// The operations, in this order.
    pub ops: Vec<Op>,
    /// Files that are installed.
    pub placed: Vec<BuiltModule>,
    /// Files that are already installed, with the same contents.
    pub adopted: Vec<BuiltModule>,
    /// Files that stay as they are, with the reason.
    pub kept: Vec<(PathBuf, String)>,
    /// Files that are not installed because a newer file is installed.
    pub refused: Vec<Newer>,
    /// The old and new paths of originals that are archived.
    pub archived: Vec<(PathBuf, PathBuf)>,
    /// Warnings for the administrator.
    pub warnings: Vec<String>,
}

/// Returns what installing a build would change, as far as this is known without the kernel's lock and before
/// PRE_INSTALL has run.
///
/// # Errors
/// The error with which the installation would fail.
pub(crate) fn preview(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    index: &ModuleIndex,
    facts: &Facts,
    overrides: Overrides,
) -> Result<InstallChanges> {
    let built = Built::read(system, sink, build, overrides)?;
    let changes = plan(system, sink, &built, index, facts)?;
    if changes.ops.is_empty() && !changes.refused.is_empty() {
        return Err(InstallError::Newer(changes.refused).into());
    }
    crate::trust::signing::reach(system, sink).refuse_strays(&build.kernel, &changes.ops)?;
    Ok(changes)
}

/// Plans the installation of a build. `index` finds the kernel's files by name; `facts` are about the kernel.
///
/// # Errors
/// A built file is not a module for this kernel, or the kernel would not load it; a file cannot be read.
pub(super) fn plan(
    system: &System,
    sink: &dyn Sink,
    built: &Built,
    index: &ModuleIndex,
    facts: &Facts,
) -> Result<InstallChanges> {
    let build = &built.build;
    let files: Vec<&Path> = built.modules.iter().map(|module| module.path.as_path()).collect();
    let link = system.layout.active_link(&build.package.name, &build.kernel);
    let mut planner = Planner {
        system,
        built,
        judge: Judge::new(&system.host, facts, &files, built.force.all),
        owned: owned_files(system, sink, build)?,
        is_active: fs::is_symlink(&link),
        changes: InstallChanges::default(),
    };
    for module in &built.modules {
        planner.plan_module(module, index.find(&module.name))?;
    }
    let in_place = planner.changes.placed.len() + planner.changes.adopted.len();
    // A package without modules is installed by creating its link.
    if in_place > 0 || built.modules.is_empty() {
        planner.drop_leftovers();
        planner.changes.ops.push(Op::Link {
            target: Some(system.layout.active_target(build)),
            before: planner.is_active.then(|| fs::read_link(&link)).transpose()?,
            link,
        });
    }
    Ok(planner.changes)
}

/// Returns the installed files of the active version, which may be this version or another one.
fn owned_files(system: &System, sink: &dyn Sink, build: &Build) -> Result<Vec<PathBuf>> {
    let Some(active) = state::installed_version(&system.layout, &build.package.name, &build.kernel) else {
        return Ok(Vec::new());
    };
    let active = Build::new(&active, &build.kernel);
    installed::check_record(system.trees(), &active)?;
    let files = installed::installed_files(system, sink, &active).into_iter();
    Ok(files.filter(|file| file.ours).map(|file| file.path).collect())
}

/// Plans one module after the other.
struct Planner<'a> {
    system: &'a System,
    built: &'a Built,
    judge: Judge<'a>,
    /// The installed files of the active version.
    owned: Vec<PathBuf>,
    /// Whether a version is active.
    is_active: bool,
    /// The changes that are planned so far.
    changes: InstallChanges,
}

impl Planner<'_> {
    /// Plans one module. `existing` are the kernel's files with its name.
    fn plan_module(&mut self, module: &BuiltModule, existing: &[PathBuf]) -> Result<()> {
        let (build, path) = (&self.built.build, &module.path);
        let bytes = fs::read(path)?;
        let ours = decompressed(&bytes)
            .map_err(NotForKernel::from)
            .and_then(|plain| collect::check(&plain, build, self.built.force.all))
            .map_err(|cause| InstallError::Unusable { path: path.clone(), cause })?;
        let target = module.target();
        if let [only] = existing {
            let symlinks = self.system.settings.symlink_modules;
            if only == &target && fs::same_contents(only, path)? && !symlinks {
                self.changes.adopted.push(module.clone());
                return Ok(());
            }
            if self.keep_existing(&ours, only, path) {
                return Ok(());
            }
        } else if existing.len() > 1 {
            self.changes.warnings.push(format!(
                "{} files named {} are in kernel {}; their versions are not compared",
                existing.len(),
                module.name,
                build.kernel.release
            ));
        }
        self.judge.check(&bytes, path, &mut self.changes.warnings)?;
        self.archive_existing(module, existing);
        let archived = self.changes.archived.iter().find(|(from, _)| *from == target);
        let vacated = archived.map(|(_, to)| to.clone());
        if target.is_dir() && !fs::is_symlink(&target) {
            return Err(InstallError::TargetIsDirectory(target).into());
        }
        self.changes.ops.push(Op::Place {
            staged: aside(&target, "new"),
            saved: (fs::exists(&target) && vacated.is_none()).then(|| aside(&target, "old")),
            vacated,
            to: target,
        });
        self.changes.placed.push(module.clone());
        Ok(())
    }

    /// Keeps the kernel's existing module if it is newer than the built one, or the same. Returns whether it
    /// is.
    fn keep_existing(&mut self, ours: &Module, existing: &Path, built: &Path) -> bool {
        if self.built.force.all || self.built.force.version {
            return false;
        }
        match compare(ours, existing, built) {
            Comparison::Newer { version, own } => {
                let (path, package) = (existing.to_owned(), self.built.build.package.clone());
                self.changes.refused.push(Newer { path, version, own, package });
                true
            }
            Comparison::Same(version) => {
                let reason = format!("it is {version} already; --force replaces it");
                self.changes.kept.push((existing.to_owned(), reason));
                true
            }
            Comparison::Older => false,
        }
    }

    /// Archives the existing files with the name of a module that are not ours. One of them is the original:
    /// the first one in extra, updates or the destination, or the only one. The others are archived as
    /// collisions.
    fn archive_existing(&mut self, module: &BuiltModule, existing: &[PathBuf]) {
        let (layout, build) = (&self.system.layout, &self.built.build);
        let (name, kernel) = (&build.package.name, &build.kernel);
        let modules = layout.kernel_modules(&kernel.release);
        let in_dest = |path: &PathBuf| path.parent() == Some(module.destination.as_path());
        let mut foreign: Vec<&PathBuf> = existing
            .iter()
            // While a version is active, a file at the destination belongs to it.
            .filter(|path| !(self.owned.contains(path) || self.is_active && in_dest(path)))
            .collect();
        let preferred = foreign
            .iter()
            .position(|p| p.parent() == Some(&modules.join("extra")))
            .or_else(|| foreign.iter().position(|p| p.parent() == Some(&modules.join("updates"))))
            .or_else(|| foreign.iter().position(|p| in_dest(p)))
            .or_else(|| (foreign.len() == 1).then_some(0));
        let mut archive = |from: &PathBuf, to: Option<PathBuf>| {
            let Some(to) = to.filter(|to| !fs::exists(to)) else { return };
            let text = originals::origin_text(from);
            self.changes.ops.push(Op::Move { from: from.clone(), to: to.clone() });
            self.changes.ops.push(Op::Text { path: originals::origin_file(&to), text });
            self.changes.archived.push((from.clone(), to));
        };
        if let Some(position) = preferred {
            let from = foreign.remove(position);
            match originals::archive_path(layout, name, kernel, from) {
                Some(to) if !fs::exists(&to) => archive(from, Some(to)),
                _ => archive(from, originals::collision_path(layout, name, kernel, from)),
            }
        }
        for from in foreign {
            archive(from, originals::collision_path(layout, name, kernel, from));
        }
    }

    /// Removes the files of the active version, unless the new version replaces them.
    fn drop_leftovers(&mut self) {
        let changes = &mut self.changes;
        let in_use: Vec<PathBuf> =
            changes.placed.iter().chain(&changes.adopted).map(BuiltModule::target).collect();
        for path in &self.owned {
            let is_kept = changes.kept.iter().any(|(kept, _)| kept == path);
            if !in_use.contains(path) && !is_kept && fs::exists(path) {
                changes.ops.push(Op::Remove { path: path.clone(), saved: aside(path, "old") });
            }
        }
    }
}

/// How an installed module compares with the built one.
enum Comparison {
    /// It has `version`, which is newer than `own` of the built module.
    Newer {
        version: String,
        own: String,
    },
    /// It is the same; describes it.
    Same(String),
    Older,
}

/// Returns the first word of MODULE_VERSION. Only this word is compared: some drivers append a date or a
/// name.
fn version_word(module: &Module) -> &str {
    module.modinfo.version().and_then(|v| v.split_whitespace().next()).unwrap_or_default()
}

/// Compares an installed module with the built one: by MODULE_VERSION in dkms's order, then by srcversion,
/// then by bytes.
fn compare(ours: &Module, installed: &Path, built: &Path) -> Comparison {
    let theirs = fs::read(installed).ok().and_then(|bytes| decompressed(&bytes).ok());
    let Some(theirs) = theirs.and_then(|bytes| Module::parse(&bytes).ok()) else {
        return Comparison::Older;
    };
    let (own, version) = (version_word(ours), version_word(&theirs));
    if own != version {
        // If one of the versions is missing, neither module is newer.
        let is_comparable = !own.is_empty() && !version.is_empty();
        return if is_comparable && compare_versions(version, own) == Ordering::Greater {
            Comparison::Newer { version: version.into(), own: own.into() }
        } else {
            Comparison::Older
        };
    }
    let srcversion = |module: &Module| module.modinfo.srcversion().unwrap_or_default().to_owned();
    let (ours, theirs) = (srcversion(ours), srcversion(&theirs));
    let is_same = if ours.is_empty() && theirs.is_empty() && own.is_empty() {
        fs::same_contents(installed, built).unwrap_or(false)
    } else {
        ours == theirs
    };
    match (is_same, own) {
        (false, _) => Comparison::Older,
        (true, "") => Comparison::Same("the same module".into()),
        (true, version) => Comparison::Same(format!("version {version} with the same source")),
    }
}
