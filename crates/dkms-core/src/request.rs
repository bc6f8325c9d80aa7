//! Errors in requests.

use crate::cause::Cause;
use dkms_tree::ids::BadName;
use std::path::PathBuf;

/// A request that cannot be carried out as it is written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum RequestError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    BadName(#[from] BadName),
    #[error("cannot work on the system in {root}: {cause}")]
    CannotEnter {
        root: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("this action changes the system and needs root")]
    NotRoot,
    #[error("{action} needs a module and its version")]
    ModuleNotNamed { action: String },
    #[error("{action} needs a version: {name} has {}", .versions.join(", "))]
    VersionNotNamed { action: String, name: String, versions: Vec<String> },
    #[error("{0}")]
    KernelArchPairing(String),
    #[error("{0}")]
    Conflict(String),
    #[error("template kernel and target kernel are both {0}")]
    SameKernel(String),
    #[error("--all and an architecture exclude each other")]
    AllWithArch,
    #[error("more than one action: {0} and {1}")]
    TwoActions(String, String),
    #[error("{0}")]
    KernelCount(String),
    #[error("{0} does not take --all")]
    AllBanned(String),
    #[error("--binaries-only and --source-only exclude each other")]
    BothOnly,
}

impl RequestError {
    /// What to do about it; empty if the message says it.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::Usage(_) => vec!["'dkms --help' lists actions and options".into()],
            Self::CannotEnter { .. } => vec![
                "this needs a private mount namespace: run it as root, or enable user namespaces (user.max_user_namespaces)"
                    .into(),
            ],
            Self::NotRoot => vec!["run it again with sudo or as root".into()],
            Self::ModuleNotNamed { action } => vec![
                format!("write: dkms {action} MODULE/VERSION"),
                format!("   or: dkms {action} -m MODULE -v VERSION"),
                "'dkms status' lists what is in the tree".into(),
            ],
            Self::VersionNotNamed { action, name, versions } => {
                versions.iter().map(|version| format!("dkms {action} {name}/{version}")).collect()
            }
            Self::BadName(_)
            | Self::KernelArchPairing(_)
            | Self::Conflict(_)
            | Self::SameKernel(_)
            | Self::AllWithArch
            | Self::TwoActions(..)
            | Self::KernelCount(_)
            | Self::AllBanned(_)
            | Self::BothOnly => Vec::new(),
        }
    }
}
