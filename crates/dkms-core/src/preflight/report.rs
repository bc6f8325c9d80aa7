//! The report of `dkms preflight`.

use crate::look::verify::Outcome;
use dkms_tree::ids::PackageId;

/// The kernels that were checked.
#[derive(Clone, Debug)]
pub struct Report {
    /// The package manager.
    pub manager: &'static str,
    /// The kernels, in the order in which they are offered or named.
    pub kernels: Vec<KernelReport>,
}

/// The expected result for a kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelReport {
    /// Its release.
    pub release: String,
    /// The names of the packages of headers, with their versions.
    pub headers: Vec<String>,
    /// The packages of the tree.
    pub packages: Vec<PackageReport>,
    /// The reason why nothing could be built.
    pub unknown: Option<String>,
}

/// The expected result for a package.
#[derive(Clone, Debug)]
pub struct PackageReport {
    /// The package version.
    pub package: PackageId,
    /// The expected state.
    pub state: PackageState,
    /// Whether the kernel needs it.
    pub required: bool,
}

/// The expected state of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageState {
    /// It builds.
    Builds,
    /// It builds, but the newest version of the package, which is this one, does not (`fallback=yes`).
    Fallback(String),
    /// It does not build, for this reason.
    Fails(String),
    /// It does not support the kernel, for this reason.
    Unsupported(String),
    /// It waits for packages that are not in the tree. The text is the reason.
    Deferred(String),
}

impl PackageState {
    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Builds => "builds",
            Self::Fallback(_) => "fallback",
            Self::Fails(_) => "fails",
            Self::Unsupported(_) => "unsupported",
            Self::Deferred(_) => "deferred",
        }
    }

    fn builds(&self) -> bool {
        matches!(self, Self::Builds | Self::Fallback(_))
    }
}

impl KernelReport {
    pub(super) fn new(release: &str) -> Self {
        Self { release: release.to_owned(), ..Self::default() }
    }

    /// Returns whether it would get all required modules.
    #[must_use]
    pub fn answer(&self) -> Outcome {
        if self.packages.iter().any(|p| p.required && !p.state.builds()) {
            Outcome::Refused
        } else if self.unknown.is_some() {
            Outcome::Unknown
        } else {
            Outcome::Loads
        }
    }
}
