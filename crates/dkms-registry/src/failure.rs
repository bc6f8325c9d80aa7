//! Why something did not work, and what follows from it.

/// A failed request to a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The registry cannot be used: it is not contacted again.
    #[error("{0}")]
    Unusable(String),
    /// It accepts connections, but does not answer. It is not contacted again.
    #[error("it did not begin to answer in time")]
    Late,
    /// It does not accept a connection, or closes it without an answer. It is not contacted again.
    #[error("{0}")]
    Refused(String),
    /// It refuses this repository. Others may be readable.
    #[error("{0}")]
    Denied(String),
    /// It has no such thing.
    #[error("{0}")]
    Missing(String),
    /// What it sent is not what it should be.
    #[error("{0}")]
    Content(String),
    /// The fault is on this side.
    #[error("{0}")]
    Local(String),
}

/// Text of a registry for a message: one line without control characters, of a limited length.
pub(crate) fn printable(text: &str, length: usize) -> String {
    let is_unsafe =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).take(length).collect()
}
