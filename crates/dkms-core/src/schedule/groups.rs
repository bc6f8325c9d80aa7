//! Installs the groups of a command. A group is one transaction, with one depmod for each kernel.

use super::Scheduler;
use super::installing::install;
use super::task::{Done, Task, TaskId};
use crate::error::{Error, Result};
use crate::install::{Change, Ending};
use dkms_tree::ids::{Build, Kernel};
use std::sync::Arc;

impl Scheduler<'_> {
    /// Installs the groups whose builds have all ended.
    pub(super) fn close_groups(&mut self) {
        let mut groups = std::mem::take(&mut self.groups);
        for group in groups.iter_mut().filter(|group| !group.closed) {
            let has_ended = |id: &TaskId| self.task_is(*id, |task| task.is_built() || task.done().is_some());
            if !group.tasks.iter().all(has_ended) {
                continue;
            }
            group.closed = true;
            self.check_for_interrupt();
            if let Err(e) = self.install_group(&group.tasks) {
                self.group_failed(&group.tasks, e);
            }
        }
        self.groups = groups;
    }

    /// Handles a group whose transaction failed, so that nothing of it is installed.
    fn group_failed(&mut self, tasks: &[TaskId], e: Error) {
        let ends_the_command = e.ends_the_command();
        let mut reason = Some(e);
        for id in tasks.iter().copied() {
            if !self.task_is(id, Task::is_built) {
                continue;
            }
            match reason.take_if(|_| !ends_the_command) {
                Some(e) => self.fail(id, Arc::new(e)),
                None => self.end_task(id, Done::Dropped),
            }
        }
        if let Some(e) = reason {
            self.stop(e);
        }
    }

    /// Installs a group as one transaction.
    ///
    /// # Errors
    /// The whole transaction failed. The failure of one task is not an error.
    fn install_group(&mut self, group: &[TaskId]) -> Result<()> {
        let tasks = || group.iter().filter_map(|id| self.tasks.get(*id));
        let early: Vec<Build> =
            tasks().filter(|task| task.installed_early).map(|task| task.build.clone()).collect();
        let open: Vec<TaskId> = tasks().filter(|task| task.is_built()).map(|task| task.id).collect();
        let kernels: Vec<Kernel> = tasks()
            .filter(|task| task.installed_early || task.is_built())
            .map(|task| task.build.kernel.clone())
            .collect();
        if kernels.is_empty() {
            return Ok(());
        }
        if let (Some(Error::Interrupted(signal)), true) = (&self.stopped, early.is_empty()) {
            return Err(Error::Interrupted(*signal));
        }
        let mut change = Change::begin(self.system, self.sink, &kernels, self.overrides)?;
        for build in &early {
            change.take_responsibility(build)?;
        }
        for id in open {
            if dkms_sys::signal::interrupted().is_some() {
                break;
            }
            let Some(task) = self.tasks.get(id).filter(|task| task.is_built()) else { continue };
            match install(self.system, self.sink, &mut change, task) {
                Ok(outcome) => self.end_task(id, Done::from(outcome)),
                Err(e) => {
                    self.fail(id, Arc::new(e));
                    self.fail_dependents(id);
                }
            }
        }
        // Packages that were installed early stay installed, so depmod must run for them.
        let ending = if early.is_empty() { Ending::EachKernel } else { Ending::Uninterrupted };
        let finished = change.finish(ending)?;
        for (kernel, e) in finished.failed {
            self.roll_back(group, &kernel, e);
        }
        self.changed.extend(finished.changed);
        Ok(())
    }

    /// Handles the failure of depmod for a kernel. The installs of the group for this kernel were rolled
    /// back.
    fn roll_back(&mut self, group: &[TaskId], kernel: &Kernel, e: Error) {
        let mut first = Some(e);
        for id in group.iter().copied() {
            let is_installed = |task: &Task<'_>| {
                task.build.kernel == *kernel && matches!(task.done(), Some(Done::Installed))
            };
            if !self.task_is(id, is_installed) {
                continue;
            }
            match first.take() {
                Some(e) => self.fail(id, Arc::new(e)),
                None => self.end_task(id, Done::Dropped),
            }
        }
        if let Some(e) = first {
            self.sink.warn(e.to_string());
        }
    }
}
