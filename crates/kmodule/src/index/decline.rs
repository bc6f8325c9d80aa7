//! Why the index is not written here.

/// Why depmod has to do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Decline {
    reason: String,
}

impl Decline {
    /// A reason in words.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
