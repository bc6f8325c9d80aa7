//! The data that all steps of a running build share.

use super::environment::Variables;
use super::log::MakeLog;
use super::mark::Mark;
use super::recipe;
use super::sandbox::BuildSandbox;
use super::subject::Subject;
use super::target::Target;
use crate::cache::Cache;
use crate::conf::load::{Exclusion, Loaded};
use crate::event::{Event, Sink};
use crate::lock::Held;
use crate::system::System;
use dkms_conf::module_conf::ModuleEntry;
use dkms_sys::jobserver::Jobserver;
use dkms_tree::ids::Build;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A running build. Its steps receive this and the results of earlier steps.
pub(crate) struct Context<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    pub target: &'a Target,
    pub build: &'a Build,
    pub loaded: &'a Loaded,
    pub exclusion: &'a Exclusion,
    /// The build directory.
    pub dir: &'a Path,
    /// All commands of the build run in it.
    pub sandbox: &'a BuildSandbox,
    /// The job slots; `None` if the number of jobs is not limited.
    pub pool: Option<&'a Jobserver>,
    /// The lock of the package version.
    pub held: &'a Held,
    /// `--force`
    pub force: bool,
    /// `--force` for an existing build: the package is compiled, even if the cache contains the build.
    pub rebuild: bool,
    pub log: &'a MakeLog,
    pub started: Instant,
    pub(super) mark: Mutex<Mark>,
}

impl Context<'_> {
    pub(super) fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that a stage begins.
    pub(super) fn stage(&self, stage: &str) {
        self.sink.event(Event::BuildStage { build: self.build.clone(), stage: stage.to_owned() });
    }

    /// The package and the kernel, without the state of the running build.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            system: self.system,
            sink: self.sink,
            target: self.target,
            build: self.build,
            loaded: self.loaded,
            store_digests: true,
        }
    }

    /// The modules in dkms.conf, without those that BUILD_EXCLUSIVE excludes for this kernel.
    pub(super) fn modules(&self) -> impl Iterator<Item = &ModuleEntry> {
        let entries = self.loaded.conf.modules.iter().zip(&self.exclusion.modules);
        entries.filter_map(|(entry, excluded)| excluded.is_none().then_some(entry))
    }

    /// Variables for the package's scripts. `locks` are held in addition to the lock of the package version.
    pub(super) fn script_variables(&self, locks: &[Held]) -> Variables {
        let held = std::iter::once(self.held).chain(locks);
        recipe::script_variables(self.system, self.target, self.build, held)
    }
}

/// The cache that this build may use; `None` if the cache is disabled for this command or this package, or if
/// it would become part of a reproducible image.
pub(super) fn cache(context: &Context<'_>) -> Option<Cache> {
    let cache = Cache::of(context.system).filter(|_| !context.loaded.conf.no_cache)?;
    let host = &context.system.host;
    if host.source_date_epoch().is_some() && host.other_root.is_none() && !cache.is_mounted() {
        return None;
    }
    match cache.distrust() {
        None => Some(cache),
        Some(why) => {
            // Only root can change the files that this warning is about.
            if host.root {
                let text = format!("the cache of builds is not used: {why}");
                context.system.warn_about_cache(context.sink, text);
            }
            None
        }
    }
}
