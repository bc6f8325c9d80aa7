//! Estimates when all builds of a command will have ended.
//!
//! Each build has a weight: the seconds that its last build took, or an estimate from the size of its source.
//! The progress of a running build is the number of its object files, compared with that of its last build.
//! The pace is the number of real seconds for a second of weight, measured in this command. The remaining
//! work is then distributed over the job slots, as the scheduler does.

use dkms_core::event::{Event, Progress, Queued};
use dkms_core::ids::Build;
use dkms_core::tree::manifest::BuildOrigin;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Seconds of weight at the pace 1 that are added to the measured ones, because the first seconds of a
/// command are not representative.
const PRESUMED: f64 = 3.0;
/// The progress of a running build is at most this.
const ALMOST: f64 = 0.95;

/// The builds of a command.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    builds: HashMap<Build, Work>,
    /// The number of builds that can run at the same time.
    lanes: usize,
}

#[derive(Debug)]
struct Work {
    weight: f64,
    /// Whether the weight is the duration of its last build.
    has_history: bool,
    /// The number of object files of its last build.
    objects: Option<u32>,
    /// The number of object files so far.
    compiled: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    Running {
        since: Instant,
    },
    /// It was compiled in this time.
    Compiled(Duration),
    /// It was skipped, failed before compiling, or was taken from the cache or a registry.
    Other,
}

/// The number of object files that a build has compiled, and of all its object files, if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) done: u32,
    pub(super) of: Option<u32>,
}

impl Estimate {
    /// Updates the estimate for an event.
    pub(super) fn follow(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Queue { builds } => builds.iter().for_each(|queued| self.add(queued)),
            Event::BuildStarted { build, since, .. } => self.set(build, State::Running { since: *since }),
            Event::Built { build, origin, elapsed, .. } => {
                let reused = matches!(origin, BuildOrigin::Cache | BuildOrigin::Registry(_));
                self.set(build, if reused { State::Other } else { State::Compiled(*elapsed) });
            }
            Event::Failed { build, .. } | Event::Skipped { build, .. } | Event::Deferred { build, .. } => {
                // The part that was compiled before a failure still counts for the pace.
                let running = self.builds.get(build).map(|work| (work.state, work.fraction(now)));
                if let Some((State::Running { since }, fraction)) = running {
                    if let Some(work) = self.builds.get_mut(build) {
                        work.weight *= fraction;
                    }
                    self.set(build, State::Compiled(now.saturating_duration_since(since)));
                } else if !matches!(running, Some((State::Compiled(_), _))) {
                    self.set(build, State::Other);
                }
            }
            _ => {}
        }
    }

    /// Updates the estimate for a measurement.
    pub(super) fn measured(&mut self, progress: &Progress) {
        for compiled in &progress.compiled {
            if let Some(work) = self.builds.get_mut(&compiled.build) {
                work.compiled = compiled.objects;
            }
        }
        self.lanes = progress.slots.map_or(self.lanes, |slots| slots.total as usize);
    }

    /// The object files that a running build has compiled; none before the first one.
    pub(super) fn objects(&self, build: &Build) -> Option<Objects> {
        let work = self.builds.get(build).filter(|work| work.compiled > 0)?;
        let of = work.objects.filter(|of| *of >= work.compiled);
        Some(Objects { done: work.compiled, of })
    }

    /// The number of builds that have ended, and of all builds.
    pub(super) fn count(&self) -> (usize, usize) {
        let ended = |work: &&Work| matches!(work.state, State::Compiled(_) | State::Other);
        (self.builds.values().filter(ended).count(), self.builds.len())
    }

    /// The time until all builds have ended; `None` if too little is known or no build is left.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let pace = self.pace(now);
        let mut lanes = vec![0.0f64; self.lanes.max(1)];
        let mut waiting: Vec<f64> = Vec::new();
        let mut running: Vec<f64> = Vec::new();
        for work in self.builds.values() {
            match work.state {
                State::Waiting => waiting.push(work.weight * pace),
                State::Running { since } => {
                    running.push(work.remaining(now.saturating_duration_since(since), pace, now))
                }
                State::Compiled(_) | State::Other => {}
            }
        }
        if (waiting.is_empty() && running.is_empty()) || !self.has_basis() {
            return None;
        }
        // Running builds keep their lanes. Of the others, the longest begin first.
        waiting.sort_by(|a, b| b.total_cmp(a));
        running.sort_by(|a, b| b.total_cmp(a));
        for rest in running.into_iter().chain(waiting) {
            let first = lanes.iter_mut().min_by(|a, b| a.total_cmp(b));
            first.into_iter().for_each(|lane| *lane += rest);
        }
        Duration::try_from_secs_f64(lanes.into_iter().fold(0.0, f64::max)).ok()
    }

    /// Whether the estimate is based on more than the sizes of sources: on earlier builds, or on one of this
    /// command.
    fn has_basis(&self) -> bool {
        let (mut known, mut unknown) = (0.0, 0.0);
        for work in self.builds.values() {
            match work.state {
                State::Compiled(_) => return true,
                State::Waiting | State::Running { .. } if work.has_history => known += work.weight,
                State::Waiting | State::Running { .. } => unknown += work.weight,
                State::Other => {}
            }
        }
        known >= unknown
    }

    /// Real seconds for a second of weight.
    fn pace(&self, now: Instant) -> f64 {
        let (mut real, mut weight) = (PRESUMED, PRESUMED);
        for work in self.builds.values() {
            match work.state {
                State::Compiled(took) => {
                    real += took.as_secs_f64();
                    weight += work.weight;
                }
                // Without object files, the progress is only an assumption.
                State::Running { since } if work.objects.is_some() => {
                    let fraction = work.fraction(now);
                    if fraction > 0.0 {
                        real += now.saturating_duration_since(since).as_secs_f64();
                        weight += work.weight * fraction;
                    }
                }
                _ => {}
            }
        }
        (real / weight).clamp(0.05, 20.0)
    }

    fn add(&mut self, queued: &Queued) {
        let work = Work {
            weight: queued.weight.max(0.05),
            has_history: queued.last.is_some(),
            objects: queued.last.and_then(|last| last.objects),
            compiled: 0,
            state: State::Waiting,
        };
        self.builds.insert(queued.build.clone(), work);
    }

    fn set(&mut self, build: &Build, state: State) {
        if let Some(work) = self.builds.get_mut(build) {
            work.state = state;
        }
    }
}

impl Work {
    /// The progress of a running build, from 0 to [`ALMOST`].
    fn fraction(&self, now: Instant) -> f64 {
        let State::Running { since } = self.state else { return 0.0 };
        match self.objects {
            // The last object file is not complete yet, and linking follows.
            Some(objects) => (f64::from(self.compiled) - 0.5).max(0.0) / (f64::from(objects) + 0.5).max(1.0),
            None => now.saturating_duration_since(since).as_secs_f64() / self.weight,
        }
        .min(ALMOST)
    }

    /// The remaining time, in seconds.
    fn remaining(&self, elapsed: Duration, pace: f64, now: Instant) -> f64 {
        let (elapsed, fraction) = (elapsed.as_secs_f64(), self.fraction(now));
        let by_pace = (self.weight * pace - elapsed).max(self.weight * pace * (1.0 - fraction) * 0.5);
        match self.objects {
            // The more is done, the more the pace of this build counts.
            Some(_) if fraction > 0.0 => {
                let own = elapsed * (1.0 - fraction) / fraction;
                own * fraction + by_pace * (1.0 - fraction)
            }
            _ => by_pace.max(0.05 * self.weight * pace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_core::event::{Compiled, LastBuild, SlotsInUse};
    use dkms_core::ids::{Kernel, PackageId, Release};

    fn build(name: &str) -> Build {
        let kernel = Kernel { release: Release::new("6.1").unwrap(), arch: "x86_64".into() };
        Build::new(&PackageId { name: name.into(), version: "1".into() }, &kernel)
    }

    fn queued(name: &str, seconds: u64, objects: Option<u32>) -> Queued {
        let last = Some(LastBuild { duration: Duration::from_secs(seconds), objects });
        Queued { build: build(name), last, weight: seconds as f64, after: Vec::new() }
    }

    fn started(name: &str, since: Instant) -> Event {
        Event::BuildStarted { build: build(name), log: "/log".into(), since }
    }

    fn built(name: &str, seconds: u64, origin: BuildOrigin) -> Event {
        let elapsed = Duration::from_secs(seconds);
        Event::Built { build: build(name), modules: Vec::new(), elapsed, origin }
    }

    fn about(actual: Option<Duration>, expected: f64) {
        let actual = actual.map_or(0.0, |d| d.as_secs_f64());
        assert!((actual - expected).abs() <= 0.15 * expected, "{actual} instead of {expected}");
    }

    #[test]
    fn a_machine_that_takes_twice_as_long_is_noticed() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut estimate = Estimate::default();
        let builds = vec![queued("a", 30, Some(10)), queued("b", 30, Some(10)), queued("c", 30, None)];
        estimate.follow(&Event::Queue { builds }, begun);
        estimate.measured(&Progress { slots: Some(SlotsInUse { used: 1, total: 1 }), compiled: Vec::new() });
        about(estimate.remaining(begun), 90.0);
        estimate.follow(&started("a", begun), begun);
        estimate.follow(&built("a", 60, BuildOrigin::Built), at(60));
        about(estimate.remaining(at(60)), 120.0);
        estimate.follow(&started("b", at(60)), at(60));
        let compiled = vec![Compiled { build: build("b"), objects: 5, last: "x.o".into() }];
        estimate.measured(&Progress { slots: None, compiled });
        assert_eq!(estimate.objects(&build("b")), Some(Objects { done: 5, of: Some(10) }));
        about(estimate.remaining(at(90)), 90.0);
        assert_eq!(estimate.count(), (1, 3));
    }

    #[test]
    fn a_build_from_the_cache_says_nothing_about_the_others() {
        let begun = Instant::now();
        let mut estimate = Estimate::default();
        let builds = vec![queued("a", 100, None), queued("b", 10, None)];
        estimate.follow(&Event::Queue { builds }, begun);
        estimate.follow(&started("a", begun), begun);
        estimate.follow(&built("a", 0, BuildOrigin::Cache), begun);
        about(estimate.remaining(begun), 10.0);
        let reason = String::new();
        estimate.follow(&Event::Skipped { build: build("b"), reason }, begun);
        assert_eq!((estimate.remaining(begun), estimate.count()), (None, (2, 2)));
    }

    #[test]
    fn a_guess_from_the_size_of_sources_is_not_shown_before_a_build_has_ended() {
        let begun = Instant::now();
        let mut estimate = Estimate::default();
        let new = |name| Queued { last: None, ..queued(name, 10, None) };
        estimate.follow(&Event::Queue { builds: vec![new("a"), new("b")] }, begun);
        assert_eq!(estimate.remaining(begun), None);
        estimate.follow(&started("a", begun), begun);
        estimate.follow(&built("a", 20, BuildOrigin::Built), begun);
        about(estimate.remaining(begun), 18.0);
    }

    #[test]
    fn the_rest_is_placed_on_the_slots() {
        let begun = Instant::now();
        let mut estimate = Estimate::default();
        let builds = vec![queued("a", 10, None), queued("b", 6, None), queued("c", 4, None)];
        estimate.follow(&Event::Queue { builds }, begun);
        estimate.measured(&Progress { slots: Some(SlotsInUse { used: 0, total: 2 }), compiled: Vec::new() });
        about(estimate.remaining(begun), 10.0);
    }
}
