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

/// The most entries that are kept. The largest commands have about ten thousand.
const MOST: usize = 200_000;

/// An event with its time.
#[derive(Debug)]
pub(super) struct Entry {
    /// The time since the command began.
    pub(super) at: Duration,
    /// The thread that reported it. Each build has its own thread.
    pub(super) thread: ThreadId,
    pub(super) what: What,
}

/// What an entry records.
#[derive(Debug)]
pub(super) enum What {
    Event(Event),
    Progress(Progress),
    /// A build began when it got its job slot, which is a little earlier than the event.
    Since(Event),
}

/// The events of a command.
#[derive(Debug)]
pub(crate) struct Recorder {
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
    slots: Mutex<Option<SlotsInUse>>,
    /// The file of `--timings=FILE`. It is opened at the start, because with `--root` the machine's files
    /// cannot be reached at the end.
    file: Option<(PathBuf, File)>,
}

impl Recorder {
    /// Starts to record, and creates the file of `--timings`. The error is the reason why it cannot be
    /// created.
    pub(crate) fn start(arguments: &Arguments) -> (Self, Option<dkms_sys::IoError>) {
        let path = arguments.timings_file.clone().filter(|_| !arguments.dry_run);
        // An existing page stays until the new page is written.
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

    /// Records the progress, unless it has not changed.
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

    /// The time since the command began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes the page to the file of `--timings=FILE`, and returns its path; `None` if there is no such
    /// file.
    pub(super) fn write(&self, page: &str) -> Option<std::io::Result<PathBuf>> {
        let (path, mut file) = self.file.as_ref().map(|(path, file)| (path, file))?;
        let written = file.set_len(0).and_then(|()| file.write_all(page.as_bytes()));
        Some(written.map(|()| path.clone()))
    }

    /// Removes the file of `--timings=FILE` if it is empty because the command ended without a page.
    pub(crate) fn remove_empty_file(&self) {
        let Some((path, file)) = &self.file else { return };
        // With `--root`, this can be the path of another file now.
        let is_ours = |other: std::fs::Metadata| {
            file.metadata()
                .is_ok_and(|ours| ours.len() == 0 && (ours.dev(), ours.ino()) == (other.dev(), other.ino()))
        };
        if dkms_sys::fs::symlink_metadata(path).is_ok_and(is_ours) {
            let _ = dkms_sys::fs::remove_file(path);
        }
    }

    /// Calls `read` with all entries.
    pub(super) fn with_entries<T>(&self, read: impl FnOnce(&[Entry]) -> T) -> T {
        read(&self.entries())
    }
}
