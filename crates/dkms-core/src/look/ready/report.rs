//! The answer of `dkms ready`.

use crate::look::verify;
use dkms_tree::ids::Kernel;
use kmodule::verdict::{Outcome, Reason};

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// Package or module it is about; none: the kernel as a whole.
    pub about: Option<String>,
    /// Whether it speaks for booting.
    pub answer: Outcome,
    /// What was found, in words.
    pub what: String,
    /// What to do, when something is to be done.
    pub help: Option<String>,
    /// Of a module that would not be loaded, the reasons.
    pub reasons: Vec<Reason>,
}

/// The answer, and what it rests on.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kernel that was asked about.
    pub kernel: Kernel,
    /// The running one, whose modules are the measure.
    pub running: String,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// [`Outcome::Loads`]: ready; [`Outcome::Refused`]: not ready; [`Outcome::Unknown`]: it cannot be told.
    #[must_use]
    pub fn answer(&self) -> Outcome {
        verify::worst(self.checks.iter().map(|c| c.answer))
    }

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
        });
    }
}
