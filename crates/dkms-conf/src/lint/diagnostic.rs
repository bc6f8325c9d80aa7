//! Findings, and edits that fix them.

use crate::code::Code;
use crate::locate::Location;
use crate::problem::Severity;
use std::ops::Range;

/// A diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// Error means that add, build or install refuse the package. A note has no effect on the result of the
    /// check.
    pub severity: Severity,
    /// Its position; `None` if it concerns the whole file.
    pub at: Option<Location>,
    /// The problem, in a sentence without a full stop.
    pub message: String,
    /// The correction, or what to do.
    pub help: String,
    /// The edits that fix it, if that is safe without asking; otherwise empty.
    pub edits: Vec<Edit>,
    /// The directive whose value the edits change, if it is only one.
    pub changes: Option<&'static str>,
}

/// An edit of the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The byte offsets of the text to replace.
    pub range: (usize, usize),
    /// The replacement.
    pub with: String,
}

pub(super) fn warning(
    code: Code,
    at: Option<Location>,
    message: String,
    help: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Warning,
        at,
        message,
        help: help.into(),
        edits: Vec::new(),
        changes: None,
    }
}

pub(super) fn note(code: Code, at: Option<Location>, message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic { severity: Severity::Note, ..warning(code, at, message, help) }
}

pub(super) fn edit(range: Range<usize>, with: impl Into<String>) -> Edit {
    Edit { range: (range.start, range.end), with: with.into() }
}
