//! The queries: fsck, verify, ready, pending, status, lint and config. This file contains what they share.

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

/// The reason why a query failed. What a query finds is its result, not an error.
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
    #[error("there is no kernel in {tree}{}", root_suffix(.root.as_deref()))]
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
            Self::NoKernel { package: Some(package), .. } => vec![format!("install a kernel: {package}")],
            Self::NoKernel { package: None, .. } => vec!["install a kernel".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// The text after a path that is below the directory of `--root`.
fn root_suffix(root: Option<&Path>) -> String {
    root.map_or_else(String::new, |root| format!(" of {}", root.display()))
}
