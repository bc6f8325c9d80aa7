//! What a command that ran to its end answers. An inspection prints what it found first.

use dkms_core::look::verify::Outcome;

/// The answer of a command. That an inspection could not be made is an error, not an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The inspection found nothing wrong, or the change is done.
    Yes,
    /// The inspection found something wrong.
    No(Summary),
    /// The inspection could not determine the answer.
    Unknown(Summary),
}

/// What is printed to standard error besides the output of an inspection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// One sentence; empty when the output says it already.
    pub text: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Summary {
    /// A sentence without a hint.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// Adds what to do.
    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// For a command whose output explains the answer already.
impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Loads => Self::Yes,
            Outcome::Refused => Self::No(Summary::default()),
            Outcome::Unknown => Self::Unknown(Summary::default()),
        }
    }
}

impl Answer {
    /// What there is to print besides the output.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Yes => None,
            Self::No(summary) | Self::Unknown(summary) => Some(summary).filter(|s| !s.text.is_empty()),
        }
    }
}
