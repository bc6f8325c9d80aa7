//! Detects where dkms runs: on a machine, in a chroot, or in a container. In a chroot or container, the
//! system can be an image that another system builds.

use crate::actions::Action;
use dkms_core::host::Host;
use dkms_core::kernel::image::ImageKernels;
use dkms_core::kernel::installed;
use dkms_core::tree::layout::Layout;
use dkms_sys::fs::{Limit, exists_followed, read_bounded};

/// Where dkms runs, according to /proc and the files of container engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// A system that runs its own kernel.
    Machine,
    /// A system in a directory of another one.
    Chroot,
    /// A container, which uses the kernel of another system.
    Container,
    /// There is no /proc, so this may be a chroot.
    Unknown,
}

impl Surroundings {
    /// Detects where dkms runs. `running_is_installed` is whether this system has the running kernel.
    pub(crate) fn detect(running_is_installed: bool) -> Self {
        let chroot = dkms_sys::sys::in_chroot();
        // fakechroot(1) does not change the root directory, but only paths.
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

    /// The value for [`Host::chroot`]: none if it is unknown.
    pub(crate) fn is_chroot(self) -> Option<bool> {
        match self {
            Self::Machine | Self::Container => Some(false),
            Self::Chroot => Some(true),
            Self::Unknown => None,
        }
    }
}

/// Files of container engines: podman and buildah, systemd-nspawn, systemd.
const CONTAINER_FILES: [&str; 3] =
    ["/run/.containerenv", "/run/host/container-manager", "/run/systemd/container"];

fn is_container(running_is_installed: bool) -> bool {
    CONTAINER_FILES.iter().any(exists_followed)
        // Machines whose disk was made from a Docker image have this file as well.
        || (!running_is_installed && exists_followed("/.dockerenv"))
        // buildah, podman, mkosi and osbuild set this variable for the commands that build an image.
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

/// Detects whether the system is an image. If so, the running kernel is irrelevant, and the default kernel is
/// the newest of the image.
pub(crate) fn recognise_image(host: &mut Host, layout: &Layout, action: Action) {
    let running_is_installed = installed::is_installed(layout, &host.release);
    let surroundings = Surroundings::detect(running_is_installed);
    host.container = surroundings == Surroundings::Container;
    host.chroot = surroundings.is_chroot();
    let is_image = match surroundings {
        // `mok` works on the firmware and the running kernel.
        _ if action == Action::Mok => false,
        Surroundings::Machine => false,
        // `ready` checks the next boot, for which the kernel of another system is irrelevant.
        Surroundings::Chroot | Surroundings::Container => action == Action::Ready || !running_is_installed,
        Surroundings::Unknown => !running_is_installed,
    };
    // The system of --root is always an image.
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
