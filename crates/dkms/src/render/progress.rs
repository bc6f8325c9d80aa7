//! The live view on a terminal: one line for each running build, with its stage, its elapsed time and the
//! duration of its last build; below them, the waiting builds.

use super::plain::took;
use super::terminal::Terminal;
use dkms_core::event::Event;
use dkms_core::ids::{Build, Kernel, PackageId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// The state of the live view.
pub(crate) struct Progress {
    all: MultiProgress,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    running: HashMap<Build, ProgressBar>,
    /// Builds that have not started; `expected` has the duration of their last build.
    waiting: Vec<Build>,
    expected: HashMap<Build, Duration>,
    /// The line that lists the waiting builds.
    queue: Option<ProgressBar>,
}

/// The number of waiting builds that are listed by name.
const NAMED: usize = 4;

impl Progress {
    /// Draws on standard error.
    pub(crate) fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
                Box::new(Terminal::stderr()),
                20,
            )),
            shown: Mutex::new(Shown::default()),
        }
    }

    /// Updates the view for an event.
    pub(crate) fn follow(&self, event: &Event) {
        let Ok(mut shown) = self.shown.lock() else { return };
        match event {
            Event::Queue { builds } => {
                shown.expected = builds.iter().filter_map(|q| Some((q.build.clone(), q.expected?))).collect();
                shown.waiting = builds.iter().map(|q| q.build.clone()).collect();
                self.show_queue(&mut shown);
            }
            Event::BuildStarted { build, .. } => {
                shown.waiting.retain(|b| b != build);
                let expected = shown.expected.get(build);
                let tail = expected.map_or_else(String::new, |d| format!(" of about {}", took(*d)));
                let bar = self.line(&shown, &format!("{{spinner}} {{msg}} ({{elapsed}}{tail})"));
                bar.set_message(message(&format!("{build}: preparing")));
                shown.running.insert(build.clone(), bar);
                self.show_queue(&mut shown);
            }
            Event::BuildStage { build, stage } => {
                if let Some(bar) = shown.running.get(build) {
                    bar.set_message(message(&format!("{build}: {stage}")));
                }
            }
            Event::Built { build, .. } | Event::Failed { build, .. } | Event::Skipped { build, .. } => {
                shown.waiting.retain(|b| b != build);
                Self::end(&mut shown, build);
                self.show_queue(&mut shown);
            }
            Event::DepmodStarted { kernel } => {
                let bar = self.line(&shown, "{spinner} {msg} ({elapsed})");
                bar.set_message(message(&format!("depmod for kernel {}", kernel.release)));
                shown.running.insert(kernel_key(kernel), bar);
            }
            Event::DepmodDone { kernel, .. } => Self::end(&mut shown, &kernel_key(kernel)),
            _ => {}
        }
    }

    /// Adds a line above the one that lists the waiting builds.
    fn line(&self, shown: &Shown, template: &str) -> ProgressBar {
        let bar = match &shown.queue {
            Some(queue) => self.all.insert_before(queue, ProgressBar::new_spinner()),
            None => self.all.add(ProgressBar::new_spinner()),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn end(shown: &mut Shown, build: &Build) {
        if let Some(bar) = shown.running.remove(build) {
            bar.finish_and_clear();
        }
    }

    fn show_queue(&self, shown: &mut Shown) {
        let named: Vec<String> = shown.waiting.iter().take(NAMED).map(|b| b.package.to_string()).collect();
        let text = match (shown.waiting.len(), named.is_empty()) {
            (_, true) => {
                if let Some(bar) = shown.queue.take() {
                    bar.finish_and_clear();
                }
                return;
            }
            (n, _) if n > NAMED => format!("  {n} more wait: {} and others", named.join(", ")),
            (n, _) => format!("  {n} more wait: {}", named.join(", ")),
        };
        let all = &self.all;
        let bar = shown.queue.get_or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(message(&text));
    }

    /// Prints something above the live lines.
    pub(crate) fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        self.all.suspend(write)
    }

    /// Removes all live lines.
    pub(crate) fn clear(&self) {
        if let Ok(mut shown) = self.shown.lock() {
            for (_, bar) in shown.running.drain() {
                bar.finish_and_clear();
            }
            if let Some(bar) = shown.queue.take() {
                bar.finish_and_clear();
            }
        }
    }
}

/// Makes a message one printable line, because indicatif draws the live lines; they do not pass through
/// [`crate::ui`].
fn message(text: &str) -> String {
    crate::printable::on_one_line(text).into_owned()
}

fn kernel_key(kernel: &Kernel) -> Build {
    let none = PackageId { name: String::new(), version: String::new() };
    Build { package: none, kernel: kernel.clone() }
}
