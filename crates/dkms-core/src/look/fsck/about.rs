//! The package, version and kernel that a finding is about.

use dkms_tree::ids::{Build, Kernel, PackageId};

/// The subject of a finding, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Package name.
    pub package: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// Kernel release.
    pub release: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
}

impl About {
    pub(super) fn package(name: &str) -> Self {
        Self { package: Some(name.to_owned()), ..Self::default() }
    }

    pub(super) fn version(package: &PackageId) -> Self {
        Self { version: Some(package.version.clone()), ..Self::package(&package.name) }
    }

    pub(super) fn build(build: &Build) -> Self {
        Self::version(&build.package).for_kernel(&build.kernel)
    }

    pub(super) fn release(release: &str) -> Self {
        Self { release: Some(release.to_owned()), ..Self::default() }
    }

    pub(super) fn for_kernel(mut self, kernel: &Kernel) -> Self {
        self.release = Some(kernel.release.to_string());
        self.arch = Some(kernel.arch.clone());
        self
    }
}
