//! The live view on a terminal: one line per running build, with its stage and how long it has been at it.

use dkms_core::event::Event;
use dkms_core::ids::Build;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// The bars that are shown.
pub struct Progress {
    all: MultiProgress,
    running: Mutex<HashMap<Build, ProgressBar>>,
}

impl Progress {
    /// Draws on standard error.
    pub fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            running: Mutex::new(HashMap::new()),
        }
    }

    /// Changes the view with what happens.
    pub fn follow(&self, event: &Event) {
        let Ok(mut running) = self.running.lock() else { return };
        match event {
            Event::BuildStarted { build, .. } => {
                let bar = self.all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                    bar.set_style(style);
                }
                bar.set_message(format!("{build}: preparing"));
                bar.enable_steady_tick(Duration::from_millis(120));
                running.insert(build.clone(), bar);
            }
            Event::BuildStage { build, stage } => {
                if let Some(bar) = running.get(build) {
                    bar.set_message(format!("{build}: {stage}"));
                }
            }
            Event::Built { build, .. } | Event::Failed { build, .. } => {
                if let Some(bar) = running.remove(build) {
                    bar.finish_and_clear();
                }
            }
            Event::DepmodStarted { kernel } => {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_message(format!("depmod for kernel {}", kernel.release));
                bar.enable_steady_tick(Duration::from_millis(120));
                running.insert(kernel_key(kernel), bar);
            }
            Event::DepmodDone { kernel, .. } => {
                if let Some(bar) = running.remove(&kernel_key(kernel)) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }

    /// Writes something above the live lines.
    pub fn above(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }

    /// Takes all live lines away.
    pub fn clear(&self) {
        if let Ok(mut running) = self.running.lock() {
            for (_, bar) in running.drain() {
                bar.finish_and_clear();
            }
        }
    }
}

fn kernel_key(kernel: &dkms_core::ids::Kernel) -> Build {
    let none = dkms_core::ids::PackageId { name: String::new(), version: String::new() };
    Build { package: none, kernel: kernel.clone() }
}
