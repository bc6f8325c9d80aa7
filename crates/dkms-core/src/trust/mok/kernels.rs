//! Finds the kernels for which a key signs modules.

use super::config_of;
use crate::system::System;
use crate::trust::machine::{Enforce, Machine, policy};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state;

/// Kernels that require signatures or may require them, among the running kernel and those with modules of
/// dkms.
pub(super) fn demanding(system: &System, machine: &Machine) -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = builds(&system.layout).into_iter().map(|build| build.kernel).collect();
    kernels.extend(system.host.kernel().ok());
    kernels.sort();
    kernels.dedup();
    kernels.retain(|kernel| {
        let config = config_of(&system.layout, &system.settings, &kernel.release);
        let runs = system.host.runs(&kernel.release);
        policy(machine, config.as_ref().map(|c| c.text()), runs).enforce != Enforce::No
    });
    kernels
}

pub(super) fn builds(layout: &Layout) -> Vec<Build> {
    state::all_packages(layout).iter().flat_map(|p| state::builds(layout, p)).collect()
}
