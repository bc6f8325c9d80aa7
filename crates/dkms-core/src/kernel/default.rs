//! The kernels of a command that names none.

use super::headers;
use crate::system::System;
use dkms_tree::ids::Release;

/// The kernels that modules are built for in an image if the command line names none: the newest one, or with
/// `autoinstall_all_kernels` all of them that have headers. `None`: this is not an image.
#[must_use]
pub fn of_image(system: &System) -> Option<Vec<Release>> {
    let kernels = system.host.image.as_ref()?;
    let newest: Vec<Release> = kernels.newest().into_iter().cloned().collect();
    if system.settings.framework.autoinstall_all_kernels != Some(true) {
        return Some(newest);
    }
    let mut buildable = kernels.releases().to_vec();
    buildable.retain(|release| headers::present(&system.layout, &system.settings, release));
    // Without any headers, the error is about the newest kernel.
    Some(if buildable.is_empty() { newest } else { buildable })
}
