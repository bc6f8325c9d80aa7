//! Errors about packages in the dkms tree.

use dkms_tree::ids::PackageId;

/// A package in the tree is not in the state that the request needs.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum PackageError {
    #[error("{0} is already in the dkms tree")]
    AlreadyAdded(PackageId),
    #[error("{0} is already in the dkms tree, and the archive would replace it")]
    WouldBeReplaced(PackageId),
    #[error("{0} is not in the dkms tree")]
    NotAdded(PackageId),
    #[error("{package} is not in the dkms tree, but {added} is")]
    OtherSplit { package: PackageId, added: PackageId },
    #[error("package {0} is not in the dkms tree")]
    Unknown(String),
    #[error("{package} is broken: {what}")]
    Broken { package: PackageId, what: String },
    #[error("removal cancelled: {0} was added in the same RPM transaction")]
    RemoveCancelled(PackageId),
}

impl PackageError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::AlreadyAdded(id) => vec![format!("to register it again: dkms remove {id} --all")],
            Self::WouldBeReplaced(id) => vec![format!("--force replaces {id}")],
            Self::NotAdded(id) => vec![
                format!("register it first: dkms add {id}"),
                "'dkms status' lists what is in the tree".into(),
            ],
            Self::Broken { package, .. } => vec![format!(
                "restore the source (reinstall the package that contained {package}), then: dkms add {package}"
            )],
            Self::OtherSplit { added, .. } => vec![format!("write: {added}")],
            Self::Unknown(_) | Self::RemoveCancelled(_) => Vec::new(),
        }
    }
}
