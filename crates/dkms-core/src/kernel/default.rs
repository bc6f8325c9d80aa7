//! The kernels for which a command works if the user selects none.

use super::headers;
use crate::system::System;
use dkms_tree::ids::Release;

/// Returns the kernels for which modules are built in an image if the user selects none: the newest kernel,
/// or with `autoinstall_all_kernels` all kernels that have headers. Returns `None` if the system is not an
/// image.
#[must_use]
pub fn of_image(system: &System) -> Option<Vec<Release>> {
    let kernels = system.host.image.as_ref()?;
    let newest: Vec<Release> = kernels.newest().into_iter().cloned().collect();
    if system.settings.framework.autoinstall_all_kernels != Some(true) {
        return Some(newest);
    }
    let mut buildable = kernels.releases().to_vec();
    buildable.retain(|release| headers::present(&system.layout, &system.settings, release));
    // If no kernel has headers, the user gets an error about the newest kernel.
    Some(if buildable.is_empty() { newest } else { buildable })
}
