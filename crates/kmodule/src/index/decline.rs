//! The error of the index.

/// Why the index must be left to depmod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Decline {
    reason: String,
}

impl Decline {
    /// The reason, as a message.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
