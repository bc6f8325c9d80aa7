//! Errors of the programs that dkms runs: tools of the system, and scripts of packages.

use crate::cause::Cause;
use dkms_tree::ids::PackageId;
use std::path::PathBuf;

/// A program is missing or failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum ProgramError {
    #[error("there is no program '{program}', which dkms needs to {purpose}")]
    Missing { program: String, purpose: String, package: String },
    #[error("{command} failed: {cause}")]
    Failed {
        command: String,
        #[source]
        cause: Cause,
    },
    /// `code` is the exit code of the script, as a shell reports it.
    #[error("{directive} of {package} ({command}) ended with {status}")]
    ScriptFailed {
        package: PackageId,
        directive: &'static str,
        command: String,
        status: String,
        code: i32,
        log: Option<PathBuf>,
    },
}

impl ProgramError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::Missing { package, .. } => vec![format!("install the package {package}")],
            Self::ScriptFailed { log: Some(log), .. } => vec![format!("its output: {}", log.display())],
            Self::Failed { .. } | Self::ScriptFailed { log: None, .. } => Vec::new(),
        }
    }
}
