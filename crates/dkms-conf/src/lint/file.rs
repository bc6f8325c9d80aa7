//! The input of the linter.

use super::scan::{Assigned, Scan};
use crate::diagnostic::Location;
use crate::directives::Directives;
use crate::eval::{Decline, Matcher};
use crate::locate::location_of;
use std::ops::Range;

/// The input besides the text.
pub struct Facts<'a> {
    /// The evaluated file, for the kernel below; `None` if it could not be evaluated.
    pub directives: Option<&'a Directives>,
    /// Why bash had to evaluate the file; `None` if it was evaluated natively.
    pub declined: Option<&'a Decline>,
    /// The kernel's release and its source directory. The MAKE command must contain one of these.
    pub kernel_words: &'a [String],
    /// The matcher for regular expressions.
    pub matcher: &'a Matcher<'a>,
}

/// The file that is checked.
pub(super) struct File<'a> {
    pub(super) text: &'a str,
    pub(super) scan: Scan<'a>,
}

impl File<'_> {
    pub(super) fn at(&self, range: Range<usize>) -> Option<Location> {
        Some(location_of(self.text, range.start, range.end))
    }

    /// The position of an assignment: name, operator and value.
    pub(super) fn at_assignment(&self, assignment: &Assigned<'_>) -> Option<Location> {
        self.at(assignment.start..assignment.value.end)
    }

    /// The position where an entry of a directive is set.
    pub(super) fn place(&self, directive: &str, index: Option<usize>) -> Option<Location> {
        self.at_assignment(self.scan.find(directive, index)?)
    }

    /// The value of an assignment as written, with its quotes.
    pub(super) fn raw(&self, assignment: &Assigned<'_>) -> &str {
        self.text.get(assignment.value.clone()).unwrap_or_default()
    }

    /// Whether a change of this directive affects nothing else, because nothing reads it.
    pub(super) fn is_unread(&self, assignment: &Assigned<'_>) -> bool {
        !self.scan.read.contains(assignment.name) && !assignment.exported && !self.scan.runs_more
    }
}
