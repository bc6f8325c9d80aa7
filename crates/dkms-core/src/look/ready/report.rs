//! The result of `dkms ready`.

use crate::look::verify;
use dkms_tree::ids::Kernel;
use kmodule::verdict::{Outcome, Reason};
use serde::{Serialize, Serializer};

/// One check and its result. `dkms report --json` writes the fields that are not skipped;
/// `dkms ready --json` adds the others.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The package or module that was checked; `None` for the complete kernel.
    pub about: Option<String>,
    /// The outcome of the check.
    #[serde(serialize_with = "answer")]
    pub answer: Outcome,
    /// What was found, in words.
    pub what: String,
    /// A hint.
    pub help: Option<String>,
    /// The reasons, if the module would not be loaded.
    #[serde(skip)]
    pub reasons: Vec<Reason>,
    /// Whether it is always printed, although it does not affect whether the kernel is ready.
    #[serde(skip)]
    pub remark: bool,
}

/// The word of an answer in JSON: `yes`, `no` or `unknown`.
#[must_use]
pub fn answer_word(answer: Outcome) -> &'static str {
    match answer {
        Outcome::Loads => "yes",
        Outcome::Refused => "no",
        Outcome::Unknown => "unknown",
    }
}

fn answer<S: Serializer>(answer: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(answer_word(*answer))
}

/// The result, with the checks it is based on.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kernel that was checked.
    pub kernel: Kernel,
    /// The running kernel, whose modules are required.
    pub running: String,
    /// All checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// Returns whether the kernel is ready: [`Outcome::Loads`] (ready), [`Outcome::Refused`] (not ready) or
    /// [`Outcome::Unknown`].
    #[must_use]
    pub fn answer(&self) -> Outcome {
        verify::worst(self.checks.iter().map(|check| check.answer))
    }

    /// Adds a check that found `what`.
    pub(super) fn note(
        &mut self,
        about: Option<&str>,
        answer: Outcome,
        what: impl Into<String>,
        help: Option<&str>,
    ) {
        self.checks.push(Check {
            about: about.map(str::to_owned),
            answer,
            what: what.into(),
            help: help.map(str::to_owned),
            reasons: Vec::new(),
            remark: false,
        });
    }

    /// Adds a remark that does not affect whether the kernel is ready.
    pub(super) fn remark(&mut self, about: &str, what: impl Into<String>, help: Option<&str>) {
        self.note(Some(about), Outcome::Loads, what, help);
        if let Some(check) = self.checks.last_mut() {
            check.remark = true;
        }
    }
}
