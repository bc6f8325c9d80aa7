//! What happens, told while it happens. Whoever shows it (lines, a live view, JSON) implements [`Sink`].

use crate::error::Error;
use crate::secret::Secret;
use dkms_tree::ids::{Build, Kernel, PackageId};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A package version that could not be installed.
#[derive(Clone, Debug)]
pub struct FailedPackage {
    /// The package version.
    pub package: PackageId,
    /// Why.
    pub error: Arc<Error>,
}

/// One thing that began or came to an end.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Event {
    /// A package version was registered in the tree.
    Added { package: PackageId, source: PathBuf },
    /// A source tree was copied below the source tree's root.
    SourceCopied { package: PackageId, from: PathBuf, to: PathBuf },
    /// Several builds are about to be made, in this order at the earliest.
    Queue { builds: Vec<Queued> },
    /// Building began.
    BuildStarted { build: Build, log: PathBuf },
    /// A stage of a build began: "applying fix.patch", "make", "signing".
    BuildStage { build: Build, stage: String },
    /// Building ended well.
    Built { build: Build, modules: Vec<BuiltModule>, elapsed: Duration },
    /// One module file was put into place.
    ModuleInstalled { build: Build, path: PathBuf },
    /// One module file was left as it is, with the reason.
    ModuleKept { build: Build, path: PathBuf, reason: String },
    /// A module file that was there before was archived.
    OriginalArchived { build: Build, from: PathBuf, to: PathBuf },
    /// An archived module file went back to its place.
    OriginalRestored { build: Build, to: PathBuf },
    /// Installing ended well.
    Installed { build: Build },
    /// One installed module file was taken away.
    ModuleRemoved { build: Build, path: PathBuf },
    /// Uninstalling ended well.
    Uninstalled { build: Build },
    /// The built files of one kernel were deleted.
    Unbuilt { build: Build },
    /// A package version left the tree.
    Forgotten { package: PackageId },
    /// Nothing had to be done, and why.
    Nothing { about: String, reason: String },
    /// Something was left out on purpose.
    Skipped { build: Build, reason: String },
    /// Something waits for something that is not there yet.
    Deferred { build: Build, reason: String },
    /// One of several things failed; the command goes on with the others.
    Failed { build: Build, error: Arc<Error> },
    /// depmod began.
    DepmodStarted { kernel: Kernel },
    /// depmod ended well.
    DepmodDone { kernel: Kernel, elapsed: Duration },
    /// depmod was not needed, and why.
    DepmodSkipped { kernel: Kernel, reason: String },
    /// A package's own script runs.
    ScriptStarted { package: PackageId, directive: &'static str, command: String },
    /// What a package's own script printed, line by line as it came.
    ScriptOutput { text: String },
    /// An external command that belongs to the whole command ran (post_transaction, weak-modules).
    CommandRun { what: String, command: String, elapsed: Duration },
    /// A signing key was made.
    KeyMade { key: PathBuf, certificate: PathBuf },
    /// Which key signs.
    SigningKey { key: String, certificate: PathBuf },
    /// Modules of a build were signed anew.
    Resigned { build: Build, files: Vec<PathBuf> },
    /// An archive was written.
    ArchiveWritten { path: PathBuf },
    /// An archive was loaded.
    ArchiveLoaded { package: PackageId, kernels: Vec<Kernel> },
    /// These builds go on, and how long they have by now: from time to time while builds take long.
    StillBuilding { builds: Vec<(Build, Duration)> },
    /// Summary of an autoinstall.
    Summary {
        kernel: Kernel,
        installed: Vec<PackageId>,
        skipped: Vec<PackageId>,
        failed: Vec<FailedPackage>,
        deferred: Vec<PackageId>,
    },
    /// We wait for another dkms.
    Waiting { what: String, holder: String },
    /// Something the administrator should know although it stops nothing.
    Warning { text: String },
    /// Detail for `--verbose`.
    Detail { text: String },
}

/// A build that waits for its turn.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Which.
    pub build: Build,
    /// How long it took the last time.
    pub expected: Option<Duration>,
}

/// What became of one module of a build.
#[derive(Clone, Debug)]
pub struct BuiltModule {
    /// File name with suffixes.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// "signed by ..." or why it was not.
    pub signature: String,
}

/// Where events go. Called from any thread.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);

    /// Whether somebody is there to answer [`Sink::ask`].
    fn can_ask(&self) -> bool {
        false
    }

    /// Asks for a secret, which is not shown while it is typed; `None`: there is no answer.
    fn ask(&self, question: &str) -> Option<Secret> {
        let _ = question;
        None
    }
}

/// Drops everything; for callers that only want the result.
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
