//! One line of the status: a package version and its state for a kernel.

use crate::ids::{Kernel, PackageId, Release};
use serde::{Deserialize, Serialize};

/// The state that an entry reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Registered, not built for any of the requested kernels.
    Added,
    /// The source is missing.
    Broken,
    /// Built for a kernel.
    Built(Kernel),
    /// Installed for a kernel.
    Installed(Kernel),
    /// Linked from another kernel it was built for.
    InstalledWeak {
        /// The kernel that uses it.
        kernel: Kernel,
        /// The kernel it was built for.
        from: Release,
    },
}

/// One line of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The package version.
    pub package: PackageId,
    /// Its state.
    pub kind: State,
    /// Whether modules of the kernel were moved aside.
    pub originals: bool,
    /// Whether a built module file is missing, either in the tree or at its installed path.
    pub built_missing: bool,
    /// Whether an installed file differs from the built one or is missing.
    pub differs: bool,
    /// It is installed because this newer version did not build for the kernel (`fallback=yes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_for: Option<String>,
}

impl Entry {
    /// An entry without remarks.
    pub fn new(package: &PackageId, kind: State) -> Self {
        Self {
            package: package.clone(),
            kind,
            originals: false,
            built_missing: false,
            differs: false,
            fallback_for: None,
        }
    }

    /// The kernel of the entry; `None` if it describes the version as a whole.
    pub fn kernel(&self) -> Option<&Kernel> {
        match &self.kind {
            State::Added | State::Broken => None,
            State::Built(kernel) | State::Installed(kernel) | State::InstalledWeak { kernel, .. } => {
                Some(kernel)
            }
        }
    }

    /// The line as scripts parse it (CONTRACT "status").
    pub fn line(&self) -> String {
        let package = &self.package;
        let PackageId { name, version } = package;
        let mut line = match &self.kind {
            State::Added => format!("{package}: added"),
            State::Broken => format!("{package}: broken"),
            State::Built(Kernel { release, arch }) => format!("{package}, {release}, {arch}: built"),
            State::Installed(Kernel { release, arch }) => format!("{package}, {release}, {arch}: installed"),
            State::InstalledWeak { kernel: Kernel { release, arch }, from } => {
                format!("{name}, {version}, {release}, {arch}: installed-weak from {from}")
            }
        };
        for (applies, text) in [
            (self.originals, " (Original modules exist)"),
            (self.built_missing, " (Built modules are missing in the kernel modules folder)"),
            (self.differs, " (Differences between built and installed modules)"),
        ] {
            if applies {
                line.push_str(text);
            }
        }
        if let Some(newer) = &self.fallback_for {
            line.push_str(&format!(" (Fallback: {newer} does not build)"));
        }
        line
    }
}
