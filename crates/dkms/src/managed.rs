//! Detects whether a package manager or one of its hooks started dkms.
//!
//! A package manager may provide a terminal, as apt does to log the output, but a live view is of no use
//! there.

use dkms_sys::sys;

/// Variables that only package managers set, for maintainer scripts and hooks.
const VARIABLES: [&str; 5] = [
    "DPKG_MAINTSCRIPT_PACKAGE",
    "DPKG_RUNNING_VERSION",
    "DPKG_HOOK_ACTION",
    "KERNEL_INSTALL_MACHINE_ID",
    "KERNEL_INSTALL_VERBOSE",
];

/// Process names of programs that run maintainer scripts and kernel hooks. A process name has at most 15
/// characters.
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

/// The most parent processes that are checked.
const MOST_ANCESTORS: usize = 64;

/// Whether a package manager started dkms, according to the environment or a parent process.
pub(crate) fn by_package_manager() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some();
    VARIABLES.iter().any(set) || parents().filter_map(sys::process_name).any(|name| is_program(&name))
}

/// Identifies the run of the package manager that started dkms by the process number and start time of the
/// outermost one: apt starts dpkg several times.
pub(crate) fn run() -> Option<String> {
    let is_manager = |pid: &u32| {
        let name = sys::process_name(*pid);
        name.is_some_and(|name| name != "run-parts" && is_program(&name))
    };
    let pid = parents().filter(is_manager).last()?;
    Some(format!("{pid} {}", sys::process_start_time(pid)?))
}

fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

/// The parent processes, nearest first.
fn parents() -> impl Iterator<Item = u32> {
    let first = sys::parent_of(sys::own_pid());
    std::iter::successors(first, |pid| sys::parent_of(*pid).filter(|parent| *parent > 1)).take(MOST_ANCESTORS)
}
