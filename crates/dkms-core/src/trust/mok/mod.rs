//! `dkms mok`: the key that signs this machine's modules, whether this machine trusts it, and the steps that
//! make the machine trust it.
//!
//! The status changes nothing and needs no privileges; unreadable files are reported. [`enroll()`] calls
//! mokutil, which makes the request and writes the variables. [`rotate()`] never makes a machine that
//! requires signatures depend on a key that it does not trust yet.

mod certificate;
mod enroll;
mod facts;
mod kernels;
mod next;
mod rotate;
mod status;
mod step;

pub use certificate::{Accepted, Certified, Enrolment};
pub use enroll::{Enrolled, enroll, plan_enrolment};
pub use facts::{KeyFile, Status};
pub use rotate::{Rotated, Taken, plan_rotation, rotate};
pub use status::status;
pub use step::{Next, Step};

use crate::kernel::headers::{self, KernelConfig};
use crate::system::Settings;
use dkms_tree::layout::Layout;
use std::path::PathBuf;

/// A kernel's configuration: from its headers, else from the file that its package installed in /boot or next
/// to its modules.
pub(crate) fn config_of(layout: &Layout, settings: &Settings, release: &str) -> Option<KernelConfig> {
    let places: [PathBuf; 3] = [
        headers::config_path(layout, settings, release),
        layout.boot_dir.join(format!("config-{release}")),
        layout.kernel_modules(release).join("config"),
    ];
    places.iter().find_map(|path| KernelConfig::read(path))
}
