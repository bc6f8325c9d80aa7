//! Errors of archives and packages.

use crate::cause::Cause;
use dkms_tree::ids::{Kernel, PackageId};
use std::path::PathBuf;

/// A tarball or a package cannot be created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum PackError {
    #[error("{action} needs a spec file, but none exists: {places}")]
    SpecMissing { action: &'static str, places: String },
    #[error("{0} is not writable")]
    DestinationNotWritable(PathBuf),
    #[error("{0} exists already, and nothing was written")]
    OutputExists(PathBuf),
    #[error("{} and {} both have a module '{module}', and an image or extension can contain only one of them", .packages[0], .packages[1])]
    ModuleTwice { module: String, packages: [PackageId; 2] },
    #[error(
        "{module} needs the module '{needs}', which is neither in the requested packages nor among the modules of kernel {kernel} on this machine"
    )]
    DependencyMissing { module: String, needs: String, kernel: Kernel },
    #[error(
        "an image needs /bin/sh, mkdir and cp, and this machine has no static busybox for {machine}{rejected}"
    )]
    NoTools { machine: String, rejected: String },
    #[error("'{name}' is not a valid image name: {fault}")]
    ImageName { name: String, fault: NameFault, chosen: bool },
    #[error("two images would be named {reference}")]
    SameImageName { reference: String, placeholder: &'static str },
    #[error("'{0}' is not a valid directory in an image, such as /opt")]
    ImageDirectory(String),
    #[error("'{value}' is not a valid {key} in an os-release file")]
    OsRelease { key: &'static str, value: String },
    #[error("{path}: the name of a system extension in this format {} .raw", if *.raw { "must end in" } else { "must not end in" })]
    ExtensionSuffix { path: PathBuf, raw: bool },
    #[error("{0}: this is not a valid name for a system extension")]
    ExtensionName(PathBuf),
    #[error("a document of the image cannot be encoded: {0}")]
    Encoding(#[source] Cause),
    #[error("{path} cannot be the base of an image: {cause}")]
    BadBase {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
}

/// The problem with the name of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum NameFault {
    #[error("the digest of an image is known only after it is written, so use a tag instead")]
    Digest,
    #[error("the registry before the first '/' must be a host name with an optional port")]
    Host,
    #[error("only lower case letters and digits are allowed, with single '.', '_' and '-' between them")]
    Characters,
    #[error("it is longer than 255 characters")]
    Long,
    #[error("a tag consists of at most 128 letters, digits, '_', '.' and '-'")]
    Tag,
}

impl PackError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::OutputExists(_) => vec!["--force replaces it".into()],
            Self::DependencyMissing { kernel, .. } => vec![
                format!("if it is a module of the kernel, install the modules of kernel {}", kernel.release),
                "if another package provides it, add that package to the command".into(),
            ],
            Self::NoTools { .. } => vec![
                "install a static busybox (Debian: busybox-static)".into(),
                "or use an image that contains these programs: --base LAYOUT".into(),
            ],
            Self::ImageName { chosen: false, .. } => vec!["give the image a name: --image NAME".into()],
            Self::SameImageName { placeholder, .. } => {
                vec![format!("include {placeholder} in the name: --image NAME")]
            }
            Self::ImageName { .. }
            | Self::ImageDirectory(_)
            | Self::OsRelease { .. }
            | Self::ExtensionSuffix { .. }
            | Self::ExtensionName(_)
            | Self::SpecMissing { .. }
            | Self::DestinationNotWritable(_)
            | Self::ModuleTwice { .. }
            | Self::Encoding(_)
            | Self::BadBase { .. } => Vec::new(),
        }
    }
}
