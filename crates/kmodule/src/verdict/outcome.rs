//! The verdict about a module.

use super::reason::Reason;

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel loads the module.
    Loads,
    /// It refuses the module.
    Refused,
    /// There is no reason to refuse the module, but not everything could be checked.
    Unknown,
}

/// The result of [`super::File::judge`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The reasons why the kernel refuses the module. Each is sufficient; the kernel reports the first one.
    pub refusals: Vec<Reason>,
    /// The checks that could not be made.
    pub doubts: Vec<Reason>,
    /// Remarks about a module that the kernel loads anyway.
    pub notes: Vec<Reason>,
    /// The module is tainted as proprietary when it is loaded, and so is every module that uses its symbols.
    pub proprietary: bool,
}

impl Verdict {
    /// The result in one word.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.refusals.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Refused,
            (true, false) => Outcome::Unknown,
            (true, true) => Outcome::Loads,
        }
    }
}
