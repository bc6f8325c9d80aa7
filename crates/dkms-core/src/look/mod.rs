//! The parts that the inspections (fsck, verify, ready, pending, status, lint, config) share.

pub mod describe;
pub mod fsck;
mod json;
pub mod lint;
pub mod loaded;
pub mod modules;
pub mod ready;
pub mod status;
pub mod verify;

use dkms_sys::IoError;
use std::path::{Path, PathBuf};

/// The reason why an inspection could not run. The findings of an inspection are its result, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The dkms tree cannot be listed.
    #[error("the dkms tree cannot be inspected: {0}")]
    TreeUnreadable(#[source] IoError),
    /// No package in the tree has one of these names.
    #[error("no package in {tree} is named {}", .names.join(", "))]
    NoSuchPackage {
        /// The dkms tree.
        tree: PathBuf,
        /// The names and patterns that were given.
        names: Vec<String>,
    },
    /// No module of this package is installed.
    #[error("{0} is not installed, so there is nothing to verify")]
    NotInstalled(String),
    /// There is no kernel in this directory.
    #[error("there is no kernel in {tree}{}", of_root(.root.as_deref()))]
    NoKernel {
        /// The directory of kernel modules.
        tree: PathBuf,
        /// The directory of `--root`.
        root: Option<PathBuf>,
        /// The package with the usual kernel of the distribution.
        package: Option<String>,
    },
}

impl LookError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::NoKernel { package, .. } => {
                let package = package.as_ref().map_or_else(String::new, |package| format!(": {package}"));
                vec![format!("install a kernel{package}")]
            }
            _ => Vec::new(),
        }
    }
}

/// The words that name the system of `--root` after a path in it.
fn of_root(root: Option<&Path>) -> String {
    root.map_or_else(String::new, |root| format!(" of {}", root.display()))
}
