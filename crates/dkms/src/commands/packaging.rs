//! The common part of the actions that create packages.

use super::call::Call;
use super::tarball;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::pack::{Content, Request};

/// The parsed command line of such an action.
pub(super) struct Wanted {
    /// The package version.
    pub package: PackageId,
    /// The kernels whose modules are included.
    pub kernels: Vec<Kernel>,
    /// What to include.
    pub content: Content,
    epoch: Option<u64>,
    maker: Option<String>,
}

impl Wanted {
    /// Takes the other fields from the environment.
    pub(super) fn new(package: PackageId, kernels: Vec<Kernel>, content: Content) -> Self {
        Self { package, kernels, content, epoch: tarball::source_date_epoch(), maker: maker() }
    }

    /// Converts it to a request for dkms-core.
    pub(super) fn request<'a>(&'a self, call: &'a Call<'_>) -> Request<'a> {
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
