//! Whether a package manager or one of its hooks started us. It may provide a terminal (apt does, and logs what is written
//! there), but nobody watches a live view on it.

use dkms_sys::sys;

/// Variables that only such programs set, for maintainer scripts and for hooks.
const VARIABLES: [&str; 5] = [
    "DPKG_MAINTSCRIPT_PACKAGE",
    "DPKG_RUNNING_VERSION",
    "DPKG_HOOK_ACTION",
    "KERNEL_INSTALL_MACHINE_ID",
    "KERNEL_INSTALL_VERBOSE",
];

/// Programs that run scripts of packages, and hooks for kernels.
const PROGRAMS: [&str; 24] = [
    "apk",
    "apt",
    "apt-get",
    "aptitude",
    "dnf",
    "dnf5",
    "dnf-3",
    "dpkg",
    "emerge",
    "kernel-install",
    "microdnf",
    "packagekitd",
    "pacman",
    "rpm",
    "rpm-ostree",
    "run-parts",
    "synaptic",
    "tdnf",
    "transactional-u",
    "unattended-upgr",
    "urpmi",
    "xbps-install",
    "yum",
    "zypper",
];

/// Processes above us that are looked at.
const MOST: usize = 64;

/// Whether it is so, by the environment or by who our ancestors are.
pub fn by_package_manager() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some();
    VARIABLES.iter().any(set) || ancestors().any(|name| PROGRAMS.contains(&name.as_str()))
}

/// The names of the processes above this one, the nearest first.
fn ancestors() -> impl Iterator<Item = String> {
    let first = sys::parent_of(sys::own_pid());
    std::iter::successors(first, |pid| sys::parent_of(*pid).filter(|p| *p > 1))
        .take(MOST)
        .filter_map(sys::process_name)
}
