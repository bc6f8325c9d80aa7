//! What every step of a build gets.

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
use dkms_sys::jobserver::Jobserver;
use dkms_tree::ids::Build;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One running build: what its steps need besides the results of earlier steps.
pub(crate) struct Context<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    pub target: &'a Target,
    pub build: &'a Build,
    pub loaded: &'a Loaded,
    pub exclusion: &'a Exclusion,
    /// The build directory.
    pub dir: &'a Path,
    /// Every child of the build runs in it.
    pub sandbox: &'a BuildSandbox,
    pub pool: Option<&'a Jobserver>,
    pub held: &'a Held,
    /// `--force`
    pub force: bool,
    /// `--force` replaces a build that exists: it is compiled, whatever the cache has.
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

    /// The build, as its fingerprint describes it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            system: self.system,
            sink: self.sink,
            target: self.target,
            build: self.build,
            loaded: self.loaded,
            keep: true,
        }
    }

    /// Variables for the package's scripts, while these locks are held in addition to that of the package.
    pub(super) fn script_variables(&self, locks: &[Held]) -> Variables {
        let held = std::iter::once(self.held).chain(locks);
        recipe::script_variables(self.system, self.target, self.build, held)
    }
}

/// The cache that this build may use; `None` if it is switched off for this command or this package, or would
/// be a part of an image that has to be the same each time.
pub(super) fn cache(context: &Context<'_>) -> Option<Cache> {
    let cache = Cache::of(context.system).filter(|_| !context.loaded.conf.no_cache)?;
    let host = &context.system.host;
    if host.source_date_epoch().is_some() && host.other_root.is_none() && !cache.is_mounted() {
        return None;
    }
    match cache.distrust() {
        None => Some(cache),
        Some(why) => {
            // The files of another user say nothing to a user who cannot change this.
            if context.system.host.root {
                context
                    .system
                    .warn_about_cache(context.sink, format!("the cache of builds is not used: {why}"));
            }
            None
        }
    }
}
