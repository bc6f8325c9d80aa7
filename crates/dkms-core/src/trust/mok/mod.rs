//! `dkms mok`: the key that signs this machine's modules, whether this machine trusts it, and what to do when
//! it does not.
//!
//! Looking changes nothing and needs no rights; what cannot be read is said. [`enroll()`] leaves the asking
//! and the writing of variables to mokutil. [`rotate()`] never makes a machine that insists on signatures
//! depend on a key that it does not trust yet.

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
use crate::session::Session;
use std::path::PathBuf;

/// A kernel's configuration: that of its headers, else what its package put into /boot or beside its modules.
pub(crate) fn config_of(s: &Session<'_>, release: &str) -> Option<KernelConfig> {
    let places: [PathBuf; 3] = [
        headers::config_path(s, release),
        s.layout.boot_dir.join(format!("config-{release}")),
        s.layout.kernel_modules(release).join("config"),
    ];
    places.iter().find_map(|path| KernelConfig::read(path))
}
