//! The kernels that a key is for.

use super::config_of;
use crate::host::Host;
use crate::system::System;
use crate::trust::machine::{Enforce, Machine, policy};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state;

/// Kernels that require signatures or may require them, among those with modules of ours and the running one.
pub(super) fn demanding(system: &System, machine: &Machine) -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = builds(&system.layout).into_iter().map(|b| b.kernel).collect();
    kernels.extend(running(&system.host));
    kernels.sort();
    kernels.dedup();
    kernels.retain(|k| {
        let config = config_of(&system.layout, &system.settings, &k.release);
        let runs = system.host.runs(&k.release);
        policy(machine, config.as_ref().map(|c| c.text()), runs).enforce != Enforce::No
    });
    kernels
}

fn running(host: &Host) -> Option<Kernel> {
    host.kernel().ok()
}

pub(super) fn builds(layout: &Layout) -> Vec<Build> {
    state::all_packages(layout).iter().flat_map(|p| state::builds(layout, p)).collect()
}
