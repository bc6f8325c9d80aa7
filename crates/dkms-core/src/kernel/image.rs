//! The kernels of an image: a system none of whose kernels runs, because it is in another root, or because
//! another system prepares it in a chroot or container.

use super::installed;
use dkms_tree::ids::Release;
use dkms_tree::layout::Layout;

/// The kernels of an image, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageKernels {
    releases: Vec<Release>,
}

impl ImageKernels {
    /// Returns the kernels that have modules; if no kernel has, the kernels that have headers, as in the
    /// stage of a container build that only compiles.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let with_modules = installed::releases(layout);
        let releases = if with_modules.is_empty() { installed::with_headers(layout) } else { with_modules };
        Self { releases }
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The newest one.
    #[must_use]
    pub fn newest(&self) -> Option<&Release> {
        self.releases.last()
    }
}
