//! The kernels of an image: a system none of whose kernels runs, because it is in another root, or because
//! another system prepares it in a chroot or container.

use super::{headers, installed};
use crate::distro::{Distribution, Family};
use crate::session::Session;
use dkms_tree::ids::Release;
use dkms_tree::layout::Layout;

/// The kernels of an image, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageKernels {
    releases: Vec<Release>,
}

impl ImageKernels {
    /// The kernels that have modules; if there is none, those that have headers, as in the stage of a
    /// container build that only compiles.
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

/// The kernels that modules are built for in an image if the command line names none: the newest one, or with
/// `autoinstall_all_kernels` all of them that have headers. `None`: this is not an image.
#[must_use]
pub fn chosen(session: &Session<'_>) -> Option<Vec<Release>> {
    let kernels = session.host.image.as_ref()?;
    let newest: Vec<Release> = kernels.newest().into_iter().cloned().collect();
    if session.options.framework.autoinstall_all_kernels != Some(true) {
        return Some(newest);
    }
    let mut buildable = kernels.releases.clone();
    buildable.retain(|release| headers::present(session, release));
    // Without any headers, the error is about the newest kernel.
    Some(if buildable.is_empty() { newest } else { buildable })
}

/// The packages that bring a kernel and its headers into an image, in a distribution's words.
#[must_use]
pub fn packages(distribution: Option<&Distribution>, machine: &str) -> String {
    let debian = match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match distribution.map(Distribution::family) {
        Some(Family::Debian) => format!("linux-image-{debian} and linux-headers-{debian}"),
        Some(Family::Ubuntu) => "linux-image-generic and linux-headers-generic".into(),
        Some(Family::Fedora | Family::Rhel) => "kernel and kernel-devel".into(),
        Some(Family::Suse) => "kernel-default and kernel-default-devel".into(),
        Some(Family::Arch) => "linux and linux-headers".into(),
        _ => "a kernel and its headers".into(),
    }
}
