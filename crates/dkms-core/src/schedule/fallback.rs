//! `fallback=yes`: decides whether the older versions of a plan are needed.

use super::Scheduler;
use super::task::{Done, Progress, Task, TaskId};
use dkms_tree::ids::Build;

impl Scheduler<'_> {
    /// Drops the older versions whose newer one is built, and begins those whose newer one cannot be built. A
    /// build among them then starts like any other.
    pub(super) fn begin_fallbacks(&mut self) {
        for id in self.tasks.ids() {
            let waiting = self.tasks.get(id).filter(|task| task.is_waiting());
            let Some(newer) = waiting.and_then(|task| task.instead_of) else { continue };
            if self.is(newer, |task| task.is_built() || task.done().is_some() && !task.cannot_be_built()) {
                self.end(id, Done::Dropped);
            } else if self.is(newer, Task::cannot_be_built) && self.is(id, |task| task.make.is_none()) {
                self.report_fallback(id);
                let is_installed = self.is(id, |task| !task.install);
                self.set(id, if is_installed { Progress::Ended(Done::Nothing) } else { Progress::Built });
                if !is_installed && self.tasks.is_awaited(id) {
                    self.install_early(id);
                }
            }
        }
    }

    /// If this task installs an older version instead of a newer version, reports it.
    pub(super) fn report_fallback(&self, id: TaskId) {
        let build_of = |id: TaskId| self.tasks.get(id).map(|task| task.build);
        let newer = self.tasks.get(id).and_then(|task| task.instead_of);
        let (Some(Build { package, kernel }), Some(newer)) = (build_of(id), newer.and_then(build_of)) else {
            return;
        };
        let (newer, release) = (&newer.package, &kernel.release);
        self.sink.warn(format!(
            "{newer} cannot be built for kernel {release}; falling back to {package} (fallback=yes)"
        ));
    }
}
