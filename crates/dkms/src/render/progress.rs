//! The live view on a terminal. It has a line for each running build, with its stage, its object files and
//! its times. Below them, a summary shows how many builds have ended, the remaining time, and which builds
//! wait.

use super::estimate::Estimate;
use super::numbers::duration;
use super::terminal::Terminal;
use dkms_core::event::{self, Event};
use dkms_core::ids::{Build, Kernel, PackageId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The state of the live view.
pub(crate) struct Progress {
    all: MultiProgress,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    running: HashMap<Build, Line>,
    /// Builds that have not begun.
    waiting: Vec<Build>,
    /// The duration of the last builds.
    expected: HashMap<Build, Duration>,
    estimate: Estimate,
    /// The line with the summary, and its text.
    summary: Option<ProgressBar>,
    summary_text: String,
    /// The width of the terminal, in columns.
    width: u16,
    /// Whether builds are for several architectures, which are then shown.
    several_arches: bool,
}

/// The line of a running build.
struct Line {
    bar: ProgressBar,
    stage: String,
}

/// The most waiting builds that are named.
const NAMED: usize = 4;

impl Progress {
    /// Starts a live view on standard error.
    pub(crate) fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
                Box::new(Terminal::stderr()),
                10,
            )),
            shown: Mutex::new(Shown::default()),
        }
    }

    /// Updates the view for an event.
    pub(crate) fn follow(&self, event: &Event) {
        let Ok(mut shown) = self.shown.lock() else { return };
        shown.estimate.follow(event, Instant::now());
        match event {
            Event::Queue { builds } => {
                let last = |queued: &event::Queued| Some((queued.build.clone(), queued.last?.duration));
                shown.expected = builds.iter().filter_map(last).collect();
                shown.waiting = builds.iter().map(|queued| queued.build.clone()).collect();
                let first = shown.waiting.first().map(|build| build.kernel.arch.clone());
                shown.several_arches =
                    shown.waiting.iter().any(|build| Some(&build.kernel.arch) != first.as_ref());
                self.show_summary(&mut shown);
            }
            Event::BuildStarted { build, since, .. } => {
                shown.waiting.retain(|other| other != build);
                let expected = shown.expected.get(build);
                let tail = expected.map_or_else(String::new, |last| format!(" of about {}", duration(*last)));
                let bar = self.line(&shown, &format!(" {{elapsed}}{tail}"));
                let bar = bar.with_elapsed(since.elapsed());
                shown.running.insert(build.clone(), Line { bar, stage: "preparing".into() });
                show_build(&shown, build);
                self.show_summary(&mut shown);
            }
            Event::BuildStage { build, stage } => {
                if let Some(line) = shown.running.get_mut(build) {
                    line.stage.clone_from(stage);
                    show_build(&shown, build);
                }
            }
            Event::Built { build, .. } | Event::Failed { build, .. } | Event::Skipped { build, .. } => {
                shown.waiting.retain(|other| other != build);
                Self::end(&mut shown, build);
                self.show_summary(&mut shown);
            }
            Event::DepmodStarted { kernel } => {
                let bar = self.line(&shown, " {elapsed}");
                bar.set_message(message(&format!("depmod for kernel {}", kernel.release)));
                shown.running.insert(kernel_key(kernel), Line { bar, stage: String::new() });
            }
            Event::DepmodDone { kernel, .. } => Self::end(&mut shown, &kernel_key(kernel)),
            _ => {}
        }
    }

    /// Updates the view for a measurement.
    pub(crate) fn measured(&self, progress: &event::Progress) {
        let Ok(mut shown) = self.shown.lock() else { return };
        shown.estimate.measured(progress);
        progress.compiled.iter().for_each(|compiled| show_build(&shown, &compiled.build));
        self.show_summary(&mut shown);
        // indicatif redraws the other lines often, but not the summary.
        let width = console::Term::stderr().size().1;
        if std::mem::replace(&mut shown.width, width) != width {
            shown.summary.iter().for_each(ProgressBar::tick);
        }
    }

    /// Adds a line above the summary. Its message is shortened so that `tail` fits beside it.
    fn line(&self, shown: &Shown, tail: &str) -> ProgressBar {
        let bar = match &shown.summary {
            Some(summary) => self.all.insert_before(summary, ProgressBar::new_spinner()),
            None => self.all.add(ProgressBar::new_spinner()),
        };
        if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} {{wide_msg}}{tail}")) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    fn end(shown: &mut Shown, build: &Build) {
        if let Some(line) = shown.running.remove(build) {
            line.bar.finish_and_clear();
        }
    }

    /// `3 of 12 built, about 1 min 20 s left; 4 wait: a/1, b/2`
    fn show_summary(&self, shown: &mut Shown) {
        let (ended, all) = shown.estimate.count();
        // A single build needs no summary.
        if all < 2 || ended == all {
            if let Some(bar) = shown.summary.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let left = shown.estimate.remaining(Instant::now());
        let left = left.map_or_else(String::new, |left| format!(", about {} left", roughly(left)));
        let named: Vec<String> =
            shown.waiting.iter().take(NAMED).map(|build| build.package.to_string()).collect();
        let waiting = match shown.waiting.len() {
            0 => String::new(),
            count if count > NAMED => format!("; {count} wait: {} and others", named.join(", ")),
            count => format!("; {count} wait: {}", named.join(", ")),
        };
        let text = message(&format!("{ended} of {all} built{left}{waiting}"));
        let all = &self.all;
        let bar = shown.summary.get_or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        // Setting the same text again would only cost time.
        if shown.summary_text != text {
            bar.set_message(text.clone());
            shown.summary_text = text;
        }
    }

    /// Prints something above the live lines.
    pub(crate) fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        self.all.suspend(write)
    }

    /// Removes all live lines.
    pub(crate) fn clear(&self) {
        if let Ok(mut shown) = self.shown.lock() {
            for (_, line) in shown.running.drain() {
                line.bar.finish_and_clear();
            }
            if let Some(bar) = shown.summary.take() {
                bar.finish_and_clear();
            }
        }
    }
}

/// `zfs/2.1 for 6.1.0-49-amd64: make, 12 of 310 objects`
fn show_build(shown: &Shown, build: &Build) {
    let Some(line) = shown.running.get(build) else { return };
    let arch = if shown.several_arches { format!(" ({})", build.kernel.arch) } else { String::new() };
    let objects = shown.estimate.objects(build).filter(|_| line.stage == "make");
    let objects = objects.map_or_else(String::new, |objects| match objects.of {
        Some(of) => format!(", {} of {of} objects", objects.done),
        None if objects.done == 1 => ", 1 object".into(),
        None => format!(", {} objects", objects.done),
    });
    let text = format!("{} for {}{arch}: {}{objects}", build.package, build.kernel.release, line.stage);
    line.bar.set_message(message(&text));
}

/// A duration, rounded to what an estimate can promise.
fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..=1 => "1 s".into(),
        2..=20 => format!("{seconds} s"),
        21..=90 => format!("{} s", (seconds + 2) / 5 * 5),
        91..=3600 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Makes a message one printable line. indicatif draws it, so it does not pass through [`crate::ui`].
fn message(text: &str) -> String {
    crate::printable::on_one_line(text).into_owned()
}

/// The key of the line of a depmod, which belongs to no package.
fn kernel_key(kernel: &Kernel) -> Build {
    let none = PackageId { name: String::new(), version: String::new() };
    Build { package: none, kernel: kernel.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded() {
        for (seconds, text) in [
            (0.2, "1 s"),
            (1.6, "2 s"),
            (19.9, "20 s"),
            (33.0, "35 s"),
            (90.0, "90 s"),
            (91.0, "2 min"),
            (500.0, "8 min"),
            (3700.0, "1 h 1 min"),
        ] {
            assert_eq!(roughly(Duration::from_secs_f64(seconds)), text);
        }
    }
}
