//! The kernels of an image. An image is a system whose kernels do not run: it is in another root, or in a
//! chroot or container.

use super::installed;
use dkms_tree::ids::Release;
use dkms_tree::layout::Layout;

/// The kernels of an image, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageKernels {
    releases: Vec<Release>,
}

impl ImageKernels {
    /// Returns the kernels that have modules. If there are none, returns the kernels that have headers: a
    /// container that only compiles modules has no kernel.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let with_modules = installed::releases(layout);
        let releases = if with_modules.is_empty() { installed::with_headers(layout) } else { with_modules };
        Self { releases }
    }

    /// Returns all kernels, oldest first.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// Returns the newest kernel.
    #[must_use]
    pub fn newest(&self) -> Option<&Release> {
        self.releases.last()
    }
}
