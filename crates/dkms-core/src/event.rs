//! Reports what happens while it happens. A front end (lines, a live view, JSON) implements [`Sink`].

use crate::error::Error;
use crate::secret::Secret;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use dkms_tree::manifest::{BuildOrigin, Signature};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A package version that could not be installed.
#[derive(Clone, Debug)]
pub struct FailedPackage {
    /// The package version.
    pub package: PackageId,
    /// The error.
    pub error: Arc<Error>,
}

/// An older version that is installed because the newest version cannot be built.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The installed version.
    pub package: PackageId,
    /// The newest version.
    pub instead_of: PackageId,
}

/// One thing that began or ended.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Event {
    /// A package version was registered in the tree.
    Added { package: PackageId, source: PathBuf },
    /// A source tree was copied below the source tree's root.
    SourceCopied { package: PackageId, from: PathBuf, to: PathBuf },
    /// These builds are about to start, in this order at the earliest.
    Queue { builds: Vec<Queued> },
    /// A build started: it got its job slot at `since`, and its source has been copied.
    BuildStarted { build: Build, log: PathBuf, since: Instant },
    /// A stage of a build began: "applying fix.patch", "make", "signing".
    BuildStage { build: Build, stage: String },
    /// A build succeeded.
    Built { build: Build, modules: Vec<BuiltModule>, elapsed: Duration, origin: BuildOrigin },
    /// A module file was installed.
    ModuleInstalled { build: Build, path: PathBuf },
    /// A module file was not changed, for this reason.
    ModuleKept { build: Build, path: PathBuf, reason: String },
    /// A module file that was there before was archived.
    OriginalArchived { build: Build, from: PathBuf, to: PathBuf },
    /// An archived module file was restored.
    OriginalRestored { build: Build, to: PathBuf },
    /// An installation succeeded.
    Installed { build: Build },
    /// An installed module file was removed.
    ModuleRemoved { build: Build, path: PathBuf },
    /// A module of the running kernel was unloaded.
    ModuleUnloaded { module: String },
    /// A module was loaded into the running kernel.
    ModuleLoaded { module: String },
    /// A build was uninstalled.
    Uninstalled { build: Build },
    /// The built files of one kernel were deleted.
    Unbuilt { build: Build },
    /// A package version was removed from the tree.
    Forgotten { package: PackageId },
    /// There was nothing to do, for this reason.
    Nothing { about: String, reason: String },
    /// Something was skipped on purpose.
    Skipped { build: Build, reason: String },
    /// Something is deferred until something else is there.
    Deferred { build: Build, reason: String },
    /// One of several tasks failed; the command continues with the others.
    Failed { build: Build, error: Arc<Error> },
    /// depmod started.
    DepmodStarted { kernel: Kernel },
    /// depmod succeeded.
    DepmodDone { kernel: Kernel, elapsed: Duration },
    /// depmod was not needed, for this reason.
    DepmodSkipped { kernel: Kernel, reason: String },
    /// A package's own script runs.
    ScriptStarted { package: PackageId, directive: &'static str, command: String },
    /// Output of a package's script, line by line.
    ScriptOutput { text: String },
    /// An external command ran that dkms runs once per command (post_transaction, weak-modules).
    CommandRun { what: String, command: String, elapsed: Duration },
    /// A signing key was created.
    KeyMade { key: PathBuf, certificate: PathBuf },
    /// The key that signs.
    SigningKey { key: String, certificate: PathBuf },
    /// Modules of a build were re-signed.
    Resigned { build: Build, files: Vec<PathBuf> },
    /// An archive was written.
    ArchiveWritten { path: PathBuf },
    /// The page of `--timings` was written.
    PageWritten { path: PathBuf },
    /// An archive was loaded.
    ArchiveLoaded { package: PackageId, kernels: Vec<Kernel> },
    /// These builds are still running, each with its duration so far. Reported from time to time while builds
    /// take long.
    StillBuilding { builds: Vec<(Build, Duration)> },
    /// Summary of an autoinstall.
    Summary {
        kernel: Kernel,
        installed: Vec<PackageId>,
        sources: Sources,
        skipped: Vec<PackageId>,
        failed: Vec<FailedPackage>,
        deferred: Vec<PackageId>,
        fallbacks: Vec<Fallback>,
    },
    /// The command works on these kernels of an image because it names none. `all` are those that it has.
    KernelsOfImage { chosen: Vec<Kernel>, all: Vec<Release>, tree: PathBuf },
    /// dkms waits for another dkms.
    Waiting { what: String, holder: String },
    /// Something the administrator should know, which does not stop the command.
    Warning { text: String },
    /// A detail for `--verbose`.
    Detail { text: String },
}

/// A build that waits for its turn.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The build.
    pub build: Build,
    /// The last build of its package.
    pub last: Option<LastBuild>,
    /// The estimated work, in seconds: the duration of the last build, or an estimate from the size of the
    /// source.
    pub weight: f64,
    /// The builds that have to be installed before.
    pub after: Vec<Build>,
}

/// The last build of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBuild {
    /// Its duration.
    pub duration: Duration,
    /// The number of object files that it compiled, if recorded.
    pub objects: Option<u32>,
}

/// A measurement while builds run. It comes several times per second, so it is no event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The job slots in use; `None` if there is no limit.
    pub slots: Option<SlotsInUse>,
    /// The objects that the running builds have begun to compile since the last measurement.
    pub compiled: Vec<Compiled>,
}

/// Job slots: each running compiler has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotsInUse {
    /// Those in use.
    pub used: u32,
    /// All of them.
    pub of: u32,
}

/// The progress of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The build.
    pub build: Build,
    /// The object files that it has begun to compile.
    pub objects: u32,
    /// The name of the last one: text of the package.
    pub last: String,
}

/// The number of builds of a command for each origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// They were compiled.
    pub compiled: usize,
    /// From the cache of builds.
    pub cache: usize,
    /// From a registry.
    pub registry: usize,
}

impl Sources {
    /// Counts one build.
    pub(crate) fn count(&mut self, origin: Option<&BuildOrigin>) {
        match origin {
            Some(BuildOrigin::Built) => self.compiled += 1,
            Some(BuildOrigin::Cache) => self.cache += 1,
            Some(BuildOrigin::Registry(_)) => self.registry += 1,
            Some(BuildOrigin::Unknown) | None => {}
        }
    }
}

/// One module of a completed build.
#[derive(Clone, Debug)]
pub struct BuiltModule {
    /// File name with suffixes.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// The signer, or the reason why it is not signed.
    pub signature: Signature,
}

/// Receives events, from any thread.
pub trait Sink: Send + Sync {
    /// Receives one event.
    fn event(&self, event: Event);

    /// Returns whether [`Sink::progress`] is implemented. If not, progress is not measured.
    fn follows_progress(&self) -> bool {
        false
    }

    /// Receives a measurement.
    fn progress(&self, _measured: Progress) {}

    /// Returns whether a user can answer [`Sink::ask`].
    fn can_ask(&self) -> bool {
        false
    }

    /// Asks for a secret, which is not shown while it is typed; `None` if there is no answer.
    fn ask(&self, question: &str) -> Option<Secret> {
        let _ = question;
        None
    }
}

impl dyn Sink + '_ {
    /// Reports a warning, which does not stop the command.
    pub fn warn(&self, text: impl Into<String>) {
        self.event(Event::Warning { text: text.into() });
    }

    /// Warns about sockets, devices and named pipes that are not copied with a tree.
    pub(crate) fn warn_left_out(&self, paths: &[PathBuf]) {
        for path in paths {
            self.warn(format!(
                "{} is not copied: only files, directories and links are (delete it if it is not needed)",
                path.display()
            ));
        }
    }
}

/// Ignores all events; for callers that only want the result.
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
