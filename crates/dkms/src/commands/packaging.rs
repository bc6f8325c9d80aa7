//! What the actions that create packages have in common.

use super::call::Call;
use super::tarball;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::pack::{Content, Request};

/// The request of such an action.
pub(super) struct PackRequest {
    /// The package version.
    package: PackageId,
    /// The kernels whose modules are included.
    kernels: Vec<Kernel>,
    /// What to include.
    content: Content,
    /// The latest timestamp in the package, in seconds since 1970.
    epoch: Option<u64>,
    /// The maintainer: name and address.
    maker: Option<String>,
}

impl PackRequest {
    /// Reads the timestamp and the maintainer from the environment.
    pub(super) fn new(package: PackageId, kernels: Vec<Kernel>, content: Content) -> Self {
        Self { package, kernels, content, epoch: tarball::source_date_epoch(), maker: maker() }
    }

    /// The request to dkms-core.
    pub(super) fn as_core<'a>(&'a self, call: &'a Call<'_>) -> Request<'a> {
        Request {
            package: &self.package,
            kernels: &self.kernels,
            content: self.content,
            archive: call.subject.archive.as_deref(),
            epoch: self.epoch,
            maker: self.maker.as_deref(),
        }
    }
}

/// The maintainer of the packages, determined as Debian's own tools do (debchange(1)).
fn maker() -> Option<String> {
    let variable = |name| {
        let value = std::env::var(name).ok()?;
        let value = value.trim().to_owned();
        (!value.is_empty() && !value.contains(char::is_control)).then_some(value)
    };
    let address = variable("DEBEMAIL").or_else(|| variable("EMAIL"))?;
    if address.contains('<') {
        return Some(address);
    }
    let name = variable("DEBFULLNAME").or_else(|| variable("NAME")).unwrap_or_else(|| "dkms".into());
    Some(format!("{name} <{address}>"))
}
