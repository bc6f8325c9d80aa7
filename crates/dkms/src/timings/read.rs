//! Turns the events of a command into its builds.

use super::record::{Entry, What};
use super::run::{Facts, Kind, Outcome, Run, Span, Stage, Step};
use dkms_core::build::BuildError;
use dkms_core::error::Error;
use dkms_core::event::{Event, Progress};
use dkms_core::ids::Build;
use std::collections::HashMap;
use std::thread::ThreadId;

/// Spans that are shorter than this, in seconds, are left out.
const NOTHING: f64 = 0.001;

/// Returns the command with these events, without waits and critical path.
pub(super) fn read(entries: &[Entry], facts: Facts) -> Run {
    let mut reading = Reading { run: Run { facts, ..Run::default() }, ..Reading::default() };
    entries.iter().for_each(|entry| reading.add(entry));
    let mut run = reading.run;
    let total = run.facts.total;
    for step in run.builds.iter_mut().filter(|step| step.from.is_some()) {
        let end = *step.to.get_or_insert(total);
        if let Some(stage) = step.stages.last_mut() {
            stage.to = end;
        }
    }
    run.assign_lanes();
    run
}

/// The state while the events are read.
#[derive(Default)]
struct Reading {
    run: Run,
    index: HashMap<Build, usize>,
    /// The last moment at which the installing thread can have begun something.
    idle_since: f64,
}

impl Reading {
    fn add(&mut self, entry: &Entry) {
        let at = entry.at.as_secs_f64();
        match &entry.what {
            What::Progress(progress) => self.add_progress(at, progress),
            What::Since(event) | What::Event(event) => self.add_event(at, entry.thread, event),
        }
    }

    fn add_progress(&mut self, at: f64, progress: &Progress) {
        if let Some(slots) = progress.slots {
            self.run.slots = slots.total;
            if self.run.in_use.last().is_none_or(|(_, used)| *used != slots.used) {
                self.run.in_use.push((at, slots.used));
            }
        }
        for compiled in &progress.compiled {
            self.change(&compiled.build, at, |step| {
                step.objects = compiled.objects;
                step.compiled.push((at, compiled.last.clone()));
            });
        }
    }

    fn add_event(&mut self, at: f64, thread: ThreadId, event: &Event) {
        match event {
            Event::Queue { builds } => {
                self.add_span("planning".into(), Kind::Command, self.idle_since, at);
                for queued in builds {
                    let after: Vec<usize> =
                        queued.after.iter().map(|other| self.index_of(other, at)).collect();
                    self.change(&queued.build, at, |step| (step.last, step.after) = (queued.last, after));
                }
            }
            Event::BuildStarted { build, .. } => self.change(build, at, |step| {
                (step.from, step.thread) = (Some(at), Some(thread));
                step.stages.push(Stage { name: "preparing".into(), from: at, to: at });
            }),
            Event::BuildStage { build, stage } => self.change(build, at, |step| {
                if let Some(last) = step.stages.last_mut() {
                    last.to = at;
                }
                step.stages.push(Stage { name: stage.clone(), from: at, to: at });
            }),
            Event::Built { build, origin, .. } => {
                self.idle_since = at;
                self.change(build, at, |step| {
                    (step.to, step.outcome, step.origin) = (Some(at), Outcome::Built, origin.clone());
                });
            }
            Event::Failed { build, error } => self.set_failed(build, at, error),
            Event::Skipped { build, reason } => {
                self.change(build, at, |step| step.outcome = Outcome::Skipped(reason.clone()));
            }
            Event::Deferred { build, reason } => {
                self.change(build, at, |step| step.outcome = Outcome::Deferred(reason.clone()));
            }
            Event::Installed { build } => {
                if let Some(step) = self.index.get(build).and_then(|index| self.run.builds.get_mut(*index)) {
                    step.installed = Some(at);
                }
                self.add_span("installing".into(), Kind::Install, self.idle_since, at);
            }
            Event::DepmodDone { kernel, elapsed } => {
                let from = at - elapsed.as_secs_f64();
                self.add_span(format!("depmod for kernel {}", kernel.release), Kind::Depmod, from, at);
            }
            Event::CommandRun { what, elapsed, .. } => {
                self.add_span(what.clone(), Kind::Command, at - elapsed.as_secs_f64(), at);
            }
            Event::DepmodStarted { .. } => {
                self.add_span("installing".into(), Kind::Install, self.idle_since, at)
            }
            _ => {}
        }
    }

    fn set_failed(&mut self, build: &Build, at: f64, error: &Error) {
        self.idle_since = at;
        self.change(build, at, |step| {
            if step.from.is_some() && step.to.is_none() {
                step.to = Some(at);
            }
            step.outcome = match error {
                Error::Build(BuildError::DependencyFailed { dependency, reason, .. }) => {
                    Outcome::Skipped(format!("depends on {dependency}, which {reason}"))
                }
                _ => Outcome::Failed(error.to_string(), error.help()),
            };
        });
    }

    /// Adds something that took time in the installing thread.
    fn add_span(&mut self, name: String, kind: Kind, from: f64, to: f64) {
        let from = from.clamp(0.0, to);
        if to - from >= NOTHING {
            self.run.spans.push(Span { name, kind, from, to });
        }
        self.idle_since = to;
    }

    /// The index of a build. It is added to the list if the events have not mentioned it before.
    fn index_of(&mut self, build: &Build, at: f64) -> usize {
        let builds = &mut self.run.builds;
        *self.index.entry(build.clone()).or_insert_with(|| {
            builds.push(Step::new(build.clone(), at));
            builds.len() - 1
        })
    }

    /// Changes the record of a build.
    fn change(&mut self, build: &Build, at: f64, change: impl FnOnce(&mut Step)) {
        let index = self.index_of(build, at);
        if let Some(step) = self.run.builds.get_mut(index) {
            change(step);
        }
    }
}
