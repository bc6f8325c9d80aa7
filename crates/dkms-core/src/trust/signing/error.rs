//! Why a module is not signed, or a key not enrolled or replaced.

use crate::cause::Cause;
use std::path::PathBuf;

/// Signing failed, or the signing key cannot be changed. `help` says what to do, unless it is empty.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum SigningError {
    #[error("the module {path} cannot be signed: {cause}")]
    SignFailed {
        path: PathBuf,
        #[source]
        cause: Cause,
        help: String,
    },
    #[error("the key is not enrolled: {reason}")]
    NotEnrolled { reason: String, help: String },
    #[error("the signing key is not replaced: {reason}")]
    KeyKept { reason: String, help: String },
}

impl SigningError {
    /// What to do about it; empty if the message already says so.
    pub fn help(&self) -> Vec<String> {
        let (Self::SignFailed { help, .. } | Self::NotEnrolled { help, .. } | Self::KeyKept { help, .. }) =
            self;
        Some(help).filter(|help| !help.is_empty()).cloned().into_iter().collect()
    }
}
