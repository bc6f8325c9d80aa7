//! Detects whether a package manager or one of its hooks started dkms.
//!
//! A package manager may provide a terminal, as apt does to log what is written there, but a live view is of
//! no use on it.

use dkms_sys::sys;

/// Variables that package managers set for maintainer scripts and hooks, and no other program sets.
const VARIABLES: [&str; 5] = [
    "DPKG_MAINTSCRIPT_PACKAGE",
    "DPKG_RUNNING_VERSION",
    "DPKG_HOOK_ACTION",
    "KERNEL_INSTALL_MACHINE_ID",
    "KERNEL_INSTALL_VERBOSE",
];

/// Programs that run maintainer scripts and kernel hooks, by their process names (15 characters at most).
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

/// The limit for the number of parent processes that are checked.
const MOST_ANCESTORS: usize = 64;

/// Whether the environment or a parent process is that of a package manager.
pub(crate) fn by_package_manager() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some();
    VARIABLES.iter().any(set) || ancestors().any(|name| PROGRAMS.contains(&name.as_str()))
}

/// A name for the run of the package manager that started dkms: the outermost of the parent processes that is
/// one, because apt starts dpkg several times, with its start time.
pub(crate) fn run() -> Option<String> {
    let is_manager = |pid: &u32| {
        let name = sys::process_name(*pid);
        name.is_some_and(|name| name != "run-parts" && PROGRAMS.contains(&name.as_str()))
    };
    let pid = parents().filter(is_manager).last()?;
    Some(format!("{pid} {}", sys::process_start_time(pid)?))
}

/// The names of the parent processes, nearest first.
fn ancestors() -> impl Iterator<Item = String> {
    parents().filter_map(sys::process_name)
}

/// The parent processes, nearest first.
fn parents() -> impl Iterator<Item = u32> {
    let first = sys::parent_of(sys::own_pid());
    std::iter::successors(first, |pid| sys::parent_of(*pid).filter(|p| *p > 1)).take(MOST_ANCESTORS)
}
