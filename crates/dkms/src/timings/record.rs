//! Keeps the events of a command with their times.

use crate::cli::Arguments;
use dkms_core::event::{Event, Progress, SlotsInUse};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// The number of entries that are kept. The largest commands have some ten thousand.
const MOST: usize = 200_000;

/// What happened, and when.
#[derive(Debug)]
pub(super) struct Entry {
    /// Since the command began.
    pub(super) at: Duration,
    /// The thread that reported it: each build has one.
    pub(super) thread: ThreadId,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    Event(Event),
    Progress(Progress),
    /// A build got its job slot; reported a little later, with its event.
    Since(Event),
}

/// The events of a command.
#[derive(Debug)]
pub(crate) struct Recorder {
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
    slots: Mutex<Option<SlotsInUse>>,
    /// The file of `--timings=FILE`. It is opened at the beginning, because with `--root` the machine's files
    /// are out of reach at the end.
    file: Option<(PathBuf, File)>,
}

impl Recorder {
    /// Begins to record, and creates the file of `--timings`. The error says why that is impossible.
    pub(crate) fn start(arguments: &Arguments) -> (Self, Option<dkms_sys::IoError>) {
        let path = arguments.timings_file.clone().filter(|_| !arguments.dry_run);
        // The page that is there stays until the new one is written.
        let file = path.map(|path| dkms_sys::fs::open_append(&path).map(|file| (path, file)));
        let (file, error) = match file.transpose() {
            Ok(file) => (file, None),
            Err(e) => (None, Some(e)),
        };
        let begun = Instant::now();
        (Self { begun, entries: Mutex::default(), slots: Mutex::default(), file }, error)
    }

    /// Records an event.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::BuildStarted { since, .. } => {
                self.push(since.saturating_duration_since(self.begun), What::Since(event.clone()));
            }
            Event::Queue { .. }
            | Event::BuildStage { .. }
            | Event::Built { .. }
            | Event::Installed { .. }
            | Event::ModuleInstalled { .. }
            | Event::Skipped { .. }
            | Event::Deferred { .. }
            | Event::Failed { .. }
            | Event::DepmodStarted { .. }
            | Event::DepmodDone { .. }
            | Event::CommandRun { .. }
            | Event::Waiting { .. } => self.push(self.begun.elapsed(), What::Event(event.clone())),
            _ => {}
        }
    }

    /// Records a measurement, unless nothing has changed.
    pub(crate) fn progress(&self, progress: &Progress) {
        let mut last = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != progress.slots || !progress.compiled.is_empty() {
            *last = progress.slots;
            self.push(self.begun.elapsed(), What::Progress(progress.clone()));
        }
    }

    fn push(&self, at: Duration, what: What) {
        let mut entries = self.entries();
        if entries.len() < MOST {
            entries.push(Entry { at, thread: std::thread::current().id(), what });
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a build began.
    pub(super) fn has_builds(&self) -> bool {
        self.entries().iter().any(|entry| matches!(entry.what, What::Since(_)))
    }

    /// How long the command has taken.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes the page to the file of `--timings=FILE`, and returns its path; `None` if there is no such file.
    pub(super) fn write(&self, page: &str) -> Option<std::io::Result<PathBuf>> {
        let (path, mut file) = self.file.as_ref().map(|(path, file)| (path, file))?;
        let written = file.set_len(0).and_then(|()| file.write_all(page.as_bytes()));
        Some(written.map(|()| path.clone()))
    }

    /// Removes the file of `--timings=FILE` if it is empty: the command ended before there was a page.
    pub(crate) fn remove_empty_file(&self) {
        let Some((path, file)) = &self.file else { return };
        // With `--root`, another file may have this path now.
        let is_this = |found: std::fs::Metadata| {
            file.metadata()
                .is_ok_and(|ours| ours.len() == 0 && (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
        };
        if dkms_sys::fs::symlink_metadata(path).is_ok_and(is_this) {
            let _ = dkms_sys::fs::remove_file(path);
        }
    }

    /// What `read` makes of the entries.
    pub(super) fn with_entries<T>(&self, read: impl FnOnce(&[Entry]) -> T) -> T {
        read(&self.entries())
    }
}
