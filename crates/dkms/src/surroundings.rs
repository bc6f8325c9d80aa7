//! Where dkms runs: on a machine, in a chroot, or in a container. In the latter two, the system may be an
//! image that another one prepares.

use crate::actions::Action;
use dkms_core::host::Host;
use dkms_core::kernel::image::ImageKernels;
use dkms_core::kernel::installed;
use dkms_core::tree::layout::Layout;
use dkms_sys::fs::{Limit, exists_followed, read_bounded};

/// What /proc and the files of container engines show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// A system with kernels of its own.
    Machine,
    /// A directory of another system.
    Chroot,
    /// A container, which has the kernel of another system.
    Container,
    /// There is no /proc, so this may be a chroot.
    Unknown,
}

impl Surroundings {
    /// Determines it. `running_is_installed`: the running kernel is one of this system's.
    pub(crate) fn detect(running_is_installed: bool) -> Self {
        let chroot = dkms_sys::sys::in_chroot();
        // fakechroot(1) changes paths, and no root directory.
        if chroot == Some(true) || std::env::var_os("FAKECHROOT").is_some_and(|value| value == "true") {
            Self::Chroot
        } else if is_container(running_is_installed) {
            Self::Container
        } else if chroot.is_none() {
            Self::Unknown
        } else {
            Self::Machine
        }
    }

    /// For [`Host::chroot`].
    pub(crate) fn is_chroot(self) -> Option<bool> {
        match self {
            Self::Machine | Self::Container => Some(false),
            Self::Chroot => Some(true),
            Self::Unknown => None,
        }
    }
}

/// Files of container engines: podman's and buildah's, and those of systemd-nspawn and systemd.
const CONTAINER_FILES: [&str; 3] =
    ["/run/.containerenv", "/run/host/container-manager", "/run/systemd/container"];

fn is_container(running_is_installed: bool) -> bool {
    CONTAINER_FILES.iter().any(exists_followed)
        // Also on machines whose disk was made from such an image, so it is not enough alone.
        || (!running_is_installed && exists_followed("/.dockerenv"))
        // buildah, podman, mkosi and osbuild set it for the commands of a recipe.
        || std::env::var_os("container").is_some_and(|value| !value.is_empty())
        || read_bounded("/proc/1/environ", Limit::CONFIG).is_ok_and(|bytes| names_container(&bytes))
}

/// Whether an environment (proc_pid_environ(5)) has the variable `container`
/// (<https://systemd.io/CONTAINER_INTERFACE>).
fn names_container(environment: &[u8]) -> bool {
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.strip_prefix(b"container=").is_some_and(|value| !value.is_empty()))
}

/// Recognises an image, in which the running kernel means nothing: the default kernel is then the image's
/// newest one.
pub(crate) fn recognise_image(host: &mut Host, layout: &Layout, action: Action) {
    let running_is_installed = installed::is_installed(layout, &host.release);
    let surroundings = Surroundings::detect(running_is_installed);
    host.container = surroundings == Surroundings::Container;
    host.chroot = surroundings.is_chroot();
    let is_image = match surroundings {
        // That is about the firmware and the running kernel.
        _ if action == Action::Mok => false,
        Surroundings::Machine => false,
        // `ready` is about the next boot, so here it is never about the running kernel.
        Surroundings::Chroot | Surroundings::Container => action == Action::Ready || !running_is_installed,
        Surroundings::Unknown => !running_is_installed,
    };
    // Another root is one.
    if host.other_root.is_some() {
        host.chroot = Some(true);
    } else if !is_image {
        return;
    }
    let kernels = ImageKernels::of(layout);
    if let Some(newest) = kernels.newest() {
        host.release = newest.clone();
    }
    host.image = Some(kernels);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_containers() {
        assert!(names_container(b"PATH=/bin\0container=podman\0"));
        assert!(!names_container(b"PATH=/bin\0container=\0mycontainer=x\0"));
        assert!(!names_container(b""));
    }
}
