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
    /// Why bash had to evaluate the file, if it had to.
    pub declined: Option<&'a Decline>,
    /// Texts of which the MAKE command must contain one: the kernel's release, its source directory.
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

    /// The position where a directive's entry is set.
    pub(super) fn place(&self, directive: &str, index: Option<usize>) -> Option<Location> {
        self.at_assignment(self.scan.find(directive, index)?)
    }

    pub(super) fn raw(&self, assignment: &Assigned<'_>) -> &str {
        self.text.get(assignment.value.clone()).unwrap_or_default()
    }

    /// Whether a change of this directive affects nothing else, because nothing reads it.
    pub(super) fn own(&self, assignment: &Assigned<'_>) -> bool {
        !self.scan.read.contains(assignment.name) && !assignment.exported && !self.scan.runs_more
    }
}
