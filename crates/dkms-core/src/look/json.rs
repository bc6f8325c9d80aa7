//! Packages and kernels as keys of JSON documents.

use dkms_tree::ids::{Kernel, PackageId, Release};
use serde::{Serialize, Serializer};

/// Writes the keys `package` and `version`, which are null without a package.
pub(super) fn package<S: Serializer>(id: &Option<PackageId>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Keys<'a> {
        package: Option<&'a str>,
        version: Option<&'a str>,
    }
    let id = id.as_ref();
    let keys = Keys { package: id.map(|id| &*id.name), version: id.map(|id| &*id.version) };
    keys.serialize(serializer)
}

/// Writes the keys `kernel` and `arch` of a [`Kernel`].
#[derive(Serialize)]
#[serde(remote = "Kernel")]
pub(super) struct KernelKeys {
    #[serde(rename = "kernel")]
    release: Release,
    arch: String,
}
