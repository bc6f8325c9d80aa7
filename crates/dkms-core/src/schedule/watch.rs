//! Measures the progress of running builds: the job slots in use, and the compiled object files.

use super::task::Task;
use crate::build::objects::Follower;
use crate::event::{Compiled, Progress, Sink, SlotsInUse};
use crate::system::System;
use dkms_sys::jobserver::Jobserver;
use dkms_tree::ids::Build;
use std::collections::HashMap;

/// The state of the progress measurement.
pub(super) struct Watch<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    is_followed: bool,
    logs: HashMap<Build, Follower>,
    slots: Option<SlotsInUse>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink) -> Self {
        let is_followed = sink.follows_progress();
        Self { system, sink, is_followed, logs: HashMap::new(), slots: None }
    }

    /// Returns whether the sink shows the progress.
    pub(super) fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Measures the progress, and reports the changes since the last call.
    pub(super) fn measure<'t>(
        &mut self,
        pool: Option<&Jobserver>,
        tasks: impl Iterator<Item = &'t Task<'t>>,
    ) {
        if !self.is_followed {
            return;
        }
        let slots = pool.map(|pool| SlotsInUse { used: pool.in_use(), total: pool.slots() });
        let running: Vec<&Build> = tasks.filter(|task| task.is_running()).map(|task| task.build).collect();
        self.logs.retain(|build, _| running.contains(&build));
        let compiled: Vec<Compiled> = running.into_iter().filter_map(|build| self.compiled(build)).collect();
        if slots != self.slots || !compiled.is_empty() {
            self.slots = slots;
            self.sink.progress(Progress { slots, compiled });
        }
    }

    fn compiled(&mut self, build: &Build) -> Option<Compiled> {
        if !self.logs.contains_key(build) {
            // The log exists as soon as the source has been copied.
            let follower = Follower::new(&self.system.layout.running_log(build))?;
            self.logs.insert(build.clone(), follower);
        }
        let (objects, last) = self.logs.get_mut(build)?.read()?;
        Some(Compiled { build: build.clone(), objects, last })
    }
}
