//! The scheduler: executes the builds and installs of a plan. Builds run in parallel, and installs are
//! transactions. A failure stops only its dependents.
//!
//! **Threads.** The scheduler runs in the caller's thread. It starts a thread for each build that may start,
//! and receives the results through a channel. It does all installs itself. If other builds depend on a
//! build, it is installed as soon as it is built, in a separate transaction without depmod. All other
//! installs are grouped: when the last build of a group has ended, its installs are one transaction, with one
//! depmod for each kernel.
//!
//! **Parallel builds.** All builds of a command share one jobserver ([`dkms_sys::jobserver`]), which has one
//! slot for each job. A build takes a slot before it runs any code of its package, and its make takes more
//! slots when they are free. So the number of running compilers and of running builds never exceeds the
//! number of jobs. The build with the longest critical path starts first. While less memory is free than
//! `min_free_memory`, no further build starts.
//!
//! **Locks.** A build takes the lock of its package version. All builds of this version in this process share
//! the lock. An install takes the locks of the kernels. The scheduler holds no build lock while it waits for
//! these locks, and no build waits for a build lock while the scheduler holds the lock of a kernel: see
//! `lock.rs`.

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

use crate::build::{BuildError, DependencyFailure};
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

/// Executes the builds and installs of a plan. Failures are part of the results.
pub fn run(system: &System, sink: &dyn Sink, plan: &Plan, reporting: Reporting) -> Results {
    let tasks = Tasks::new(plan);
    let context = BuildContext::new(system, sink, &tasks, plan.overrides.force);
    crate::trust::signing::ask::ask_before(system, sink, tasks.to_build().map(|task| &task.build.kernel));
    let is_newest = |task: &&Task<'_>| task.instead_of.is_none();
    let queue: Vec<Queued> = tasks.to_build().filter(is_newest).map(|task| tasks.queued(task)).collect();
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
    context.keep_failed_builds(&scheduler.tasks);
    scheduler.results()
}

/// Executes tasks in their order.
struct Scheduler<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    overrides: Overrides,
    reporting: Reporting,
    context: &'a BuildContext<'a>,
    tasks: Tasks<'a>,
    groups: Vec<Group>,
    /// Kernels whose modules have changed.
    changed: Vec<Kernel>,
    /// The error that ends the command early.
    stopped: Option<Error>,
    /// When long builds were last reported.
    last_message: Instant,
    watch: Watch<'a>,
}

impl<'a> Scheduler<'a> {
    fn run(&mut self) {
        let context = self.context;
        self.report_foreseen();
        // Existing builds that others depend on are installed first.
        for id in self.tasks.ids() {
            if self.task_is(id, Task::is_built) && self.tasks.is_awaited(id) {
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
                while let Some((id, build, replace)) = self.next_build() {
                    self.report_fallback(id);
                    self.set_progress(id, Progress::Running { since: Instant::now() });
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let run = || context.build(build, replace);
                        // The scheduler waits for the result, even after a panic.
                        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
                            .unwrap_or_else(|_| Err(BuildError::ThreadDied(build.clone()).into()));
                        // This cannot fail: the receiver exists until all threads have ended.
                        let _ = sender.send((id, result));
                    });
                }
                if self.count_running() == 0 {
                    if self.fail_blocked() {
                        continue;
                    }
                    break;
                }
                let interval = if self.watch.is_followed() { MEASURE_AGAIN } else { CHECK_AGAIN };
                match ended.recv_timeout(interval) {
                    Ok((id, result)) => self.build_ended(id, result),
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

    /// Reports the failures and the skipped builds of the plan.
    fn report_foreseen(&mut self) {
        for id in self.tasks.ids() {
            let Some(task) = self.tasks.get_mut(id).filter(|task| task.is_waiting()) else { continue };
            match task.foreseen.take() {
                None => {}
                Some(Foreseen::Skipped(reason)) => self.skip(id, reason),
                Some(Foreseen::Failed(e)) => {
                    // In these cases, an executed build would first report that the tree is not writable.
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
            // If an older version was installed instead, only the newest version has a result.
            if let Some(older) = self.tasks.replacement(id).cloned() {
                let is_newest = self.task_is(id, |task| task.instead_of.is_none());
                self.end_task(id, if is_newest { Done::Replaced(older) } else { Done::Dropped });
            }
        }
        let finished = |task: Task<'_>| {
            let done = match task.progress {
                Progress::Ended(Done::Dropped) if task.instead_of.is_some() => return None,
                Progress::Ended(done) => done,
                _ => Done::Dropped,
            };
            let (build, optional, origin) = (task.build.clone(), task.optional, task.origin);
            Some(Finished { build, optional, origin, done })
        };
        let finished = self.tasks.into_vec().into_iter().filter_map(finished).collect();
        Results { finished, changed: self.changed, stopped: self.stopped }
    }

    /// Reports at regular intervals that long builds are still running.
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

    fn set_progress(&mut self, id: TaskId, progress: Progress) {
        if let Some(task) = self.tasks.get_mut(id) {
            task.progress = progress;
        }
    }

    fn task_is(&self, id: TaskId, condition: impl Fn(&Task<'a>) -> bool) -> bool {
        self.tasks.get(id).is_some_and(condition)
    }

    fn count_running(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_running()).count()
    }

    fn end_task(&mut self, id: TaskId, done: Done) {
        self.set_progress(id, Progress::Ended(done));
    }

    /// Drops the waiting tasks for which `choose` returns true, without a report.
    fn drop_waiting(&mut self, choose: impl Fn(&Task<'a>) -> bool) {
        for id in self.tasks.ids() {
            if self.task_is(id, |task| task.is_waiting() && choose(task)) {
                self.end_task(id, Done::Dropped);
            }
        }
    }

    fn check_for_interrupt(&mut self) {
        if let Some(signal) = dkms_sys::signal::interrupted() {
            self.stop(Error::Interrupted(signal));
        }
    }

    /// Ends the command early. No further task is started.
    fn stop(&mut self, e: Error) {
        self.drop_waiting(|_| true);
        self.stopped.get_or_insert(e);
    }

    /// Returns the build to start now, with its task, and whether it replaces an earlier build. Returns
    /// `None` if no build may start now.
    fn next_build(&self) -> Option<(TaskId, &'a Build, bool)> {
        let running = self.count_running();
        if running >= self.context.max_builds
            || self.stopped.is_some()
            || (running > 0 && !self.memory_is_free())
        {
            return None;
        }
        // Among builds with equal critical paths, the first of the list starts.
        let ready = self.tasks.iter().filter(|task| task.is_waiting() && self.may_start(task));
        let first = ready.rev().max_by(|a, b| a.critical_path.total_cmp(&b.critical_path))?;
        Some((first.id, first.build, first.make?))
    }

    /// Returns whether there is enough free memory for another build.
    fn memory_is_free(&self) -> bool {
        let minimum =
            self.system.settings.framework.min_free_memory.unwrap_or(512).saturating_mul(1024 * 1024);
        dkms_sys::sys::available_memory().is_none_or(|free| free >= minimum)
    }

    fn may_start(&self, task: &Task<'_>) -> bool {
        let is_ready = task.make.is_some()
            && task.instead_of.is_none_or(|newer| self.task_is(newer, Task::cannot_be_built))
            && task.after.iter().all(|id| self.tasks.outcome(*id) == Some(true));
        let conflicts = |other: &Task<'_>| other.is_running() && other.build.package == task.build.package;
        is_ready && (self.context.private || !self.tasks.iter().any(conflicts))
    }

    /// Handles the result of a build.
    fn build_ended(&mut self, id: TaskId, result: Result<Option<BuildOrigin>>) {
        if let (Ok(origin), Some(task)) = (&result, self.tasks.get_mut(id)) {
            task.origin.clone_from(origin);
        }
        match result {
            Ok(_) if self.task_is(id, |task| !task.install) => self.end_task(id, Done::Built),
            Ok(_) => {
                self.set_progress(id, Progress::Built);
                if self.tasks.is_awaited(id) {
                    self.install_early(id);
                }
            }
            Err(Error::Build(BuildError::Excluded { reason, .. })) => self.skip(id, reason),
            Err(e) if e.ends_the_command() => {
                self.end_task(id, Done::Dropped);
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
        self.end_task(id, Done::Skipped(reason));
    }

    fn fail(&mut self, id: TaskId, e: Arc<Error>) {
        let Some(task) = self.tasks.get(id) else { return };
        let (build, optional) = (task.build, task.optional);
        if optional {
            self.sink.warn(format!("{build} could not be rebuilt: {e}"));
        } else if self.is_reported(&e) {
            self.sink.event(Event::Failed { build: build.clone(), error: e.clone() });
        }
        let lacks_headers = matches!(*e, Error::Build(BuildError::HeadersMissing(_)));
        self.end_task(id, Done::Failed(e));
        if lacks_headers {
            // All other builds for this kernel would fail for the same reason, which is reported once.
            self.drop_waiting(|task| task.build.kernel == build.kernel && !is_other_failure(task));
        }
    }

    fn is_reported(&self, e: &Error) -> bool {
        let Error::Build(BuildError::HeadersMissing(missing)) = e else {
            return self.reporting != Reporting::Nothing;
        };
        let is_reported = |task: &Task<'_>| {
            let other = task.done().and_then(Done::headers_missing);
            other.is_some_and(|other| other.release == missing.release)
        };
        // Another build that ran at the same time may have failed for the same reason.
        self.reporting == Reporting::Each && !self.tasks.iter().any(is_reported)
    }

    /// Fails the dependents of a task that failed or was skipped.
    fn fail_dependents(&mut self, id: TaskId) {
        let versions = self.tasks.versions(id);
        // If an older version may be installed instead, the dependents still wait.
        if versions.first().is_none_or(|first| self.tasks.outcome(*first) != Some(false)) {
            return;
        }
        let Some(failed) = self.tasks.get(id) else { return };
        let (dependency, optional) = (failed.build.package.clone(), failed.optional);
        let reason = match failed.done() {
            Some(Done::Skipped(_)) => DependencyFailure::Excluded,
            _ => DependencyFailure::Failed,
        };
        for dependent in self.tasks.ids() {
            let Some(task) = self.tasks.get(dependent) else { continue };
            if !(task.is_waiting() || task.is_built())
                || !task.after.iter().any(|other| versions.contains(other))
            {
                continue;
            }
            if optional || task.optional {
                // The state before the rebuild is kept.
                self.end_task(dependent, Done::Dropped);
            } else {
                let (build, dependency) = (task.build.clone(), dependency.clone());
                let error = BuildError::DependencyFailed { build, dependency, reason };
                self.fail(dependent, Arc::new(error.into()));
            }
            self.fail_dependents(dependent);
        }
    }

    /// Fails tasks that would wait forever, and returns whether there were any. The plan should not contain
    /// such tasks, but an error is better than an endless wait.
    fn fail_blocked(&mut self) -> bool {
        let waiting: Vec<TaskId> =
            self.tasks.ids().filter(|id| self.task_is(*id, Task::is_waiting)).collect();
        for id in &waiting {
            let Some(build) = self.tasks.get(*id).map(|task| task.build.clone()) else { continue };
            let missing = vec!["what will not be built".to_owned()];
            self.fail(*id, Arc::new(Error::Build(BuildError::DependsMissing { build, missing })));
        }
        !waiting.is_empty()
    }

    /// Installs a build that other builds depend on, without waiting for its group.
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
                self.end_task(id, Done::from(outcome));
                if let Some(task) = self.tasks.get_mut(id) {
                    task.installed_early = true;
                }
            }
            Err(e) => self.fail(id, Arc::new(e)),
        }
    }
}
