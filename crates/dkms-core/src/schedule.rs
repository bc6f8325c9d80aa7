//! Carrying out a plan: builds side by side, installs as transactions, on with the others after a failure.
//!
//! **Who does what.** One thread, the one that called, decides: it starts a thread for each build when that may begin, hears
//! of its end through a channel, and does all the installing itself. A build that others wait for is installed as soon as it
//! is made, as a small transaction that leaves the depmod to the end. The rest is installed group by group: when the last
//! build of a group has ended, its installs are one transaction, with one depmod for each kernel.
//!
//! **How many.** All builds of a command share one jobserver ([`dkms_sys::jobserver`]) with as many slots as there are jobs.
//! A build takes a slot before it runs anything of its package, and its make takes the others out of the pool as they are
//! free; so there are never more compilers than jobs. No more builds are begun than there are slots, the one with the
//! longest way first, and none beside others while less memory is free than `min_free_memory`.
//!
//! **Locks.** Before a build, its package version's lock is taken (and shared by the builds of that version here);
//! installing takes the kernels' locks. The thread that installs holds no build lock while it waits for those, and no
//! build waits for a build lock while we hold a kernel's: see `lock.rs`.

mod workshop;

use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::{Event, Queued};
use crate::ids::Kernel;
use crate::install::InstallError;
use crate::install::{Change, Ending, Outcome};
use crate::plan::{Task, Work};
use crate::session::Session;
use crate::tree::state::{self, BuildState};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use workshop::Workshop;

/// What became of a task.
#[derive(Debug)]
pub enum Done {
    /// Made, and not to be installed.
    Built,
    /// In place.
    Installed,
    /// The kernel has the same modules already.
    Nothing,
    /// BUILD_EXCLUSIVE, with the reason.
    Skipped(String),
    /// It, or what it needs, failed.
    Failed(Error),
    /// Not begun, because of the error that ended everything for its kernel or for the command.
    Dropped,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// For each task.
    pub done: Vec<Option<Done>>,
    /// Kernels whose modules changed.
    pub changed: Vec<Kernel>,
    /// What ended the command before its end.
    pub stopped: Option<Error>,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Waits,
    Runs,
    /// It is built, and installed if others wait for it.
    Made,
    Ended,
}

/// Which failures are told as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// None: there is one task, and its failure is the command's.
    Nothing,
    /// Each.
    Each,
    /// Each but missing headers, which are the command's failure.
    AllButHeaders,
}

/// Carries out a plan. Failures are told with the exit code that `code` gives them.
pub fn run(s: &Session<'_>, work: &Work, code: &dyn Fn(&Error) -> u8, telling: Telling) -> Results {
    let workshop = Workshop::new(s, work);
    let making = || work.tasks.iter().filter(|t| t.make.is_some());
    crate::signing::ask::ask_before(s, making().map(|t| &t.build.kernel));
    let queue: Vec<Queued> =
        making().map(|t| Queued { build: t.build.clone(), expected: t.expected }).collect();
    if queue.len() > 1 {
        s.tell(Event::Queue { builds: queue });
    }
    let count = work.tasks.len();
    let mut foreman = Foreman {
        s,
        work,
        code,
        telling,
        workshop: &workshop,
        ways: work.ways(),
        at: work.tasks.iter().map(|t| if t.make.is_some() { At::Waits } else { At::Made }).collect(),
        results: Results { done: (0..count).map(|_| None).collect(), ..Results::default() },
        early: Vec::new(),
        closed: vec![false; work.groups.len()],
        begun: Vec::new(),
        told: Instant::now(),
    };
    foreman.all();
    workshop.leave_failed_builds(work, &foreman.results);
    foreman.results
}

/// Who decides what is done when.
struct Foreman<'a> {
    s: &'a Session<'a>,
    work: &'a Work,
    code: &'a dyn Fn(&Error) -> u8,
    telling: Telling,
    workshop: &'a Workshop<'a>,
    ways: Vec<f64>,
    at: Vec<At>,
    results: Results,
    /// Tasks that were installed before their group.
    early: Vec<usize>,
    closed: Vec<bool>,
    /// Builds that run, and since when.
    begun: Vec<(usize, Instant)>,
    /// When it was last said what runs.
    told: Instant,
}

/// How often it is said that a build goes on.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// How often is looked whether there is memory again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Foreman<'_> {
    fn all(&mut self) {
        let workshop = self.workshop;
        // What is built already and others wait for.
        for n in 0..self.at.len() {
            if self.is(n, At::Made) && self.work.is_awaited(n) {
                self.install_early(n);
                self.fail_dependents(n);
            }
        }
        std::thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            loop {
                self.close_groups();
                while let Some(n) = self.next() {
                    let Some(task) = self.work.tasks.get(n) else { break };
                    self.set(n, At::Runs);
                    self.begun.push((n, Instant::now()));
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let make = || workshop.make(&task.build, task.replace);
                        // Whatever happens there, its end is heard of: others wait for it.
                        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make))
                            .unwrap_or_else(|_| Err(BuildError::ThreadDied(task.build.clone()).into()));
                        // The receiver lives until all have ended.
                        let _ = sender.send((n, made));
                    });
                }
                if self.running() == 0 {
                    if self.at.contains(&At::Waits) && self.drop_blocked() {
                        continue;
                    }
                    break;
                }
                match ended.recv_timeout(LOOK_AGAIN) {
                    Ok((n, made)) => self.ended(n, made),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.look_for_interrupt();
                        self.tell_what_takes_long();
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        self.close_groups();
    }

    /// That it goes on, where a build takes long: once in a while, for all that run.
    fn tell_what_takes_long(&mut self) {
        let now = Instant::now();
        self.begun.retain(|(n, _)| self.at.get(*n) == Some(&At::Runs));
        let longest = self.begun.iter().map(|(_, since)| now.duration_since(*since)).max();
        if longest.is_none_or(|d| d < SAY_AGAIN) || now.duration_since(self.told) < SAY_AGAIN {
            return;
        }
        self.told = now;
        let build = |(n, since): &(usize, Instant)| {
            Some((self.work.tasks.get(*n)?.build.clone(), now.duration_since(*since)))
        };
        self.s.tell(Event::StillBuilding { builds: self.begun.iter().filter_map(build).collect() });
    }

    fn set(&mut self, n: usize, at: At) {
        if let Some(place) = self.at.get_mut(n) {
            *place = at;
        }
    }

    fn running(&self) -> usize {
        self.at.iter().filter(|a| **a == At::Runs).count()
    }

    fn is(&self, n: usize, at: At) -> bool {
        self.at.get(n) == Some(&at)
    }

    fn end(&mut self, n: usize, done: Done) {
        self.set(n, At::Ended);
        if let Some(place) = self.results.done.get_mut(n) {
            *place = Some(done);
        }
    }

    fn look_for_interrupt(&mut self) {
        if let Some(signal) = dkms_sys::signal::interrupted() {
            self.stop(Error::Interrupted(signal));
        }
    }

    /// Nothing more is begun.
    fn stop(&mut self, e: Error) {
        for n in 0..self.at.len() {
            if self.is(n, At::Waits) {
                self.end(n, Done::Dropped);
            }
        }
        self.results.stopped.get_or_insert(e);
    }

    /// The build to begin now, if one may.
    fn next(&self) -> Option<usize> {
        let running = self.running();
        if running >= self.workshop.most
            || self.results.stopped.is_some()
            || (running > 0 && !self.memory_is_free())
        {
            return None;
        }
        let ready = |n: &usize| self.is(*n, At::Waits) && self.may_begin(*n);
        let way = |n: usize| self.ways.get(n).copied().unwrap_or(0.0);
        // Of equals the first in the list.
        (0..self.at.len()).filter(ready).rev().max_by(|a, b| way(*a).total_cmp(&way(*b)))
    }

    fn memory_is_free(&self) -> bool {
        let floor = self.s.options.framework.min_free_memory.unwrap_or(512).saturating_mul(1024 * 1024);
        dkms_sys::sys::available_memory().is_none_or(|free| free >= floor)
    }

    fn may_begin(&self, n: usize) -> bool {
        let Some(task) = self.work.tasks.get(n) else { return false };
        let made = task.after.iter().all(|a| self.went_well(*a));
        let beside =
            |(o, other): (usize, &Task)| self.is(o, At::Runs) && other.build.package == task.build.package;
        made && (self.workshop.private || !self.work.tasks.iter().enumerate().any(beside))
    }

    fn went_well(&self, n: usize) -> bool {
        let done = self.results.done.get(n).and_then(Option::as_ref);
        matches!(done, Some(Done::Built | Done::Installed | Done::Nothing))
    }

    /// A build has ended.
    fn ended(&mut self, n: usize, made: Result<()>) {
        let Some(task) = self.work.tasks.get(n) else { return };
        match made {
            Ok(()) if task.install.is_none() => self.end(n, Done::Built),
            Ok(()) => {
                self.set(n, At::Made);
                if self.work.is_awaited(n) {
                    self.install_early(n);
                }
            }
            Err(Error::Build(BuildError::Excluded { reason, .. })) if self.telling != Telling::Nothing => {
                self.s.tell(Event::Skipped { build: task.build.clone(), reason: reason.clone() });
                self.end(n, Done::Skipped(reason));
            }
            Err(e) if e.ends_the_command() => {
                self.end(n, Done::Dropped);
                self.stop(e);
            }
            Err(e) => self.fail(n, e),
        }
        self.fail_dependents(n);
    }

    fn fail(&mut self, n: usize, e: Error) {
        let Some(task) = self.work.tasks.get(n) else { return };
        if let Error::Build(BuildError::HeadersMissing { .. }) = e {
            // So it would be for all of that kernel, and once is enough to say it.
            for (o, other) in self.work.tasks.iter().enumerate() {
                if other.build.kernel == task.build.kernel && self.is(o, At::Waits) {
                    self.end(o, Done::Dropped);
                }
            }
        }
        if task.optional {
            self.s.warn(format!("{} could not be built anew: {e}", task.build));
        } else if self.is_to_be_told(&e) {
            let error = std::iter::once(e.to_string()).chain(e.help()).collect::<Vec<_>>().join("\n");
            self.s.tell(Event::Failed { build: task.build.clone(), code: (self.code)(&e), error });
        }
        self.end(n, Done::Failed(e));
    }

    fn is_to_be_told(&self, e: &Error) -> bool {
        let Error::Build(BuildError::HeadersMissing { release, .. }) = e else {
            return self.telling != Telling::Nothing;
        };
        let same = |d: &Option<Done>| match d {
            Some(Done::Failed(Error::Build(BuildError::HeadersMissing { release: other, .. }))) => {
                other == release
            }
            _ => false,
        };
        // Another build that ran at the same time may have found the same.
        self.telling == Telling::Each && !self.results.done.iter().any(same)
    }

    /// What needs a task that has failed, or was left out, fails as well.
    fn fail_dependents(&mut self, n: usize) {
        if !self.is(n, At::Ended) || self.went_well(n) {
            return;
        }
        let Some(failed) = self.work.tasks.get(n) else { return };
        let optional = failed.optional;
        for (d, task) in self.work.tasks.iter().enumerate() {
            let open = self.is(d, At::Waits) || self.is(d, At::Made);
            if !open || !task.after.contains(&n) {
                continue;
            }
            if optional || task.optional {
                // What was there before it was to be built anew stays.
                self.end(d, Done::Dropped);
            } else {
                let excluded = matches!(self.results.done.get(n), Some(Some(Done::Skipped(_))));
                let what = if excluded {
                    "is not meant for this kernel"
                } else {
                    "failed to install for this kernel"
                };
                let (build, dependency) = (task.build.clone(), failed.build.package.clone());
                self.fail(d, Error::Build(BuildError::DependencyFailed { build, dependency, what }));
            }
            self.fail_dependents(d);
        }
    }

    /// Tasks whose way is blocked for good, which should not be: rather an error than waiting for ever.
    fn drop_blocked(&mut self) -> bool {
        let waiting: Vec<usize> = (0..self.at.len()).filter(|n| self.is(*n, At::Waits)).collect();
        for n in &waiting {
            let Some(task) = self.work.tasks.get(*n) else { continue };
            let missing = vec!["what will not be made".to_owned()];
            self.fail(*n, Error::Build(BuildError::DependsMissing { build: task.build.clone(), missing }));
        }
        !waiting.is_empty()
    }

    /// Others can be made only when this one is installed.
    fn install_early(&mut self, n: usize) {
        let Some(task) = self.work.tasks.get(n) else { return };
        let kernel = std::slice::from_ref(&task.build.kernel);
        let done = Change::begin(self.s, kernel).and_then(|mut change| {
            let outcome = install(self.s, &mut change, task);
            match outcome {
                Ok(outcome) => change.finish_without_depmod(self.s).map(|()| outcome),
                Err(e) => Err(change.abandon_because(self.s, e)),
            }
        });
        match done {
            Ok(outcome) => {
                self.early.push(n);
                self.end(n, if outcome == Outcome::Installed { Done::Installed } else { Done::Nothing });
            }
            Err(e) => self.fail(n, e),
        }
    }

    /// Installs the groups in which nothing is to be made any more.
    fn close_groups(&mut self) {
        for (g, tasks) in self.work.groups.iter().enumerate() {
            let over = tasks.iter().all(|n| self.is(*n, At::Made) || self.is(*n, At::Ended));
            if !over || self.closed.get(g) != Some(&false) {
                continue;
            }
            if let Some(closed) = self.closed.get_mut(g) {
                *closed = true;
            }
            self.look_for_interrupt();
            if let Err(e) = self.install_group(tasks) {
                self.group_failed(tasks, e);
            }
        }
    }

    /// Nothing of a group could be installed.
    fn group_failed(&mut self, tasks: &[usize], e: Error) {
        let open: Vec<usize> = tasks.iter().filter(|n| self.is(**n, At::Made)).copied().collect();
        let is_end = e.ends_the_command();
        let mut reason = Some(e);
        for n in open {
            match reason.take_if(|_| !is_end) {
                Some(e) => self.fail(n, e),
                None => self.end(n, Done::Dropped),
            }
        }
        if let Some(e) = reason {
            self.stop(e);
        }
    }

    fn install_group(&mut self, tasks: &[usize]) -> Result<()> {
        let early: Vec<usize> = tasks.iter().filter(|n| self.early.contains(n)).copied().collect();
        let open: Vec<usize> = tasks.iter().filter(|n| self.is(**n, At::Made)).copied().collect();
        let build = |n: &usize| self.work.tasks.get(*n).map(|t| t.build.clone());
        let kernels: Vec<Kernel> = early.iter().chain(&open).filter_map(build).map(|b| b.kernel).collect();
        if kernels.is_empty() {
            return Ok(());
        }
        if let (Some(Error::Interrupted(signal)), true) = (&self.results.stopped, early.is_empty()) {
            return Err(Error::Interrupted(*signal));
        }
        let mut change = Change::begin(self.s, &kernels)?;
        for b in early.iter().filter_map(build) {
            change.answer_for(&b)?;
        }
        for n in open.iter().copied() {
            if dkms_sys::signal::interrupted().is_some() {
                break;
            }
            let Some(task) = self.work.tasks.get(n).filter(|_| self.is(n, At::Made)) else { continue };
            match install(self.s, &mut change, task) {
                Ok(Outcome::Installed) => self.end(n, Done::Installed),
                Ok(Outcome::Nothing) => self.end(n, Done::Nothing),
                Err(e) => {
                    self.fail(n, e);
                    self.fail_dependents(n);
                }
            }
        }
        // What others were built against stays, and is indexed.
        let ending = if early.is_empty() { Ending::EachKernel } else { Ending::Uninterrupted };
        let finished = change.finish(self.s, ending)?;
        for (kernel, e) in finished.failed {
            self.take_back(tasks, &kernel, e);
        }
        self.results.changed.extend(finished.changed);
        Ok(())
    }

    /// depmod has failed for a kernel, so nothing is installed there.
    fn take_back(&mut self, tasks: &[usize], kernel: &Kernel, e: Error) {
        let mut first = Some(e);
        for n in tasks.iter().copied() {
            let of_kernel = self.work.tasks.get(n).is_some_and(|t| t.build.kernel == *kernel);
            let installed = matches!(self.results.done.get(n), Some(Some(Done::Installed)));
            if !of_kernel || !installed {
                continue;
            }
            match first.take() {
                Some(e) => self.fail(n, e),
                None => self.end(n, Done::Dropped),
            }
        }
        if let Some(e) = first {
            self.s.warn(e.to_string());
        }
    }
}

/// Installs what a task says, unless somebody else was faster.
fn install(s: &Session<'_>, change: &mut Change, task: &Task) -> Result<Outcome> {
    let b = &task.build;
    match state::build_state(s.layout, b) {
        BuildState::Installed if !task.reinstall => {
            let reason = "was installed by another dkms meanwhile".into();
            s.tell(Event::Nothing { about: b.to_string(), reason });
            return Ok(Outcome::Nothing);
        }
        BuildState::Installed => change.uninstall(s, b)?,
        BuildState::Built => {}
        BuildState::NotBuilt => return Err(InstallError::NothingBuilt(b.clone()).into()),
    }
    change.install(s, b)
}
