//! Everything one command changes in the modules of kernels: one lock and one depmod for each kernel, one
//! journal for all kernels.

use super::built::Built;
use super::plan::{self, Source};
use super::recover::{self, Left};
use super::{clean, uninstall, weak};
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::hooks::{self, Script};
use crate::host::Host;
use crate::install::InstallError;
use crate::kernel::installed::ModuleIndex;
use crate::kernel::{headers, toolchain};
use crate::lock::{self, Held};
use crate::look::status;
use crate::look::verify::Facts;
use crate::request::Overrides;
use crate::system::{Settings, System};
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::journal::op::{Op, aside, write_text};
use dkms_tree::journal::{Before, Transaction};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{Installed, InstalledFile, Manifest, Stamp};
use dkms_tree::{beneath, state};
use std::path::{Path, PathBuf};

/// Changes to the modules of one or more kernels, applied as a single transaction.
#[derive(Debug)]
pub struct Change {
    overrides: Overrides,
    pub(super) held: Vec<Held>,
    pub(super) transaction: Transaction,
    pub(super) kernels: Vec<KernelState>,
    /// Events to report when the change is final, each with its kernel.
    pub(super) results: Vec<(Kernel, Event)>,
    /// Journals that need only a depmod, which this change runs.
    pub(super) pending_depmod: Vec<recover::PendingDepmod>,
}

/// The state of a kernel in this change.
#[derive(Debug)]
pub(super) struct KernelState {
    pub(super) kernel: Kernel,
    index: Option<ModuleIndex>,
    /// Facts about the kernel, used to judge whether it would load a module.
    facts: Option<Facts>,
    /// Builds that an earlier change of the same command installed; see [`Change::answer_for`].
    pub(super) installed_before: Vec<Build>,
    /// Directories that may be empty after the change.
    pub(super) emptied: Vec<PathBuf>,
    /// Installed files to report to weak-modules, once.
    pub(super) weak: Vec<PathBuf>,
    /// Files that weak-modules removed its links to; a rollback reports them as installed again.
    pub(super) weak_gone: Vec<PathBuf>,
    /// depmod has to run.
    pub(super) dirty: bool,
}

/// The outcome of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The modules are in place.
    Installed,
    /// The kernel already has the same modules; nothing was changed.
    Nothing,
}

impl Change {
    /// Takes the kernels' locks, recovers what an interrupted command left, and opens the journal.
    ///
    /// # Errors
    /// A lock is busy, or the tree is not writable.
    pub fn begin(system: &System, sink: &dyn Sink, kernels: &[Kernel], overrides: Overrides) -> Result<Self> {
        let mut sorted = kernels.to_vec();
        sorted.sort();
        sorted.dedup();
        let (held, pending_depmod) = take_over(system, sink, &sorted)?;
        let transaction = Transaction::begin(&system.layout, &sorted, &system.host.command)?;
        let new_state = |kernel: Kernel| KernelState {
            dirty: pending_depmod.iter().any(|(k, _)| *k == kernel),
            kernel,
            index: None,
            facts: None,
            installed_before: Vec::new(),
            emptied: Vec::new(),
            weak: Vec::new(),
            weak_gone: Vec::new(),
        };
        let kernels = sorted.into_iter().map(new_state).collect();
        Ok(Self { overrides, held, transaction, kernels, results: Vec::new(), pending_depmod })
    }

    pub(super) fn state_of(&mut self, kernel: &Kernel) -> Result<&mut KernelState> {
        let found = self.kernels.iter_mut().find(|k| k.kernel == *kernel);
        found.ok_or_else(|| Error::Tree(dkms_tree::Error::KernelNotPart(kernel.clone())))
    }

    /// Takes over a build that an earlier change left with [`Change::finish_without_depmod`]: if depmod
    /// fails, the build is uninstalled.
    ///
    /// # Errors
    /// Its kernel is not part of this change.
    pub fn answer_for(&mut self, build: &Build) -> Result<()> {
        self.state_of(&build.kernel)?.installed_before.push(build.clone());
        Ok(())
    }

    /// Records the present status of a package, which `status` shows until the change ends.
    pub(super) fn note(&mut self, system: &System, package: &str) -> Result<()> {
        if self.transaction.knows(package) {
            return Ok(());
        }
        let kernels: Vec<&Kernel> = self.kernels.iter().map(|k| &k.kernel).collect();
        let entries = status::package_status(system, package, &kernels);
        Ok(self.transaction.note(Before { package: package.to_owned(), entries })?)
    }

    /// Installs a build that is built but not active.
    ///
    /// # Errors
    /// On an error, nothing of this build is changed.
    pub fn install(&mut self, system: &System, sink: &dyn Sink, build: &Build) -> Result<Outcome> {
        let directory = system.layout.kernel_modules(&build.kernel.release);
        if !directory.exists() {
            return Err(InstallError::KernelDirMissing(directory).into());
        }
        beneath::check_package(&system.layout, &build.package)?;
        let built = Built::read(system, sink, build, self.overrides)?;
        built.require_all(&system.layout, &system.settings, build)?;
        self.pre_install(system, sink, build, built.loaded.conf.pre_install.as_deref(), built.force.all)?;
        let state = self.state_of(&build.kernel)?;
        let index = state.index.get_or_insert_with(|| ModuleIndex::scan(&directory));
        let facts = state.facts.get_or_insert_with(|| Facts::gather(system, sink, &build.kernel));
        // The same command may have installed a module that this build depends on.
        facts.refresh(system, sink);
        let planned = plan::plan(system, sink, build, &built.sources, index, facts, built.force)?;
        let Built { loaded, manifest, .. } = built;
        for warning in &planned.warnings {
            sink.warn(warning.clone());
        }
        for (path, reason) in &planned.kept {
            sink.event(Event::ModuleKept {
                build: build.clone(),
                path: path.clone(),
                reason: reason.clone(),
            });
        }
        if planned.ops.is_empty() {
            return if planned.refused.is_empty() {
                Ok(Outcome::Nothing)
            } else {
                Err(InstallError::Newer(planned.refused).into())
            };
        }
        for newer in &planned.refused {
            sink.warn(format!("left out: {newer}"));
        }
        self.apply(system, sink, build, planned, manifest, loaded.conf.no_weak_modules).map_err(
            |e| match e {
                // Use the same error as for other causes that prevent the installation.
                Error::Io(cause) => InstallError::Failed { build: build.clone(), cause }.into(),
                other => other,
            },
        )?;
        self.post_install(system, sink, build, loaded.conf.post_install.as_deref());
        self.report_later(&build.kernel, Event::Installed { build: build.clone() });
        Ok(Outcome::Installed)
    }

    /// Returns variables for the scripts of a build's package, in addition to the inherited ones. If the
    /// headers exist, they include the kernel's compiler, because in dkms 3 the preceding build of the same
    /// command sets this variable.
    fn environment(&self, system: &System, build: &Build) -> Vec<(String, String)> {
        let mut environment = hooks::variables(&build.package, Some(&build.kernel));
        let headers = headers::find(system, &build.kernel);
        if let Ok(headers) = headers {
            let toolchain = toolchain::detect(&system.host, &headers, &build.kernel.release);
            environment.extend(toolchain.environment);
        }
        environment.push(lock::variable(system, &self.held));
        environment
    }

    fn pre_install(
        &self,
        system: &System,
        sink: &dyn Sink,
        build: &Build,
        line: Option<&str>,
        force: bool,
    ) -> Result<()> {
        let Some(line) = line.filter(|l| !l.is_empty()) else { return Ok(()) };
        let source = system.layout.source_link(&build.package);
        let environment = self.environment(system, build);
        let script = Script { directive: "PRE_INSTALL", line, directory: &source, environment: &environment };
        match hooks::run(system, sink, &build.package, &script)? {
            Some(status) if !status.success() && !force => Err(InstallError::PreInstallFailed {
                package: build.package.clone(),
                command: line.to_owned(),
                status: status.to_string(),
            }
            .into()),
            Some(status) if !status.success() => {
                sink.warn(format!(
                    "PRE_INSTALL of {} ended with {status}; installing anyway (--force)",
                    build.package
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn post_install(&self, system: &System, sink: &dyn Sink, build: &Build, line: Option<&str>) {
        let Some(line) = line.filter(|l| !l.is_empty()) else { return };
        let source = system.layout.source_link(&build.package);
        let environment = self.environment(system, build);
        let script =
            Script { directive: "POST_INSTALL", line, directory: &source, environment: &environment };
        match hooks::run(system, sink, &build.package, &script) {
            Ok(Some(status)) if !status.success() => {
                sink.warn(format!(
                    "POST_INSTALL of {} ended with {status}; its modules are in place",
                    build.package
                ));
            }
            Err(e) => sink.warn(e.to_string()),
            Ok(_) => {}
        }
    }

    fn apply(
        &mut self,
        system: &System,
        sink: &dyn Sink,
        build: &Build,
        planned: plan::InstallChanges,
        manifest: Option<Manifest>,
        no_weak_modules: bool,
    ) -> Result<()> {
        let mut ops = planned.ops;
        let files: Vec<&Source> = planned.placed.iter().chain(&planned.adopted).collect();
        let path = system.layout.manifest(build);
        if manifest.is_some() {
            ops.push(Op::Keep { path: path.clone(), saved: aside(&path, "old") });
        }
        let staging = || planned.placed.iter().try_for_each(|p| stage(&system.settings, p));
        // The change times of the files are final only after the files are in place.
        let record = || match &manifest {
            Some(m) => write_record(
                &path,
                &Manifest { installed: Some(record_of(&system.host, &files)), ..m.clone() },
            ),
            None => Ok(()),
        };
        self.note(system, &build.package.name)?;
        self.batch(system, sink, &build.kernel, ops, staging, record)?;
        let paths: Vec<PathBuf> = files.iter().map(|f| f.destination.join(&f.file)).collect();
        let state = self.state_of(&build.kernel)?;
        state.dirty = true;
        for (from, _) in &planned.archived {
            if let (Some(index), Some(name)) = (&mut state.index, from.file_name().and_then(|n| n.to_str())) {
                if let Some(stem) = state::module_stem(name) {
                    index.forget(stem, from);
                }
            }
        }
        if !no_weak_modules {
            state.weak.extend(paths.iter().cloned());
        }
        for (from, to) in planned.archived {
            self.report_later(&build.kernel, Event::OriginalArchived { build: build.clone(), from, to });
        }
        for path in paths {
            self.report_later(&build.kernel, Event::ModuleInstalled { build: build.clone(), path });
        }
        Ok(())
    }

    /// Uninstalls an active build.
    ///
    /// # Errors
    /// On an error, nothing of this build is changed.
    pub fn uninstall(&mut self, system: &System, sink: &dyn Sink, build: &Build) -> Result<()> {
        beneath::check_package(&system.layout, &build.package)?;
        let planned = uninstall::plan(system, sink, build, self.overrides.force)?;
        for warning in &planned.warnings {
            sink.warn(warning.clone());
        }
        let manifest = Manifest::read(&system.layout, build)?;
        if !manifest.as_ref().is_some_and(|m| m.no_weak_modules) {
            weak::run(system, sink, &build.kernel, weak::Change::Remove, &planned.removed);
            self.state_of(&build.kernel)?.weak_gone.extend(planned.removed.iter().cloned());
        }
        let post_remove = match &manifest {
            Some(m) => m.post_remove.clone(),
            None => post_remove(system, sink, build),
        };
        self.note(system, &build.package.name)?;
        let path = system.layout.manifest(build);
        let record = || planned.record.as_ref().map_or(Ok(()), |m| write_record(&path, m));
        self.batch(system, sink, &build.kernel, planned.ops, || Ok(()), record)?;
        let state = self.state_of(&build.kernel)?;
        (state.dirty, state.index) = (true, None);
        for path in planned.removed {
            self.report_later(&build.kernel, Event::ModuleRemoved { build: build.clone(), path });
        }
        for to in planned.restored {
            self.report_later(&build.kernel, Event::OriginalRestored { build: build.clone(), to });
        }
        if let Some(line) = post_remove.filter(|l| !l.is_empty()) {
            let source = system.layout.source_link(&build.package);
            let environment = self.environment(system, build);
            let script = Script {
                directive: "POST_REMOVE",
                line: &line,
                directory: &source,
                environment: &environment,
            };
            match hooks::run(system, sink, &build.package, &script) {
                Ok(Some(status)) if !status.success() => {
                    sink.warn(format!("POST_REMOVE of {} ended with {status}", build.package));
                }
                Err(e) => sink.warn(e.to_string()),
                Ok(_) => {}
            }
        }
        self.report_later(&build.kernel, Event::Uninstalled { build: build.clone() });
        Ok(())
    }

    /// Changes files of a package that belong to no active build, in one batch.
    ///
    /// # Errors
    /// On an error, nothing of the batch is changed.
    pub(crate) fn perform(
        &mut self,
        system: &System,
        sink: &dyn Sink,
        kernel: &Kernel,
        package: Option<&str>,
        ops: Vec<Op>,
    ) -> Result<()> {
        if let Some(name) = package {
            self.note(system, name)?;
        }
        self.batch(system, sink, kernel, ops, || Ok(()), || Ok(()))?;
        let state = self.state_of(kernel)?;
        (state.dirty, state.index) = (true, None);
        Ok(())
    }

    /// Performs a batch of operations on one kernel. `stage` creates the new files before the operations, and
    /// `record` records the result after them. If the batch fails, directories that it created are removed.
    pub(super) fn batch(
        &mut self,
        system: &System,
        sink: &dyn Sink,
        kernel: &Kernel,
        ops: Vec<Op>,
        stage: impl FnOnce() -> Result<()>,
        record: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        crate::trust::signing::reach(system, sink).refuse_strays(kernel, &ops)?;
        let directories: Vec<PathBuf> = ops.iter().flat_map(Op::directories).map(Path::to_path_buf).collect();
        self.state_of(kernel)?.emptied.extend(directories);
        let done = self.transaction.perform(kernel, ops, stage, record);
        if done.is_err() {
            self.remove_empty(&system.host, &system.layout);
        }
        done
    }

    /// Deletes `K/A` of a build that is not active (any more), when the change commits.
    ///
    /// # Errors
    /// On an error, nothing is changed.
    pub fn unbuild(&mut self, system: &System, sink: &dyn Sink, build: &Build) -> Result<()> {
        self.note(system, &build.package.name)?;
        let dir = system.layout.kernel_dir(build);
        let saved = dir.join(format!(".tmp_{}_unbuilt", build.kernel.arch));
        let ops = vec![Op::Remove { path: system.layout.built_dir(build), saved }];
        self.batch(system, sink, &build.kernel, ops, || Ok(()), || Ok(()))?;
        self.report_later(&build.kernel, Event::Unbuilt { build: build.clone() });
        Ok(())
    }

    /// Deletes `M/V` of a package version that is not built for any kernel (any more) when the change
    /// commits, and `M` if it is empty then. Leftovers for kernels that are not part of this change are
    /// deleted too.
    ///
    /// # Errors
    /// On an error, nothing is changed.
    pub fn forget(&mut self, system: &System, sink: &dyn Sink, package: &PackageId) -> Result<()> {
        self.note(system, &package.name)?;
        let dir = system.layout.package_dir(&package.name);
        let Some(kernel) = self.kernels.first().map(|k| k.kernel.clone()) else { return Ok(()) };
        let saved = dir.join(format!(".{}.removed", package.version));
        let ops = vec![Op::Remove { path: system.layout.version_dir(package), saved }];
        self.batch(system, sink, &kernel, ops, || Ok(()), || Ok(()))?;
        self.report_later(&kernel, Event::Forgotten { package: package.clone() });
        Ok(())
    }

    pub(super) fn remove_empty(&self, host: &Host, layout: &Layout) {
        for of in &self.kernels {
            clean::remove_empty(host, layout, &of.kernel, &of.emptied);
        }
    }
}

/// Takes the kernels' locks, and recovers what interrupted commands left.
fn take_over(
    system: &System,
    sink: &dyn Sink,
    kernels: &[Kernel],
) -> Result<(Vec<Held>, Vec<recover::PendingDepmod>)> {
    loop {
        let held = lock::install(system, sink, kernels)?;
        // A journal that a calling dkms has open was not left by an interrupted command.
        if held.iter().any(Held::is_inherited) {
            return Ok((held, Vec::new()));
        }
        match recover::recover(system, sink, kernels)? {
            Left::Depmod(pending) => return Ok((held, pending)),
            Left::More(all) => {
                // All locks are taken in a fixed order, so the locks that we hold are released first.
                drop(held);
                let _held = lock::install(system, sink, &all)?;
                recover::recover(system, sink, &all)?;
            }
        }
    }
}

pub(super) fn write_record(path: &Path, manifest: &Manifest) -> Result<()> {
    Ok(write_text(path, &manifest.to_bytes(path)?)?)
}

/// Returns the record of the installed files. Without stamps, later commands compare the contents of the
/// files.
fn record_of(host: &Host, files: &[&Source]) -> Installed {
    let record_file = |f: &&Source| {
        let path = f.destination.join(&f.file);
        let stamp = |p: &Path| Stamp::of(p).filter(|_| host.records_stamps()).unwrap_or_default();
        InstalledFile { file: f.file.clone(), stamp: stamp(&path), built: stamp(&f.path), path }
    };
    Installed { at: host.recorded_time(), files: files.iter().map(record_file).collect() }
}

/// Creates a complete copy of a file beside its destination.
fn stage(settings: &Settings, source: &Source) -> Result<()> {
    // The error names the directory rather than a temporary name in it.
    fs::require_writable_below(&source.destination)?;
    fs::create_dir_all(&source.destination)?;
    let staged = aside(&source.destination.join(&source.file), "new");
    fs::remove_file(&staged)?;
    if settings.symlink_modules {
        fs::symlink(&source.path, &staged)?;
    } else {
        fs::copy_file(&source.path, &staged)?;
        fs::set_mode(&staged, 0o644)?;
        fs::sync_file(&staged)?;
    }
    Ok(())
}

/// The POST_REMOVE of a build without a manifest, which dkms 3.x made.
fn post_remove(system: &System, sink: &dyn Sink, build: &Build) -> Option<String> {
    match load::load(system, sink, &build.package, &build.kernel) {
        Ok(loaded) => loaded.conf.post_remove,
        Err(e) => {
            sink.warn(format!("if {} has a POST_REMOVE script, it is not run: {e}", build.package));
            None
        }
    }
}
