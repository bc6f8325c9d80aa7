//! A plan: its steps, each with its reason, and the order between them.

use crate::error::Error;
use crate::event::LastBuild;
use crate::request::Overrides;
use dkms_tree::ids::{Build, Kernel, PackageId};
use std::path::PathBuf;
use std::sync::Arc;

/// A step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(usize);

impl StepId {
    /// Its index in the plan, from 0.
    #[must_use]
    pub fn position(self) -> usize {
        self.0
    }
}

/// One thing that an action does, does not have to do, or cannot do.
#[derive(Clone, Debug)]
pub struct Step {
    /// The operation.
    pub operation: Operation,
    /// The reason why the step is executed, or why it is not.
    pub reason: String,
    /// The last build of its package, if it is a build.
    pub last: Option<LastBuild>,
    /// Module files that it installs, removes or moves, as far as this is known in advance.
    pub files: Vec<PathBuf>,
    /// A build that may be taken from elsewhere instead of compiling it: not with CACHE=no, nor with --force
    /// for a build that exists.
    pub reusable: bool,
    /// A failure is only a warning, and not a failure of the command: the previous state stays.
    pub optional: bool,
}

impl Step {
    /// A step that is needed, without further facts.
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
        /// The package version that it is.
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
        /// An earlier build is replaced.
        replace: bool,
        /// The estimated work, in seconds: long builds start early.
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
    /// Deletes the build.
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
    /// The new key is not used yet, because this kernel requires signatures and would not accept its own.
    KeepKey(Kernel),
    /// Requests the enrolment of a certificate.
    Enroll(PathBuf),
    /// Writes an archive or a package.
    WriteArchive(PathBuf),
    /// Loads an archive or a package.
    LoadArchive(PathBuf),
    /// The following steps of this build run only if another version cannot be built (`fallback=yes`).
    Fallback {
        /// The older version, and the kernel.
        build: Build,
        /// The version that it replaces.
        instead_of: PackageId,
    },
    /// Skips a build: BUILD_EXCLUSIVE does not allow it.
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
    /// There is nothing to do for this.
    Nothing(String),
}

impl Operation {
    /// The package version and the kernel that it builds, installs, uninstalls or reports on.
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

    /// Returns whether it changes the modules of a kernel, as far as this is known.
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

/// The expected result of installing a build. It is certain only under the kernel's lock and after
/// PRE_INSTALL, so the step is executed in any case.
#[derive(Clone, Debug, Default)]
pub enum Outlook {
    /// Files are installed, as far as this is known.
    #[default]
    Changes,
    /// The kernel has the same modules.
    Same(String),
    /// It is refused.
    Refused(Arc<Error>),
}

/// The way in which installs are grouped into transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transactions {
    /// All installs of the plan.
    #[default]
    Together,
    /// The installs of each kernel.
    PerKernel,
}

/// An order between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    before: StepId,
    after: StepId,
}

/// The steps of an action, and the order between them. Each step comes after those that it follows.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    steps: Vec<Step>,
    edges: Vec<Edge>,
    /// The grouping of its installs into transactions.
    pub transactions: Transactions,
    /// The safety checks that its execution overrides.
    pub overrides: Overrides,
}

impl Plan {
    /// A plan of one step.
    #[must_use]
    pub fn of(operation: Operation, reason: impl Into<String>) -> Self {
        let mut plan = Self::default();
        plan.push(Step::new(operation, reason), []);
        plan
    }

    /// The same plan, whose execution overrides these safety checks.
    #[must_use]
    pub fn overriding(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Adds a note about each build to its reason. The function receives the build and whether it may be
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

    /// Adds a step that follows some of the existing steps.
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

    /// One of its steps.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// The steps that a step follows.
    pub fn before(&self, id: StepId) -> impl Iterator<Item = StepId> {
        self.edges.iter().filter(move |edge| edge.after == id).map(|edge| edge.before)
    }

    /// Returns whether the plan has no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds the steps of another plan at the end.
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
