//! The build context: the state that all builds of a command share.

use super::task::{Done, Tasks};
use crate::build::{self, BuildError, BuildOptions, Target};
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::host::Host;
use crate::lock::{self, Held};
use crate::system::System;
use dkms_sys::jobserver::Jobserver;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::BuildOrigin;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The state that all builds of a command share.
pub(super) struct BuildContext<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    /// `--force`
    force: bool,
    /// The job slots; `None` if the number of jobs is not limited, or if a jobserver cannot be created.
    pub(super) pool: Option<Jobserver>,
    /// The maximum number of builds that run at the same time.
    pub(super) max_builds: usize,
    /// Whether each build has a private build directory, so that builds of one package can run at the same
    /// time.
    pub(super) private: bool,
    targets: Mutex<HashMap<Kernel, Arc<Target>>>,
    locks: Mutex<HashMap<PackageId, Arc<Mutex<Weak<Held>>>>>,
}

impl<'a> BuildContext<'a> {
    /// Creates the context for the builds among these tasks.
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, tasks: &Tasks<'_>, force: bool) -> Self {
        let cpus = system.host.cpus.max(1);
        let jobs = system.settings.jobs.unwrap_or(u32::try_from(cpus).unwrap_or(1));
        let pool = if jobs == 0 { None } else { Jobserver::new(jobs).ok() };
        let max_builds = match (&pool, jobs) {
            (Some(pool), _) => pool.slots() as usize,
            (None, 0) => cpus,
            // Without a jobserver, each make uses all jobs.
            (None, _) => 1,
        };
        let packages = || tasks.to_build().map(|task| &task.build.package);
        let several = packages().any(|p| packages().filter(|o| *o == p).count() > 1);
        let private = several && dkms_sys::mount::is_available();
        if several && !private {
            sink.warn("private mounts are not permitted here, so the builds of one package for several kernels queue");
        }
        Self {
            system,
            sink,
            force,
            pool,
            max_builds,
            private,
            targets: Mutex::new(HashMap::new()),
            locks: Mutex::new(HashMap::new()),
        }
    }

    /// Runs one build, in the thread of its task. Returns the origin of its modules; `None` if another dkms
    /// has built it in the meantime.
    pub(super) fn build(&self, build: &Build, replace: bool) -> Result<Option<BuildOrigin>> {
        // BUILD_EXCLUSIVE and errors in dkms.conf are reported before missing headers.
        let configuration = build::configuration(
            self.system,
            self.sink,
            build,
            &crate::conf::load::conf_file(&self.system.layout, &self.system.settings, &build.package),
        )?;
        self.system.require_writable_tree()?;
        let target = self.target(&build.kernel)?;
        let held = self.package_lock(&build.package)?;
        let options = BuildOptions {
            force: self.force,
            replace,
            private: self.private,
            pool: self.pool.as_ref(),
            held: &held,
        };
        build::build(self.system, self.sink, &target, build, &configuration, &options)
            .inspect_err(|e| report_to_apport(&self.system.host, build, e))
    }

    /// Returns the facts about a kernel, which are gathered once per command.
    fn target(&self, kernel: &Kernel) -> Result<Arc<Target>> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(kernel) {
            return Ok(target.clone());
        }
        let target = Arc::new(Target::prepare(self.system, self.sink, kernel)?);
        targets.insert(kernel.clone(), target.clone());
        Ok(target)
    }

    /// Acquires the lock of a package version. All builds of this version in this process share the lock.
    fn package_lock(&self, package: &PackageId) -> Result<Arc<Held>> {
        let shared = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(package.clone()).or_default().clone()
        };
        let mut current = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = current.upgrade() {
            return Ok(held);
        }
        let held = Arc::new(lock::build(self.system, self.sink, package)?);
        *current = Arc::downgrade(&held);
        Ok(held)
    }

    /// Moves the private directory of the first failed build of each package to `M/V/build`, so that the user
    /// can examine it, and removes the others. Called after all builds have ended, because removing a
    /// directory removes the mounts on it.
    pub(super) fn keep_failed_builds(&self, tasks: &Tasks<'_>) {
        if !self.private {
            return;
        }
        let mut packages_kept: Vec<&PackageId> = Vec::new();
        for task in tasks.to_build() {
            let package = &task.build.package;
            let private = self.system.layout.private_build_dir(task.build);
            let build = self.system.layout.build_dir(package);
            let Ok(_held) = self.package_lock(package) else { continue };
            if dkms_sys::fs::exists(&private) {
                let failed = matches!(task.done(), Some(Done::Failed(_)));
                let is_kept = failed && !packages_kept.contains(&package);
                let removed = dkms_sys::fs::remove_tree(if is_kept { &build } else { &private });
                if is_kept && removed.is_ok() {
                    let _ = dkms_sys::fs::rename(&private, &build);
                    packages_kept.push(package);
                }
            }
            // This directory was the mount point of the private directories.
            if !packages_kept.contains(&package) {
                let _ = dkms_sys::fs::remove_dir(&build);
            }
        }
    }
}

/// Reports a failed build to Ubuntu's crash reporter, if the package caused the failure.
fn report_to_apport(host: &Host, build: &Build, e: &Error) {
    if matches!(
        e,
        Error::Build(
            BuildError::MakeFailed { .. }
                | BuildError::PatchFailed { .. }
                | BuildError::PatchOutside(_)
                | BuildError::PatchMissing { .. }
                | BuildError::ModuleFileMissing { .. }
        )
    ) {
        crate::hooks::apport(host, build);
    }
}
