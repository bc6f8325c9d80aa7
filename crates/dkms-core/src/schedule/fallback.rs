//! `fallback=yes`: determines whether the older versions of a plan are needed.

use super::Scheduler;
use super::task::{Done, Progress, Task, TaskId};
use dkms_tree::ids::Build;

impl Scheduler<'_> {
    /// Drops the older versions whose newer version is built, and continues with those whose newer version
    /// cannot be built. If such an older version has to be built, its build may start from now on.
    pub(super) fn begin_fallbacks(&mut self) {
        for id in self.tasks.ids() {
            let waiting = self.tasks.get(id).filter(|task| task.is_waiting());
            let Some(newer) = waiting.and_then(|task| task.instead_of) else { continue };
            if self.task_is(newer, |task| task.is_built() || task.done().is_some() && !task.cannot_be_built())
            {
                self.end_task(id, Done::Dropped);
            } else if self.task_is(newer, Task::cannot_be_built)
                && self.task_is(id, |task| task.make.is_none())
            {
                self.report_fallback(id);
                let is_installed = self.task_is(id, |task| !task.install);
                self.set_progress(
                    id,
                    if is_installed { Progress::Ended(Done::Nothing) } else { Progress::Built },
                );
                if !is_installed && self.tasks.is_awaited(id) {
                    self.install_early(id);
                }
            }
        }
    }

    /// Prints a warning if this task installs an older version because the newer version cannot be built.
    pub(super) fn report_fallback(&self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        let Some(newer) = task.instead_of.and_then(|newer| self.tasks.get(newer)) else { return };
        let Build { package, kernel } = task.build;
        let (newer, release) = (&newer.build.package, &kernel.release);
        self.sink.warn(format!(
            "{newer} cannot be built for kernel {release}; falling back to {package} (fallback=yes)"
        ));
    }
}
