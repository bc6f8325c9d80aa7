//! Executes the builds and installs of a plan: builds in parallel, installs as transactions. A failure stops
//! only what depends on it.
//!
//! **Threads.** The caller's thread is the scheduler. It starts a thread for each build that may start,
//! learns of its end through a channel, and does all the installing itself. A build that others wait for is
//! installed as soon as it is built, as a small transaction that leaves the depmod to the end. The rest is
//! installed group by group: when the last build of a group has ended, its installs are one transaction, with
//! one depmod for each kernel.
//!
//! **Parallel builds.** All builds of a command share one jobserver ([`dkms_sys::jobserver`]) with as many
//! slots as there are jobs. A build takes a slot before it runs any code of its package, and its make takes
//! more slots from the pool as they become free. So there are never more compilers than jobs, and never more
//! builds than slots. The build with the longest critical path starts first. While less memory is free than
//! `min_free_memory`, no further build starts beside a running one.
//!
//! **Locks.** A build takes the lock of its package version, which is shared by the builds of that version
//! here. Installing takes the kernels' locks. The installing thread holds no build lock while it waits for
//! those, and no build waits for a build lock while we hold a kernel's lock: see `lock.rs`.

mod context;
mod fallback;
mod groups;
mod inhibit;
mod installing;
mod results;
mod task;
mod watch;

pub use results::{Finished, Reporting, Results};
pub use task::Done;

use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::{Event, Queued, Sink};
use crate::install::Change;
use crate::plan::Plan;
use crate::request::Overrides;
use crate::system::System;
use context::BuildContext;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::manifest::BuildOrigin;
use inhibit::delay_shutdown;
use installing::install;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use task::{Foreseen, Group, Progress, Task, TaskId, Tasks, is_found_late, is_other_failure};
use watch::Watch;

/// The interval between messages about running builds.
const REPEAT_MESSAGE: Duration = Duration::from_secs(30);

/// The interval between checks of free memory and interrupts.
const CHECK_AGAIN: Duration = Duration::from_millis(500);

/// The interval between measurements of progress, if the sink follows it.
const MEASURE_AGAIN: Duration = Duration::from_millis(100);

/// Executes the builds and installs of a plan.
pub fn run(system: &System, sink: &dyn Sink, plan: &Plan, reporting: Reporting) -> Results {
    let tasks = Tasks::new(plan);
    let context = BuildContext::new(system, sink, &tasks, plan.overrides.force);
    crate::trust::signing::ask::ask_before(system, sink, tasks.to_build().map(|task| &task.build.kernel));
    let newest = |task: &&Task<'_>| task.instead_of.is_none();
    let queue: Vec<Queued> = tasks.to_build().filter(newest).map(|task| tasks.queued(task)).collect();
    if !queue.is_empty() {
        sink.event(Event::Queue { builds: queue });
    }
    let mut scheduler = Scheduler {
        system,
        sink,
        overrides: plan.overrides,
        reporting,
        context: &context,
        groups: tasks.groups(plan.transactions),
        tasks,
        changed: Vec::new(),
        stopped: None,
        last_message: Instant::now(),
        watch: Watch::new(system, sink),
    };
    let _shutdown_waits = delay_shutdown(&system.host, &scheduler.tasks);
    scheduler.run();
    context.leave_failed_builds(&scheduler.tasks);
    scheduler.results()
}

/// Decides which task runs when.
struct Scheduler<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    overrides: Overrides,
    reporting: Reporting,
    context: &'a BuildContext<'a>,
    tasks: Tasks<'a>,
    groups: Vec<Group>,
    changed: Vec<Kernel>,
    stopped: Option<Error>,
    /// When running builds were last reported.
    last_message: Instant,
    watch: Watch<'a>,
}

impl<'a> Scheduler<'a> {
    fn run(&mut self) {
        let context = self.context;
        self.report_foreseen();
        // Built packages that others wait for are installed first.
        for id in self.tasks.ids() {
            if self.is(id, Task::is_built) && self.tasks.is_awaited(id) {
                self.install_early(id);
                self.fail_dependents(id);
            }
        }
        std::thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            loop {
                self.begin_fallbacks();
                self.watch.measure(context.pool.as_ref(), self.tasks.iter());
                self.close_groups();
                while let Some((id, build, replace)) = self.next() {
                    self.report_fallback(id);
                    self.set(id, Progress::Running { since: Instant::now() });
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let make = || context.build(build, replace);
                        // The scheduler must be notified that the thread has ended, even after a panic,
                        // because other tasks wait for it.
                        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make))
                            .unwrap_or_else(|_| Err(BuildError::ThreadDied(build.clone()).into()));
                        // The receiver exists until all threads have ended.
                        let _ = sender.send((id, made));
                    });
                }
                if self.running() == 0 {
                    if self.fail_blocked() {
                        continue;
                    }
                    break;
                }
                let interval = if self.watch.is_followed() { MEASURE_AGAIN } else { CHECK_AGAIN };
                match ended.recv_timeout(interval) {
                    Ok((id, made)) => self.built(id, made),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.check_for_interrupt();
                        self.report_long_builds();
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        self.close_groups();
    }

    /// Reports the tasks that fail or are skipped according to the plan.
    fn report_foreseen(&mut self) {
        for id in self.tasks.ids() {
            let Some(task) = self.tasks.get_mut(id).filter(|task| task.is_waiting()) else { continue };
            match task.foreseen.take() {
                None => {}
                Some(Foreseen::Skipped(reason)) => self.skip(id, reason),
                Some(Foreseen::Failed(e)) => {
                    // A build would first report that the tree is not writable.
                    let writable =
                        if is_found_late(&e) { self.system.require_writable_tree() } else { Ok(()) };
                    match writable {
                        Ok(()) => self.fail(id, e),
                        Err(e) => self.stop(e),
                    }
                }
            }
        }
    }

    fn results(mut self) -> Results {
        for id in self.tasks.ids() {
            // The result of the newest version decides; the versions between are only attempts.
            if let Some(older) = self.tasks.replacement(id).cloned() {
                let is_newest = self.is(id, |task| task.instead_of.is_none());
                self.end(id, if is_newest { Done::Replaced(older) } else { Done::Dropped });
            }
        }
        let finished = |task: Task<'_>| Finished {
            build: task.build.clone(),
            optional: task.optional,
            origin: task.origin,
            done: match task.progress {
                Progress::Ended(done) => done,
                _ => Done::Dropped,
            },
        };
        let is_result = |task: &Task<'_>| {
            task.instead_of.is_none() || !matches!(task.progress, Progress::Ended(Done::Dropped))
        };
        let finished = self.tasks.into_vec().into_iter().filter(is_result).map(finished).collect();
        Results { finished, changed: self.changed, stopped: self.stopped }
    }

    /// Reports from time to time that long builds are still running.
    fn report_long_builds(&mut self) {
        let now = Instant::now();
        let running = |task: &Task<'_>| match &task.progress {
            Progress::Running { since } => Some((task.build.clone(), now.duration_since(*since))),
            _ => None,
        };
        let builds: Vec<(Build, Duration)> = self.tasks.iter().filter_map(running).collect();
        let longest = builds.iter().map(|(_, duration)| *duration).max();
        let is_due = now.duration_since(self.last_message) >= REPEAT_MESSAGE;
        if is_due && longest.is_some_and(|duration| duration >= REPEAT_MESSAGE) {
            self.last_message = now;
            self.sink.event(Event::StillBuilding { builds });
        }
    }

    fn set(&mut self, id: TaskId, progress: Progress) {
        if let Some(task) = self.tasks.get_mut(id) {
            task.progress = progress;
        }
    }

    fn is(&self, id: TaskId, question: impl Fn(&Task<'a>) -> bool) -> bool {
        self.tasks.get(id).is_some_and(question)
    }

    fn running(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_running()).count()
    }

    fn end(&mut self, id: TaskId, done: Done) {
        self.set(id, Progress::Ended(done));
    }

    /// Drops the waiting tasks for which `choose` returns true, without a report.
    fn drop_waiting(&mut self, choose: impl Fn(&Task<'a>) -> bool) {
        for id in self.tasks.ids() {
            if self.is(id, |task| task.is_waiting() && choose(task)) {
                self.end(id, Done::Dropped);
            }
        }
    }

    fn check_for_interrupt(&mut self) {
        if let Some(signal) = dkms_sys::signal::interrupted() {
            self.stop(Error::Interrupted(signal));
        }
    }

    /// Stops the command: nothing more is started.
    fn stop(&mut self, e: Error) {
        self.drop_waiting(|_| true);
        self.stopped.get_or_insert(e);
    }

    /// Returns the build to start now, if one may start: its task, and whether it replaces an earlier build.
    fn next(&self) -> Option<(TaskId, &'a Build, bool)> {
        let running = self.running();
        if running >= self.context.most || self.stopped.is_some() || (running > 0 && !self.memory_is_free()) {
            return None;
        }
        // Among equals, the first in the list is chosen.
        let ready = self.tasks.iter().filter(|task| task.is_waiting() && self.may_begin(task));
        let first = ready.rev().max_by(|a, b| a.critical_path.total_cmp(&b.critical_path))?;
        Some((first.id, first.build, first.make?))
    }

    fn memory_is_free(&self) -> bool {
        let floor = self.system.settings.framework.min_free_memory.unwrap_or(512).saturating_mul(1024 * 1024);
        dkms_sys::sys::available_memory().is_none_or(|free| free >= floor)
    }

    fn may_begin(&self, task: &Task<'_>) -> bool {
        let is_ready = task.make.is_some()
            && task.instead_of.is_none_or(|newer| self.is(newer, Task::cannot_be_built))
            && task.after.iter().all(|id| self.tasks.outcome(*id) == Some(true));
        let beside = |other: &Task<'_>| other.is_running() && other.build.package == task.build.package;
        is_ready && (self.context.private || !self.tasks.iter().any(beside))
    }

    /// Handles the end of a build.
    fn built(&mut self, id: TaskId, made: Result<Option<BuildOrigin>>) {
        if let (Ok(origin), Some(task)) = (&made, self.tasks.get_mut(id)) {
            task.origin.clone_from(origin);
        }
        match made {
            Ok(_) if self.is(id, |task| !task.install) => self.end(id, Done::Built),
            Ok(_) => {
                self.set(id, Progress::Built);
                if self.tasks.is_awaited(id) {
                    self.install_early(id);
                }
            }
            Err(Error::Build(BuildError::Excluded { reason, .. })) => self.skip(id, reason),
            Err(e) if e.ends_the_command() => {
                self.end(id, Done::Dropped);
                self.stop(e);
            }
            Err(e) => self.fail(id, Arc::new(e)),
        }
        self.fail_dependents(id);
    }

    fn skip(&mut self, id: TaskId, reason: String) {
        let Some(task) = self.tasks.get(id) else { return };
        if self.reporting != Reporting::Nothing {
            self.sink.event(Event::Skipped { build: task.build.clone(), reason: reason.clone() });
        }
        self.end(id, Done::Skipped(reason));
    }

    fn fail(&mut self, id: TaskId, e: Arc<Error>) {
        let Some(task) = self.tasks.get(id) else { return };
        let (build, optional) = (task.build, task.optional);
        if optional {
            self.sink.warn(format!("{build} could not be rebuilt: {e}"));
        } else if self.is_reported(&e) {
            self.sink.event(Event::Failed { build: build.clone(), error: e.clone() });
        }
        let lacks_headers = matches!(*e, Error::Build(BuildError::HeadersMissing { .. }));
        self.end(id, Done::Failed(e));
        if lacks_headers {
            // The reason applies to all builds for that kernel, and is reported once.
            self.drop_waiting(|task| task.build.kernel == build.kernel && !is_other_failure(task));
        }
    }

    fn is_reported(&self, e: &Error) -> bool {
        let Error::Build(BuildError::HeadersMissing { release, .. }) = e else {
            return self.reporting != Reporting::Nothing;
        };
        let same = |task: &Task<'_>| match task.done() {
            Some(Done::Failed(e)) => {
                matches!(&**e, Error::Build(BuildError::HeadersMissing { release: other, .. }) if other == release)
            }
            _ => false,
        };
        // Another build that ran at the same time may have failed for the same reason.
        self.reporting == Reporting::Each && !self.tasks.iter().any(same)
    }

    /// Fails the dependents of a task that failed or was skipped.
    fn fail_dependents(&mut self, id: TaskId) {
        let versions = self.tasks.versions(id);
        // As long as an older version may be installed instead, nothing has failed.
        if versions.first().is_none_or(|first| self.tasks.outcome(*first) != Some(false)) {
            return;
        }
        let Some(failed) = self.tasks.get(id) else { return };
        let (dependency, optional) = (failed.build.package.clone(), failed.optional);
        let what = match failed.done() {
            Some(Done::Skipped(_)) => "is not meant for this kernel",
            _ => "failed to install for this kernel",
        };
        for dependent in self.tasks.ids() {
            let Some(task) = self.tasks.get(dependent) else { continue };
            if !(task.is_waiting() || task.is_built())
                || !task.after.iter().any(|other| versions.contains(other))
            {
                continue;
            }
            if optional || task.optional {
                // The state before the rebuild stays.
                self.end(dependent, Done::Dropped);
            } else {
                let (build, dependency) = (task.build.clone(), dependency.clone());
                self.fail(
                    dependent,
                    Arc::new(Error::Build(BuildError::DependencyFailed { build, dependency, what })),
                );
            }
            self.fail_dependents(dependent);
        }
    }

    /// Fails tasks that wait for something that never happens. There should be none, but an error is better
    /// than waiting forever.
    fn fail_blocked(&mut self) -> bool {
        let waiting: Vec<TaskId> = self.tasks.ids().filter(|id| self.is(*id, Task::is_waiting)).collect();
        for id in &waiting {
            let Some(build) = self.tasks.get(*id).map(|task| task.build.clone()) else { continue };
            let missing = vec!["what will not be built".to_owned()];
            self.fail(*id, Arc::new(Error::Build(BuildError::DependsMissing { build, missing })));
        }
        !waiting.is_empty()
    }

    /// Installs a task against which others are built.
    fn install_early(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        let kernel = std::slice::from_ref(&task.build.kernel);
        let done = Change::begin(self.system, self.sink, kernel, self.overrides).and_then(|mut change| {
            let outcome = install(self.system, self.sink, &mut change, task);
            match outcome {
                Ok(outcome) => change.finish_without_depmod().map(|()| outcome),
                Err(e) => Err(change.abandon_because(e)),
            }
        });
        match done {
            Ok(outcome) => {
                self.end(id, Done::from(outcome));
                if let Some(task) = self.tasks.get_mut(id) {
                    task.installed_early = true;
                }
            }
            Err(e) => self.fail(id, Arc::new(e)),
        }
    }
}
