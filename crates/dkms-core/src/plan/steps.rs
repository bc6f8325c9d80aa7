//! The plan and its steps.

use crate::error::Error;
use crate::event::LastBuild;
use crate::request::Overrides;
use dkms_tree::ids::{Build, Kernel, PackageId};
use std::path::PathBuf;
use std::sync::Arc;

/// The number of a step in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(usize);

impl StepId {
    /// The index of the step in the plan, from 0.
    #[must_use]
    pub fn position(self) -> usize {
        self.0
    }
}

/// A step of a plan: an operation that is executed, is not needed, or fails.
#[derive(Clone, Debug)]
pub struct Step {
    /// The operation.
    pub operation: Operation,
    /// The reason why the step is executed, or why it is not.
    pub reason: String,
    /// For a build: the last build of its package.
    pub last: Option<LastBuild>,
    /// The module files that it installs, removes or moves, as far as they are known in advance.
    pub files: Vec<PathBuf>,
    /// For a build: it may be taken from a cache or registry instead of compiling it. This is false with
    /// CACHE=no, and with --force for a build that exists.
    pub reusable: bool,
    /// If it fails, this is only a warning and not a failure of the command, and the previous state is kept.
    pub optional: bool,
}

impl Step {
    /// A required step without further facts.
    pub fn new(operation: Operation, reason: impl Into<String>) -> Self {
        Self {
            operation,
            reason: reason.into(),
            last: None,
            files: Vec::new(),
            reusable: false,
            optional: false,
        }
    }
}

/// The operation of a step, with the data that its execution needs.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Copies a source tree to `/usr/src`.
    CopySource {
        /// The package version of the source tree.
        package: PackageId,
        /// The path of the source tree.
        from: PathBuf,
        /// Its destination in `/usr/src`.
        to: PathBuf,
    },
    /// Registers a package version.
    Add {
        /// The package version.
        package: PackageId,
        /// The kernel for which its dkms.conf is checked.
        kernel: Kernel,
    },
    /// Builds a package version for a kernel.
    Build {
        /// The package version and the kernel.
        build: Build,
        /// Whether an earlier build is replaced.
        replace: bool,
        /// The estimated work in seconds. Long builds start first.
        weight: f64,
    },
    /// Installs a build.
    Install {
        /// The build.
        build: Build,
        /// The expected outcome of the installation.
        outlook: Outlook,
    },
    /// Uninstalls a build.
    Uninstall(Build),
    /// Deletes a build.
    Unbuild(Build),
    /// Removes a package version from the tree.
    Remove(PackageId),
    /// Runs depmod for a kernel.
    Depmod(Kernel),
    /// Runs `post_transaction` of framework.conf.
    PostTransaction(String),
    /// Creates a signing key.
    MakeKey {
        /// The private key.
        key: String,
        /// Its certificate.
        certificate: PathBuf,
    },
    /// Re-signs the modules of a build with the new key.
    Resign(Build),
    /// Does not use the new key yet, because this kernel requires signatures and does not trust that key.
    KeepKey(Kernel),
    /// Requests the enrolment of a certificate.
    Enroll(PathBuf),
    /// Writes an archive or a package.
    WriteArchive(PathBuf),
    /// Loads an archive or a package.
    LoadArchive(PathBuf),
    /// Executes the following steps of this build only if another version cannot be built (`fallback=yes`).
    Fallback {
        /// The older version, and the kernel.
        build: Build,
        /// The version that cannot be built.
        instead_of: PackageId,
    },
    /// Skips a build, because BUILD_EXCLUSIVE does not allow it.
    Skip(Build),
    /// Defers a package, because it depends on packages that are not in the tree yet.
    Defer {
        /// The package version and the kernel.
        build: Build,
        /// The unknown packages.
        missing: Vec<String>,
    },
    /// A failure that is known in advance.
    Fail {
        /// The package version and the kernel.
        build: Build,
        /// The reason.
        error: Arc<Error>,
    },
    /// There is nothing to do for this package, build or kernel.
    Nothing(String),
}

impl Operation {
    /// The package version and the kernel, for an operation on a build.
    #[must_use]
    pub fn build(&self) -> Option<&Build> {
        match self {
            Self::Build { build, .. }
            | Self::Install { build, .. }
            | Self::Uninstall(build)
            | Self::Unbuild(build)
            | Self::Resign(build)
            | Self::Fallback { build, .. }
            | Self::Skip(build)
            | Self::Defer { build, .. }
            | Self::Fail { build, .. } => Some(build),
            _ => None,
        }
    }

    /// Returns the kernel whose modules it changes, as far as this is known in advance.
    #[must_use]
    pub fn changes_modules_of(&self) -> Option<&Kernel> {
        match self {
            Self::Install { build, outlook: Outlook::Changes } | Self::Uninstall(build) => {
                Some(&build.kernel)
            }
            _ => None,
        }
    }
}

/// The expected result of installing a build. The result is only certain after PRE_INSTALL, and while the
/// kernel's lock is held, so the step is always executed.
#[derive(Clone, Debug, Default)]
pub enum Outlook {
    /// It installs files, or the result is not known.
    #[default]
    Changes,
    /// It changes nothing, for this reason.
    Same(String),
    /// It fails with this error.
    Refused(Arc<Error>),
}

/// How the installs of a plan are grouped into transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transactions {
    /// One transaction for all installs.
    #[default]
    Together,
    /// One transaction for each kernel.
    PerKernel,
}

/// The order between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    before: StepId,
    after: StepId,
}

/// The steps of an action, and the order between them. In the list, each step comes after the steps that it
/// follows.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    steps: Vec<Step>,
    edges: Vec<Edge>,
    /// How its installs are grouped into transactions.
    pub transactions: Transactions,
    /// The safety checks that its execution overrides.
    pub overrides: Overrides,
}

impl Plan {
    /// A plan with one step.
    #[must_use]
    pub fn single(operation: Operation, reason: impl Into<String>) -> Self {
        let mut plan = Self::default();
        plan.push(Step::new(operation, reason), []);
        plan
    }

    /// Returns this plan with these overrides of safety checks.
    #[must_use]
    pub fn overriding(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Adds a note to the reason of each build. The function receives the build, and whether the build may be
    /// taken from a cache or registry.
    pub fn annotate_builds(&mut self, mut note: impl FnMut(&Build, bool) -> Option<String>) {
        for step in &mut self.steps {
            let Operation::Build { build, .. } = &step.operation else { continue };
            if let Some(note) = note(build, step.reusable) {
                let separator = if step.reason.is_empty() { "" } else { "; " };
                step.reason = format!("{}{separator}{note}", step.reason);
            }
        }
    }

    /// Adds a step that follows the steps in `after`.
    pub fn push(&mut self, step: Step, after: impl IntoIterator<Item = StepId>) -> StepId {
        let id = StepId(self.steps.len());
        self.steps.push(step);
        self.edges.extend(after.into_iter().map(|before| Edge { before, after: id }));
        id
    }

    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(n, step)| (StepId(n), step))
    }

    /// Returns the operations of its steps, in order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.steps.iter().map(|step| &step.operation)
    }

    /// Returns a step.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// Returns the steps that a step follows.
    pub fn before(&self, id: StepId) -> impl Iterator<Item = StepId> {
        self.edges.iter().filter(move |edge| edge.after == id).map(|edge| edge.before)
    }

    /// Returns whether the plan has no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds the steps of another plan at the end, and adopts its transactions and overrides.
    pub fn append(&mut self, other: Plan) {
        let shift = self.steps.len();
        let moved = |id: StepId| StepId(id.0 + shift);
        self.steps.extend(other.steps);
        let edges = other.edges.iter().map(|e| Edge { before: moved(e.before), after: moved(e.after) });
        self.edges.extend(edges);
        self.transactions = other.transactions;
        self.overrides = other.overrides;
    }

    /// Adds the step that runs `post_transaction`.
    pub(super) fn push_post_transaction(&mut self, command: String) {
        let reason = "framework.conf lists it, to run after every change";
        self.push(Step::new(Operation::PostTransaction(command), reason), []);
    }
}
