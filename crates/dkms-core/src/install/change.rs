//! All that one command changes in one kernel's modules: one lock, one journal, one depmod.

use super::journal::{Op, Transaction};
use super::plan::{self, Source};
use super::recover::{Recovered, recover};
use super::{depmod, uninstall, weak};
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::hooks::{self, Output, Script};
use crate::ids::{Build, Kernel};
use crate::kernel::distro::Family;
use crate::kernel::installed::ModuleIndex;
use crate::lock::{self, Held};
use crate::session::Session;
use crate::tree::manifest::{Installed, InstalledFile, Manifest, Stamp};
use crate::tree::state;
use dkms_sys::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A kernel whose modules are being changed.
#[derive(Debug)]
pub struct KernelChange {
    kernel: Kernel,
    held: Held,
    transaction: Transaction,
    index: Option<ModuleIndex>,
    installed: Vec<Build>,
    /// Directories that may be empty afterwards.
    emptied: Vec<PathBuf>,
    /// Files that weak-modules is to hear of, once.
    weak: Vec<PathBuf>,
    dirty: bool,
}

/// What became of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Modules are in place.
    Installed,
    /// The kernel already has the same; nothing was changed.
    Nothing,
}

impl KernelChange {
    /// Takes the kernel's lock, recovers what an interrupted command left, and opens the journal.
    ///
    /// # Errors
    /// The lock is busy, or the tree is not writable.
    pub fn begin(s: &Session<'_>, kernel: &Kernel) -> Result<Self> {
        let held = lock::install(s, kernel)?;
        let nested = held.is_inherited();
        let recovered = if nested { Recovered::default() } else { recover(s, kernel)? };
        Ok(Self {
            kernel: kernel.clone(),
            transaction: Transaction::begin(s.layout, kernel, nested)?,
            held,
            index: None,
            installed: Vec::new(),
            emptied: recovered.directories,
            weak: Vec::new(),
            dirty: recovered.dirty,
        })
    }

    /// Installs a build that is built and not active.
    ///
    /// # Errors
    /// Nothing of this build was changed then.
    pub fn install(&mut self, s: &Session<'_>, b: &Build) -> Result<Outcome> {
        let directory = s.layout.kernel_modules(&b.kernel.release);
        if !directory.exists() {
            return Err(Error::KernelDirMissing(directory));
        }
        let loaded = load::load(s, &b.package, &b.kernel)?.strict()?;
        let manifest = Manifest::load(s.layout, b);
        let written = |name: &str| {
            loaded.conf.modules.iter().find(|m| m.dest_name == name).map(|m| m.dest_location.clone())
        };
        let sources = plan::sources(s, b, manifest.as_ref(), &written);
        self.complete(s, b, manifest.as_ref(), &sources, &loaded)?;
        let force = plan::force_for(s, &b.package.name);
        self.pre_install(s, b, loaded.conf.pre_install.as_deref(), force.all)?;
        let index = self.index.take().unwrap_or_else(|| ModuleIndex::scan(&directory));
        let planned = plan::plan(s, b, &sources, &index, force);
        self.index = Some(index);
        let planned = planned?;
        for w in &planned.warnings {
            s.warn(w.clone());
        }
        for (path, reason) in &planned.kept {
            s.tell(Event::ModuleKept { build: b.clone(), path: path.clone(), reason: reason.clone() });
        }
        if planned.ops.is_empty() {
            return if planned.refused.is_empty() {
                Ok(Outcome::Nothing)
            } else {
                Err(Error::InstallAborted(format!(
                    "{}; --force installs all the same",
                    planned.refused.join("; ")
                )))
            };
        }
        for r in &planned.refused {
            s.warn(format!("left out: {r}"));
        }
        self.apply(s, b, planned, manifest, loaded.conf.no_weak_modules)?;
        self.post_install(s, b, loaded.conf.post_install.as_deref());
        s.tell(Event::Installed { build: b.clone() });
        self.installed.push(b.clone());
        Ok(Outcome::Installed)
    }

    /// Every module that was built, and that BUILD_EXCLUSIVE wants, is there.
    fn complete(
        &self,
        s: &Session<'_>,
        b: &Build,
        manifest: Option<&Manifest>,
        sources: &[Source],
        loaded: &load::Loaded,
    ) -> Result<()> {
        let expected: Vec<String> = match manifest {
            Some(m) => m.modules.iter().map(|r| r.name.clone()).collect(),
            None => {
                let config = crate::kernel::headers::config_path(s, &b.kernel.release);
                let config = crate::kernel::headers::KernelConfig::read(&config);
                let exclusion = load::exclusion(loaded, &b.kernel, config.as_ref())?;
                let wanted = loaded.conf.modules.iter().zip(&exclusion.modules);
                wanted.filter(|(_, out)| out.is_none()).map(|(e, _)| e.dest_name.clone()).collect()
            }
        };
        for name in expected {
            if !sources.iter().any(|f| f.name == name) {
                return Err(Error::InstallAborted(format!(
                    "the built module {name} is missing in {}; build it anew (dkms build --force)",
                    s.layout.module_dir(b).display()
                )));
            }
        }
        Ok(())
    }

    fn pre_install(&self, s: &Session<'_>, b: &Build, line: Option<&str>, force: bool) -> Result<()> {
        let Some(line) = line.filter(|l| !l.is_empty()) else { return Ok(()) };
        let source = s.layout.source_link(&b.package);
        let environment = [self.held.variable(s)];
        let script = Script { directive: "PRE_INSTALL", line, directory: &source, environment: &environment };
        match hooks::run(s, &b.package, &script, Output::Told)? {
            Some(status) if !status.success() && !force => Err(Error::PreInstallFailed {
                package: b.package.clone(),
                command: line.to_owned(),
                status: status.to_string(),
            }),
            Some(status) if !status.success() => {
                s.warn(format!(
                    "PRE_INSTALL of {} ended with {status}; installing all the same (--force)",
                    b.package
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn post_install(&self, s: &Session<'_>, b: &Build, line: Option<&str>) {
        let Some(line) = line.filter(|l| !l.is_empty()) else { return };
        let source = s.layout.source_link(&b.package);
        let environment = [self.held.variable(s)];
        let script =
            Script { directive: "POST_INSTALL", line, directory: &source, environment: &environment };
        match hooks::run(s, &b.package, &script, Output::Told) {
            Ok(Some(status)) if !status.success() => {
                s.warn(format!(
                    "POST_INSTALL of {} ended with {status}; its modules are in place",
                    b.package
                ));
            }
            Err(e) => s.warn(e.to_string()),
            Ok(_) => {}
        }
    }

    fn apply(
        &mut self,
        s: &Session<'_>,
        b: &Build,
        planned: plan::InstallPlan,
        manifest: Option<Manifest>,
        no_weak_modules: bool,
    ) -> Result<()> {
        let mut ops = planned.ops;
        let files: Vec<&Source> = planned.placed.iter().chain(&planned.adopted).collect();
        let path = s.layout.manifest(b);
        let mut manifest = manifest;
        if let Some(m) = &mut manifest {
            m.installed = Some(installed_record(&files, false));
            ops.push(Op::Text {
                before: std::fs::read_to_string(&path).ok(),
                text: String::from_utf8(m.to_bytes()).ok(),
                path: path.clone(),
            });
        }
        self.emptied.extend(planned.placed.iter().map(|p| p.destination.clone()));
        let staged = self.transaction.perform(ops, || planned.placed.iter().try_for_each(|p| stage(s, p)));
        if let Err(e) = staged {
            self.remove_empty(s);
            return Err(e);
        }
        self.dirty = true;
        if let Some(m) = &mut manifest {
            // Only now are the change times final.
            let before = String::from_utf8(m.to_bytes()).ok();
            m.installed = Some(installed_record(&files, true));
            let text = String::from_utf8(m.to_bytes()).ok();
            self.transaction.perform(vec![Op::Text { path, text, before }], || Ok(()))?;
        }
        for (from, to) in planned.archived {
            if let (Some(index), Some(name)) = (&mut self.index, from.file_name().and_then(|n| n.to_str())) {
                if let Some(stem) = state::module_stem(name) {
                    index.forget(stem, &from);
                }
            }
            self.emptied.extend(from.parent().map(Path::to_path_buf));
            s.tell(Event::OriginalArchived { build: b.clone(), from, to });
        }
        let paths: Vec<PathBuf> = files.iter().map(|f| f.destination.join(&f.file)).collect();
        for path in &paths {
            s.tell(Event::ModuleInstalled { build: b.clone(), path: path.clone() });
        }
        if !no_weak_modules {
            self.weak.extend(paths);
        }
        Ok(())
    }

    /// Takes an active build out.
    ///
    /// # Errors
    /// Nothing of this build was changed then.
    pub fn uninstall(&mut self, s: &Session<'_>, b: &Build) -> Result<()> {
        let planned = uninstall::plan(s, b);
        for w in &planned.warnings {
            s.warn(w.clone());
        }
        let manifest = Manifest::load(s.layout, b);
        if !manifest.as_ref().is_some_and(|m| m.no_weak_modules) {
            weak::run(s, &self.kernel, weak::Change::Remove, &planned.removed);
        }
        let post_remove = match &manifest {
            Some(m) => m.post_remove.clone(),
            None => load::load(s, &b.package, &b.kernel).ok().and_then(|l| l.conf.post_remove),
        };
        self.transaction.perform(planned.ops, || Ok(()))?;
        self.dirty = true;
        self.index = None;
        for path in planned.removed {
            self.emptied.extend(path.parent().map(Path::to_path_buf));
            s.tell(Event::ModuleRemoved { build: b.clone(), path });
        }
        for to in planned.restored {
            s.tell(Event::OriginalRestored { build: b.clone(), to });
        }
        self.drop_empty_archive(s, b);
        if let Some(line) = post_remove.filter(|l| !l.is_empty()) {
            let source = s.layout.source_link(&b.package);
            let environment = [self.held.variable(s)];
            let script = Script {
                directive: "POST_REMOVE",
                line: &line,
                directory: &source,
                environment: &environment,
            };
            match hooks::run(s, &b.package, &script, Output::Told) {
                Ok(Some(status)) if !status.success() => {
                    s.warn(format!("POST_REMOVE of {} ended with {status}", b.package));
                }
                Err(e) => s.warn(e.to_string()),
                Ok(_) => {}
            }
        }
        s.tell(Event::Uninstalled { build: b.clone() });
        Ok(())
    }

    /// Changes files that belong to no active build, in one batch.
    ///
    /// # Errors
    /// Nothing of the batch was changed then.
    pub(crate) fn perform(&mut self, ops: Vec<Op>) -> Result<()> {
        let directories: Vec<PathBuf> = ops.iter().flat_map(Op::directories).collect();
        self.transaction.perform(ops, || Ok(()))?;
        self.emptied.extend(directories);
        self.index = None;
        self.dirty = true;
        Ok(())
    }

    fn drop_empty_archive(&self, s: &Session<'_>, b: &Build) {
        let root = s.layout.originals_root(&b.package.name);
        if root.is_dir() {
            let _ = fs::remove_empty_below(&root);
            let _ = std::fs::remove_dir(&root);
        }
    }

    /// depmod, then commit. When depmod fails after an installation, everything is taken back.
    ///
    /// # Errors
    /// [`Error::DepmodFailed`]; the modules are back in the state before.
    pub fn finish(mut self, s: &Session<'_>) -> Result<Vec<Build>> {
        if !self.dirty {
            self.transaction.commit(|| remove_empty(s, &self.kernel, &self.emptied))?;
            return Ok(Vec::new());
        }
        // Before depmod, so that a kernel's directory that is empty now is seen as such.
        self.remove_empty(s);
        if let Err(e) = depmod::run(s, &self.kernel) {
            if self.installed.is_empty() {
                s.warn(format!("{e}; the modules are removed all the same"));
            } else {
                let emptied = std::mem::take(&mut self.emptied);
                self.transaction.rollback()?;
                remove_empty(s, &self.kernel, &emptied);
                // The index as it was before: the failed run may have left a torn one.
                if let Err(again) = depmod::run(s, &self.kernel) {
                    s.tell(Event::Detail { text: format!("after the rollback: {again}") });
                }
                return Err(e);
            }
        }
        self.transaction.commit(|| remove_empty(s, &self.kernel, &self.emptied))?;
        weak::run(s, &self.kernel, weak::Change::Add, &self.weak);
        Ok(self.installed)
    }

    /// Takes back everything this change did, as far as it is not committed.
    ///
    /// # Errors
    /// When something could not be put back.
    pub fn abandon(self, s: &Session<'_>) -> Result<()> {
        let emptied = self.emptied;
        self.transaction.rollback()?;
        remove_empty(s, &self.kernel, &emptied);
        Ok(())
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn remove_empty(&self, s: &Session<'_>) {
        remove_empty(s, &self.kernel, &self.emptied);
    }
}

/// A complete copy beside its place.
fn stage(s: &Session<'_>, source: &Source) -> Result<()> {
    fs::create_dir_all(&source.destination)?;
    let staged = super::journal::aside(&source.destination.join(&source.file), "new");
    fs::remove_file(&staged)?;
    if s.options.symlink_modules {
        fs::symlink(&source.path, &staged)?;
    } else {
        fs::copy_file(&source.path, &staged)?;
        fs::set_mode(&staged, 0o644)?;
        fs::sync_file(&staged)?;
    }
    Ok(())
}

/// Removes directories that are empty now, up to the kernel's own; what an RPM package owns stays.
fn remove_empty(s: &Session<'_>, kernel: &Kernel, directories: &[PathBuf]) {
    let stop = s.layout.kernel_modules(&kernel.release);
    let family = s.host.distribution.as_ref().map(|d| d.family());
    let by_rpm = matches!(family, Some(Family::Fedora | Family::Rhel | Family::Suse | Family::Other));
    for dir in directories {
        // An interrupted clean-up may have got half-way up.
        let Some(dir) = dir.ancestors().find(|d| d.is_dir()) else { continue };
        if let Ok(inside) = dir.strip_prefix(&s.layout.dkms_tree) {
            // An archive of originals that came back, or never went.
            if let Some(package) = inside.iter().next() {
                let _ = fs::remove_empty_dirs(dir, s.layout.dkms_tree.join(package));
            }
            continue;
        }
        if !dir.starts_with(&stop) || std::fs::read_dir(dir).map_or(true, |mut d| d.next().is_some()) {
            continue;
        }
        if by_rpm && owned_by_rpm(s, dir) {
            continue;
        }
        let _ = fs::remove_empty_dirs(dir, &stop);
    }
    // Only an empty directory can go: that of a kernel which is no longer installed.
    let _ = std::fs::remove_dir(&stop);
}

fn owned_by_rpm(s: &Session<'_>, dir: &Path) -> bool {
    let Some(rpm) = dkms_sys::process::which("rpm", &s.host.path) else { return false };
    dkms_sys::process::Command::new(rpm)
        .arg("-qf")
        .arg(dir)
        .envs(s.host.environment.iter().cloned())
        .stdout(dkms_sys::process::Stream::Null)
        .stderr(dkms_sys::process::Stream::Null)
        .run()
        .is_ok_and(|d| d.status.success())
}

fn installed_record(files: &[&Source], stamps: bool) -> Installed {
    Installed {
        at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        files: files
            .iter()
            .map(|f| {
                let path = f.destination.join(&f.file);
                let stamp =
                    |p: &Path| if stamps { Stamp::of(p).unwrap_or_default() } else { Stamp::default() };
                InstalledFile { file: f.file.clone(), stamp: stamp(&path), built: stamp(&f.path), path }
            })
            .collect(),
    }
}
