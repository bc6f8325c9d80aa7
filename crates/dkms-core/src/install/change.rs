//! Everything that one command changes in the modules of kernels, as a single transaction: one lock and one
//! depmod for each kernel, one journal for all kernels.

use super::built::{Built, BuiltModule};
use super::plan;
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
use dkms_sys::process::Status;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::journal::op::{Op, aside, write_text};
use dkms_tree::journal::{Before, Transaction};
use dkms_tree::manifest::{Installed, InstalledFile, Manifest, Stamp};
use dkms_tree::{beneath, state};
use std::path::{Path, PathBuf};

/// Changes to the modules of one or more kernels, applied as a single transaction.
pub(crate) struct Change<'a> {
    pub(super) system: &'a System,
    pub(super) sink: &'a dyn Sink,
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
    /// Facts about the kernel, which decide whether it would load a module.
    facts: Option<Facts>,
    /// Builds that an earlier change of the same command installed; see [`Change::take_responsibility`].
    pub(super) installed_before: Vec<Build>,
    /// Directories that may be empty after the change.
    pub(super) emptied: Vec<PathBuf>,
    /// Installed files to report to weak-modules, once.
    pub(super) weak: Vec<PathBuf>,
    /// Files whose links weak-modules removed; a rollback reports them to it as installed again.
    pub(super) weak_removed: Vec<PathBuf>,
    /// Whether depmod has to run.
    pub(super) needs_depmod: bool,
}

/// The outcome of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The modules are in place.
    Installed,
    /// The kernel already has the same modules; nothing was changed.
    Nothing,
}

impl<'a> Change<'a> {
    /// Takes the kernels' locks, recovers what an interrupted command left, and opens the journal.
    ///
    /// # Errors
    /// A lock is busy, or the tree is not writable.
    pub(crate) fn begin(
        system: &'a System,
        sink: &'a dyn Sink,
        kernels: &[Kernel],
        overrides: Overrides,
    ) -> Result<Self> {
        let mut sorted = kernels.to_vec();
        sorted.sort();
        sorted.dedup();
        let (held, pending_depmod) = lock_and_recover(system, sink, &sorted)?;
        let transaction = Transaction::begin(&system.layout, &sorted, &system.host.command)?;
        let new_state = |kernel: Kernel| KernelState {
            needs_depmod: pending_depmod.iter().any(|(k, _)| *k == kernel),
            kernel,
            index: None,
            facts: None,
            installed_before: Vec::new(),
            emptied: Vec::new(),
            weak: Vec::new(),
            weak_removed: Vec::new(),
        };
        let kernels = sorted.into_iter().map(new_state).collect();
        let results = Vec::new();
        Ok(Self { system, sink, overrides, held, transaction, kernels, results, pending_depmod })
    }

    /// Returns the state of a kernel in this change.
    ///
    /// # Errors
    /// The kernel is not part of this change.
    pub(super) fn state_of(&mut self, kernel: &Kernel) -> Result<&mut KernelState> {
        let state = self.kernels.iter_mut().find(|state| state.kernel == *kernel);
        state.ok_or_else(|| Error::Tree(dkms_tree::Error::KernelNotPart(kernel.clone())))
    }

    /// Takes responsibility for a build that an earlier change installed and committed with
    /// [`Change::finish_without_depmod`]: if depmod fails, this change uninstalls the build.
    ///
    /// # Errors
    /// Its kernel is not part of this change.
    pub(crate) fn take_responsibility(&mut self, build: &Build) -> Result<()> {
        self.state_of(&build.kernel)?.installed_before.push(build.clone());
        Ok(())
    }

    /// Records the status of a package before its first change. `status` shows it until the change ends.
    pub(super) fn record_status(&mut self, package: &str) -> Result<()> {
        if self.transaction.has_recorded(package) {
            return Ok(());
        }
        let kernels: Vec<&Kernel> = self.kernels.iter().map(|k| &k.kernel).collect();
        let entries = status::package_status(self.system, package, &kernels);
        Ok(self.transaction.record_status(Before { package: package.to_owned(), entries })?)
    }

    /// Installs a build that is built but not active.
    ///
    /// # Errors
    /// On an error, nothing of this build is changed.
    pub(crate) fn install(&mut self, build: &Build) -> Result<Outcome> {
        let (system, sink) = (self.system, self.sink);
        let directory = system.layout.kernel_modules(&build.kernel.release);
        if !directory.exists() {
            return Err(InstallError::KernelDirMissing(directory).into());
        }
        beneath::check_package(&system.layout, &build.package)?;
        let built = Built::read(system, sink, build, self.overrides)?;
        self.pre_install(build, built.loaded.conf.pre_install.as_deref(), built.force.all)?;
        let state = self.state_of(&build.kernel)?;
        let index = state.index.get_or_insert_with(|| ModuleIndex::scan(&directory));
        let facts = state.facts.get_or_insert_with(|| Facts::gather(system, sink, &build.kernel));
        // The same command may have installed a module that this build depends on.
        facts.refresh(system, sink);
        let planned = plan::plan(system, sink, &built, index, facts)?;
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
        let applied = self.apply(build, planned, manifest, loaded.conf.no_weak_modules);
        applied.map_err(|e| match e {
            Error::Io(cause) => InstallError::Failed { build: build.clone(), cause }.into(),
            other => other,
        })?;
        let script = ("POST_INSTALL", loaded.conf.post_install.as_deref());
        self.run_final_script(build, script, "; its modules are in place");
        self.report_later(&build.kernel, Event::Installed { build: build.clone() });
        Ok(Outcome::Installed)
    }

    /// Returns variables for the scripts of a build's package, in addition to the inherited ones. If the
    /// headers exist, they include the kernel's compiler, because in dkms 3 the preceding build of the same
    /// command sets this variable.
    fn environment(&self, build: &Build) -> Vec<(String, String)> {
        let system = self.system;
        let mut environment = hooks::variables(&build.package, Some(&build.kernel));
        let headers = headers::find(system, &build.kernel);
        if let Ok(headers) = headers {
            let toolchain = toolchain::detect(&system.host, &headers, &build.kernel.release);
            environment.extend(toolchain.environment);
        }
        environment.push(lock::variable(system, &self.held));
        environment
    }

    /// Runs a script of a build's package. Returns its status; `None` if dkms.conf names none, or it does not
    /// exist.
    fn run_script(
        &self,
        build: &Build,
        directive: &'static str,
        line: Option<&str>,
    ) -> Result<Option<Status>> {
        let (system, sink) = (self.system, self.sink);
        let Some(line) = line.filter(|line| !line.is_empty()) else { return Ok(None) };
        let directory = &system.layout.source_link(&build.package);
        let environment = &self.environment(build);
        hooks::run(system, sink, &build.package, &Script { directive, line, directory, environment })
    }

    fn pre_install(&self, build: &Build, line: Option<&str>, force: bool) -> Result<()> {
        let package = &build.package;
        match self.run_script(build, "PRE_INSTALL", line)? {
            Some(status) if !status.success() && !force => Err(InstallError::PreInstallFailed {
                package: package.clone(),
                command: line.unwrap_or_default().to_owned(),
                status: status.to_string(),
            }
            .into()),
            Some(status) if !status.success() => {
                self.sink.warn(format!(
                    "PRE_INSTALL of {package} ended with {status}; installing anyway (--force)"
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Runs POST_INSTALL or POST_REMOVE. A failure is only a warning, with this note.
    fn run_final_script(&self, build: &Build, (directive, line): (&'static str, Option<&str>), note: &str) {
        match self.run_script(build, directive, line) {
            Ok(Some(status)) if !status.success() => {
                self.sink.warn(format!("{directive} of {} ended with {status}{note}", build.package));
            }
            Err(e) => self.sink.warn(e.to_string()),
            Ok(_) => {}
        }
    }

    /// Executes the planned changes of an installation.
    fn apply(
        &mut self,
        build: &Build,
        planned: plan::InstallChanges,
        manifest: Option<Manifest>,
        no_weak_modules: bool,
    ) -> Result<()> {
        let system = self.system;
        let mut ops = planned.ops;
        let files: Vec<&BuiltModule> = planned.placed.iter().chain(&planned.adopted).collect();
        let path = system.layout.manifest(build);
        if manifest.is_some() {
            ops.push(Op::Keep { path: path.clone(), saved: aside(&path, "old") });
        }
        let stage_all = || planned.placed.iter().try_for_each(|module| stage(&system.settings, module));
        // The change times of the files are final only after the files are in place.
        let record = || match &manifest {
            Some(m) => write_record(
                &path,
                &Manifest { installed: Some(record_of(&system.host, &files)), ..m.clone() },
            ),
            None => Ok(()),
        };
        self.record_status(&build.package.name)?;
        self.batch(&build.kernel, ops, stage_all, record)?;
        let paths: Vec<PathBuf> = files.into_iter().map(BuiltModule::target).collect();
        let state = self.state_of(&build.kernel)?;
        state.needs_depmod = true;
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
    pub(crate) fn uninstall(&mut self, build: &Build) -> Result<()> {
        let (system, sink) = (self.system, self.sink);
        beneath::check_package(&system.layout, &build.package)?;
        let planned = uninstall::plan(system, sink, build, self.overrides.force)?;
        for warning in &planned.warnings {
            sink.warn(warning.clone());
        }
        let manifest = Manifest::read(&system.layout, build)?;
        if !manifest.as_ref().is_some_and(|m| m.no_weak_modules) {
            weak::run(system, sink, &build.kernel, weak::Action::Remove, &planned.removed);
            self.state_of(&build.kernel)?.weak_removed.extend(planned.removed.iter().cloned());
        }
        let post_remove = match &manifest {
            Some(m) => m.post_remove.clone(),
            None => post_remove(system, sink, build),
        };
        self.record_status(&build.package.name)?;
        let path = system.layout.manifest(build);
        let record = || planned.record.as_ref().map_or(Ok(()), |m| write_record(&path, m));
        self.batch(&build.kernel, planned.ops, || Ok(()), record)?;
        let state = self.state_of(&build.kernel)?;
        (state.needs_depmod, state.index) = (true, None);
        for path in planned.removed {
            self.report_later(&build.kernel, Event::ModuleRemoved { build: build.clone(), path });
        }
        for to in planned.restored {
            self.report_later(&build.kernel, Event::OriginalRestored { build: build.clone(), to });
        }
        self.run_final_script(build, ("POST_REMOVE", post_remove.as_deref()), "");
        self.report_later(&build.kernel, Event::Uninstalled { build: build.clone() });
        Ok(())
    }

    /// Changes files of a package that belong to no active build, in one batch.
    ///
    /// # Errors
    /// On an error, nothing of the batch is changed.
    pub(crate) fn perform(&mut self, kernel: &Kernel, package: Option<&str>, ops: Vec<Op>) -> Result<()> {
        if let Some(name) = package {
            self.record_status(name)?;
        }
        self.batch(kernel, ops, || Ok(()), || Ok(()))?;
        let state = self.state_of(kernel)?;
        (state.needs_depmod, state.index) = (true, None);
        Ok(())
    }

    /// Performs a batch of operations on one kernel. `stage` creates the new files before the operations;
    /// `record` records the result after them. If the batch fails, the directories that it created are
    /// removed.
    pub(super) fn batch(
        &mut self,
        kernel: &Kernel,
        ops: Vec<Op>,
        stage: impl FnOnce() -> Result<()>,
        record: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let (system, sink) = (self.system, self.sink);
        crate::trust::signing::reach(system, sink).refuse_strays(kernel, &ops)?;
        let directories: Vec<PathBuf> = ops.iter().flat_map(Op::directories).map(Path::to_path_buf).collect();
        self.state_of(kernel)?.emptied.extend(directories);
        let done = self.transaction.perform(kernel, ops, stage, record);
        if done.is_err() {
            self.remove_empty();
        }
        done
    }

    /// Deletes `K/A` of an inactive build when the change commits.
    ///
    /// # Errors
    /// On an error, nothing is changed.
    pub(crate) fn unbuild(&mut self, build: &Build) -> Result<()> {
        let system = self.system;
        self.record_status(&build.package.name)?;
        let dir = system.layout.kernel_dir(build);
        let saved = dir.join(format!(".tmp_{}_unbuilt", build.kernel.arch));
        let ops = vec![Op::Remove { path: system.layout.built_dir(build), saved }];
        self.batch(&build.kernel, ops, || Ok(()), || Ok(()))?;
        self.report_later(&build.kernel, Event::Unbuilt { build: build.clone() });
        Ok(())
    }

    /// Deletes `M/V` of a package version when the change commits, and `M` if it is empty then. The version
    /// must not be built for any kernel. Leftovers for kernels that are not part of this change are deleted
    /// too.
    ///
    /// # Errors
    /// On an error, nothing is changed.
    pub(crate) fn forget(&mut self, package: &PackageId) -> Result<()> {
        let system = self.system;
        self.record_status(&package.name)?;
        let dir = system.layout.package_dir(&package.name);
        let Some(kernel) = self.kernels.first().map(|k| k.kernel.clone()) else { return Ok(()) };
        let saved = dir.join(format!(".{}.removed", package.version));
        let ops = vec![Op::Remove { path: system.layout.version_dir(package), saved }];
        self.batch(&kernel, ops, || Ok(()), || Ok(()))?;
        self.report_later(&kernel, Event::Forgotten { package: package.clone() });
        Ok(())
    }

    pub(super) fn remove_empty(&self) {
        for state in &self.kernels {
            clean::remove_empty(&self.system.host, &self.system.layout, &state.kernel, &state.emptied);
        }
    }
}

/// Takes the kernels' locks, and recovers what interrupted commands left. Returns the locks, and the kernels
/// that still need a depmod.
fn lock_and_recover(
    system: &System,
    sink: &dyn Sink,
    kernels: &[Kernel],
) -> Result<(Vec<Held>, Vec<recover::PendingDepmod>)> {
    loop {
        let held = lock::install(system, sink, kernels)?;
        // If another dkms called this one, its open journal is not that of an interrupted command.
        if held.iter().any(Held::is_inherited) {
            return Ok((held, Vec::new()));
        }
        match recover::recover_kernels(system, sink, kernels)? {
            Left::Depmod(pending) => return Ok((held, pending)),
            Left::More(all) => {
                // Locks are always taken in the same order, so these are released first.
                drop(held);
                let _held = lock::install(system, sink, &all)?;
                recover::recover_kernels(system, sink, &all)?;
            }
        }
    }
}

pub(super) fn write_record(path: &Path, manifest: &Manifest) -> Result<()> {
    Ok(write_text(path, &manifest.to_bytes(path)?)?)
}

/// Returns the record of the installed files.
fn record_of(host: &Host, files: &[&BuiltModule]) -> Installed {
    let record_file = |module: &&BuiltModule| {
        let path = module.target();
        let (stamp, built) = (record_stamp(host, &path), record_stamp(host, &module.path));
        InstalledFile { file: module.file.clone(), stamp, built, path }
    };
    Installed { at: host.recorded_time(), files: files.iter().map(record_file).collect() }
}

/// Returns the stamp of a file for a record. If records contain no stamps, it is empty, and later commands
/// compare the contents of the files.
pub(super) fn record_stamp(host: &Host, path: &Path) -> Stamp {
    Stamp::of(path).filter(|_| host.records_stamps()).unwrap_or_default()
}

/// Creates a complete copy of a module, or a link to it, next to its target.
fn stage(settings: &Settings, module: &BuiltModule) -> Result<()> {
    // Fail with an error that names the directory instead of a temporary file in it.
    fs::require_writable_below(&module.destination)?;
    fs::create_dir_all(&module.destination)?;
    let staged = aside(&module.target(), "new");
    fs::remove_file(&staged)?;
    if settings.symlink_modules {
        fs::symlink(&module.path, &staged)?;
    } else {
        fs::copy_file(&module.path, &staged)?;
        fs::set_mode(&staged, 0o644)?;
        fs::sync_file(&staged)?;
    }
    Ok(())
}

/// Returns the POST_REMOVE of a build of dkms 3.x, which has no manifest.
fn post_remove(system: &System, sink: &dyn Sink, build: &Build) -> Option<String> {
    match load::load(system, sink, &build.package, &build.kernel) {
        Ok(loaded) => loaded.conf.post_remove,
        Err(e) => {
            sink.warn(format!("if {} has a POST_REMOVE script, it is not run: {e}", build.package));
            None
        }
    }
}
