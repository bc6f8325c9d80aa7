//! The answer of a command that did not fail. An inspection prints its findings first.

use dkms_core::look::verify::Outcome;

/// The answer of a command. An inspection that could not run is an error, not an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The inspection found nothing wrong, or the change was made.
    Yes,
    /// The inspection found something wrong.
    No(Summary),
    /// The inspection could not determine the answer.
    Unknown(Summary),
}

/// The message that is printed to standard error after the output of an inspection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// One sentence; empty if the output is enough.
    pub text: String,
    /// How to fix it.
    pub hint: Option<&'static str>,
}

impl Summary {
    /// A summary without a hint.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// Adds a hint.
    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// The answer of a command whose output needs no summary.
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
    /// The summary to print; none if the output is enough.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Yes => None,
            Self::No(summary) | Self::Unknown(summary) => {
                Some(summary).filter(|summary| !summary.text.is_empty())
            }
        }
    }
}
