//! The data of a command: its builds, what they waited for, and what else took time.

use dkms_core::event::LastBuild;
use dkms_core::ids::Build;
use dkms_core::tree::layout::Layout;
use dkms_core::tree::manifest::BuildOrigin;
use dkms_sys::fs::Limit;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::thread::ThreadId;

/// The most bytes of logs on a page, of a successful build and of a failed one.
const LOGS: usize = 1_000_000;
const LOG_OF_SUCCESS: usize = 8_000;
const LOG_OF_FAILURE: usize = 32_000;

/// Facts about the command that are not in its events.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) command: String,
    pub(super) action: String,
    /// When it began, in seconds since 1970.
    pub(super) begun: u64,
    /// How long it took, in seconds.
    pub(super) total: f64,
    pub(super) cpus: usize,
    /// `-j`
    pub(super) jobs: Option<u32>,
    pub(super) has_cache: bool,
    pub(super) has_registry: bool,
    /// The error of the command, and its help.
    pub(super) error: Option<(String, Vec<String>)>,
}

/// A command. All times are seconds since it began.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) facts: Facts,
    pub(super) builds: Vec<Step>,
    /// Installing, depmod and commands, one after the other.
    pub(super) spans: Vec<Span>,
    /// The numbers of job slots in use, each with the time from which on it applies.
    pub(super) in_use: Vec<(f64, u32)>,
    /// The number of job slots; 0 means no limit.
    pub(super) slots: u32,
    /// The number of lanes of the builds.
    pub(super) lanes: usize,
    /// The critical path, from first to last.
    pub(super) path: Vec<Part>,
}

/// One build.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) build: Build,
    pub(super) queued: f64,
    pub(super) from: Option<f64>,
    pub(super) to: Option<f64>,
    pub(super) outcome: Outcome,
    pub(super) origin: BuildOrigin,
    pub(super) last: Option<LastBuild>,
    /// The builds that have to be installed before it, as indices.
    pub(super) after: Vec<usize>,
    pub(super) stages: Vec<Stage>,
    pub(super) waits: Vec<Wait>,
    pub(super) objects: u32,
    /// When the compiler began each object file, with its name.
    pub(super) compiled: Vec<(f64, String)>,
    pub(super) installed: Option<f64>,
    pub(super) lane: usize,
    /// The end of its log.
    pub(super) log: String,
    pub(super) thread: Option<ThreadId>,
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It had not ended when the command ended.
    Unfinished,
    Built,
    /// The error and its help.
    Failed(String, Vec<String>),
    /// It was skipped for this reason.
    Skipped(String),
    /// It is deferred to a later command for this reason.
    Deferred(String),
}

/// A stage of a build.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Something other than a build that took time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Install,
    Depmod,
    Command,
    /// Waiting for the lock of another dkms.
    Lock,
}

/// A time during which a build waited.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wait {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) reason: Reason,
}

/// The reason why a build waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// This build, which it depends on, had to be installed first.
    Dependency(usize),
    /// All job slots were in use.
    Slot,
    /// This build of the same package used the same directory.
    SamePackage(usize),
    /// A slot was free, but too little memory.
    Memory,
    /// Another dkms held a lock.
    Lock(String),
}

/// A part of the critical path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) item: Item,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A build or something else that took time, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An index in [`Run::builds`].
    Build(usize),
    /// An index in [`Run::spans`].
    Span(usize),
}

impl Step {
    pub(super) fn new(build: Build, queued: f64) -> Self {
        Self {
            build,
            queued,
            from: None,
            to: None,
            outcome: Outcome::Unfinished,
            origin: BuildOrigin::Unknown,
            last: None,
            after: Vec::new(),
            stages: Vec::new(),
            waits: Vec::new(),
            objects: 0,
            compiled: Vec::new(),
            installed: None,
            lane: 0,
            log: String::new(),
            thread: None,
        }
    }

    /// How long it ran, in seconds; 0 if it did not begin.
    pub(super) fn duration(&self) -> f64 {
        self.from.zip(self.to).map_or(0.0, |(from, to)| to - from)
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(..))
    }

    /// The reason why it was skipped or deferred.
    pub(super) fn left_out(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Skipped(reason) | Outcome::Deferred(reason) => Some(reason),
            _ => None,
        }
    }

    /// The outcome and the origin of its modules in words.
    pub(super) fn state(&self) -> &'static str {
        match (&self.outcome, &self.origin) {
            (Outcome::Failed(..), _) => "failed",
            (Outcome::Skipped(_), _) => "skipped",
            (Outcome::Deferred(_), _) => "deferred",
            (Outcome::Unfinished, _) if self.from.is_some() => "interrupted",
            (Outcome::Unfinished, _) => "not begun",
            (Outcome::Built, BuildOrigin::Cache) => "from the cache",
            (Outcome::Built, BuildOrigin::Registry(_)) => "from a registry",
            (Outcome::Built, _) => "compiled",
        }
    }

    /// Whether its modules were compiled, as far as is known.
    pub(super) fn is_compiled(&self) -> bool {
        self.from.is_some() && !matches!(self.origin, BuildOrigin::Cache | BuildOrigin::Registry(_))
    }

    /// The stage that runs make.
    pub(super) fn make(&self) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == "make")
    }

    /// The object file after which the compiler began no other for the longest time, and that time in
    /// seconds.
    pub(super) fn slowest_object(&self) -> Option<(&str, f64)> {
        let end = self.make()?.to;
        let ends = self.compiled.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let gaps = self.compiled.iter().zip(ends).map(|((from, name), to)| (name.as_str(), to - from));
        gaps.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl Run {
    /// Assigns a lane to each build, so that no two builds overlap in a lane.
    pub(super) fn assign_lanes(&mut self) {
        let mut builds: Vec<(f64, &mut Step)> =
            self.builds.iter_mut().filter_map(|step| Some((step.from?, step))).collect();
        builds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free_at: Vec<f64> = Vec::new();
        for (from, step) in builds {
            let to = step.to.unwrap_or(0.0);
            step.lane = free_at.iter().position(|free| *free <= from + 0.001).unwrap_or(free_at.len());
            match free_at.get_mut(step.lane) {
                Some(free) => *free = to,
                None => free_at.push(to),
            }
        }
        self.lanes = free_at.len();
    }

    /// Reads the end of each build's log. A log that cannot be read stays empty.
    pub(super) fn read_logs(&mut self, layout: &Layout) {
        let share = LOGS / self.builds.len().max(1);
        let mut left = LOGS;
        // The logs of failed builds come first, because they are the most useful.
        for failed in [true, false] {
            for step in
                self.builds.iter_mut().filter(|step| step.is_failed() == failed && step.from.is_some())
            {
                let (path, most) = match step.outcome {
                    Outcome::Failed(..) => (layout.failed_log(&step.build), LOG_OF_FAILURE),
                    _ => (layout.make_log(&step.build), LOG_OF_SUCCESS.min(share)),
                };
                step.log = tail(&path, most.min(left)).unwrap_or_default();
                left = left.saturating_sub(step.log.len());
            }
        }
    }

    /// The sum of the times that all job slots were in use between two moments, in seconds.
    pub(super) fn use_of_slots(&self, from: f64, to: f64) -> f64 {
        let ends = self.in_use.iter().skip(1).map(|(at, _)| *at).chain([self.facts.total]);
        let parts = self.in_use.iter().zip(ends);
        parts.map(|((at, used), end)| (end.min(to) - at.max(from)).max(0.0) * f64::from(*used)).sum()
    }
}

/// The last bytes of a file as text, which starts at the beginning of a line.
fn tail(path: &Path, most: usize) -> Option<String> {
    let mut file = dkms_sys::fs::open_bounded(path, Limit::COPIED).ok()?;
    let size = file.seek(SeekFrom::End(0)).ok()?;
    let from = size.saturating_sub(most as u64);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match text.split_once('\n').filter(|_| from > 0) {
        Some((_, rest)) => Some(format!("[...]\n{rest}")),
        None => Some(text),
    }
}
