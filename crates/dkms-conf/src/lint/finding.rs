//! What the linter finds, and how it is changed.

use crate::code::Code;
use crate::locate::Location;
use crate::problem::Severity;
use std::ops::Range;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// Error: add, build or install refuse the package.
    pub severity: Severity,
    /// Where; `None` when it concerns the file as a whole.
    pub at: Option<Location>,
    /// What is there, in a sentence without a full stop.
    pub message: String,
    /// What to write instead, or to do.
    pub help: String,
    /// The changes that mend it, where that is safe without asking; else empty.
    pub edits: Vec<Edit>,
    /// The directive whose value the edits change, where it is no more than one.
    pub changes: Option<&'static str>,
}

/// One change of the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// Byte offsets of what goes.
    pub range: (usize, usize),
    /// What comes in its place.
    pub with: String,
}

pub(super) fn warning(code: Code, at: Option<Location>, message: String, help: impl Into<String>) -> Finding {
    Finding {
        code,
        severity: Severity::Warning,
        at,
        message,
        help: help.into(),
        edits: Vec::new(),
        changes: None,
    }
}

pub(super) fn edit(range: Range<usize>, with: impl Into<String>) -> Edit {
    Edit { range: (range.start, range.end), with: with.into() }
}
