//! Events: reports of what a command does, while it runs. A front end (lines, a live view, JSON) implements
//! [`Sink`].

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

/// The summary of an autoinstall for a kernel.
#[derive(Clone, Debug)]
pub struct KernelSummary {
    /// The kernel.
    pub kernel: Kernel,
    /// The installed packages.
    pub installed: Vec<PackageId>,
    /// The origins of their modules.
    pub sources: Sources,
    /// The packages that do not support the kernel.
    pub skipped: Vec<PackageId>,
    /// The packages that failed.
    pub failed: Vec<FailedPackage>,
    /// The packages that wait for packages that are not in the tree.
    pub deferred: Vec<PackageId>,
    /// The packages with an older version installed, because the newest cannot be built.
    pub fallbacks: Vec<Fallback>,
}

impl KernelSummary {
    /// An empty summary.
    pub(crate) fn new(kernel: Kernel) -> Self {
        let (installed, skipped, failed) = (Vec::new(), Vec::new(), Vec::new());
        let (sources, deferred, fallbacks) = (Sources::default(), Vec::new(), Vec::new());
        Self { kernel, installed, sources, skipped, failed, deferred, fallbacks }
    }
}

/// A report of a command.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Event {
    /// A package version was registered in the tree.
    Added { package: PackageId, source: PathBuf },
    /// A source tree was copied below the source tree's root.
    SourceCopied { package: PackageId, from: PathBuf, to: PathBuf },
    /// These builds are about to start. They start in this order or later.
    Queue { builds: Vec<Queued> },
    /// A build started. It got its job slot at `since`, and its source has been copied.
    BuildStarted { build: Build, log: PathBuf, since: Instant },
    /// A stage of a build began: "applying fix.patch", "make", "signing".
    BuildStage { build: Build, stage: String },
    /// A build succeeded.
    Built { build: Build, modules: Vec<BuiltModule>, elapsed: Duration, origin: BuildOrigin },
    /// A module file was installed.
    ModuleInstalled { build: Build, path: PathBuf },
    /// A module file was not changed, for this reason.
    ModuleKept { build: Build, path: PathBuf, reason: String },
    /// An existing module file was archived.
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
    /// A build was skipped on purpose.
    Skipped { build: Build, reason: String },
    /// A package is deferred until its dependencies are in the tree.
    Deferred { build: Build, reason: String },
    /// One of several tasks failed; the command continues with the others.
    Failed { build: Build, error: Arc<Error> },
    /// depmod started.
    DepmodStarted { kernel: Kernel },
    /// depmod succeeded.
    DepmodDone { kernel: Kernel, elapsed: Duration },
    /// depmod was not needed, for this reason.
    DepmodSkipped { kernel: Kernel, reason: String },
    /// A script of a package started.
    ScriptStarted { package: PackageId, directive: &'static str, command: String },
    /// Output of a package's script.
    ScriptOutput { text: String },
    /// A program ended that dkms runs once per command (post_transaction, weak-modules).
    CommandRun { what: String, command: String, elapsed: Duration },
    /// A signing key was created.
    KeyMade { key: PathBuf, certificate: PathBuf },
    /// The key that signs modules.
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
    /// The summary of an autoinstall.
    Summary(KernelSummary),
    /// The command does not name a kernel, so it works on these kernels of an image. `all` are all kernels of
    /// the image.
    KernelsOfImage { chosen: Vec<Kernel>, all: Vec<Release>, tree: PathBuf },
    /// dkms waits for another dkms, which holds a lock.
    Waiting { what: String, holder: String },
    /// A message for the administrator, which does not stop the command.
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
    /// The builds that have to be installed first.
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

/// The progress of the running builds. It is measured several times per second, so it is not an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The job slots in use; `None` if there is no limit.
    pub slots: Option<SlotsInUse>,
    /// The builds that have started to compile objects since the last measurement.
    pub compiled: Vec<Compiled>,
}

/// Job slots. Each running compiler uses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotsInUse {
    /// The number of slots in use.
    pub used: u32,
    /// The number of all slots.
    pub total: u32,
}

/// The progress of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The build.
    pub build: Build,
    /// The number of object files that it has started to compile so far.
    pub objects: u32,
    /// The name of the last object file. It is untrusted text of the package.
    pub last: String,
}

/// The number of builds of a command for each origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Compiled by this command.
    pub compiled: usize,
    /// Taken from the cache of builds.
    pub cache: usize,
    /// Taken from a registry.
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
    /// The file name with its suffixes.
    pub file: String,
    /// The size in bytes.
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

    /// Receives the progress of the running builds.
    fn progress(&self, _progress: Progress) {}

    /// Returns whether a user can answer [`Sink::ask`].
    fn can_ask(&self) -> bool {
        false
    }

    /// Asks for a secret, which is not shown while it is typed. Returns `None` if there is no answer.
    fn ask(&self, _question: &str) -> Option<Secret> {
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

/// Ignores all events, for callers that only need the result.
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
