//! Delays shutdown and sleep while builds run.

use super::task::Tasks;
use crate::host::Host;
use dkms_sys::inhibit::{Inhibitor, SYSTEM_BUS};
use std::path::Path;

/// Asks logind to delay shutdown and sleep, as long as the result exists. Only for builds for this machine.
pub(super) fn delay_shutdown(host: &Host, tasks: &Tasks<'_>) -> Option<Inhibitor> {
    let kernel = &tasks.to_build().next()?.build.kernel.release;
    let is_machine = host.root && host.other_root.is_none() && host.chroot != Some(true);
    let why = format!("kernel modules are being built for kernel {kernel}");
    is_machine.then(|| Inhibitor::request(Path::new(SYSTEM_BUS), "dkms", &why))
}
