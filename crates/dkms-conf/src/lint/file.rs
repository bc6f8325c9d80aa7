//! What the linter looks at.

use super::scan::{Assigned, Scan};
use crate::directives::Directives;
use crate::eval::{Decline, Matcher};
use crate::locate::{Location, location_of};
use std::ops::Range;

/// What the linter is told besides the text.
pub struct Facts<'a> {
    /// What the file comes to, for the kernel below; `None` when nothing could evaluate it.
    pub directives: Option<&'a Directives>,
    /// Why the file had to go to bash, if it had to.
    pub declined: Option<&'a Decline>,
    /// Texts of which a MAKE that knows its kernel has one: the kernel's release, its source directory.
    pub kernel_words: &'a [String],
    /// Regular expressions.
    pub matcher: &'a Matcher<'a>,
}

/// A file that is looked at.
pub(super) struct File<'a> {
    pub(super) text: &'a str,
    pub(super) scan: Scan<'a>,
}

impl File<'_> {
    pub(super) fn at(&self, range: Range<usize>) -> Option<Location> {
        Some(location_of(self.text, range.start, range.end))
    }

    /// The place of an assignment: name, sign and value.
    pub(super) fn at_assignment(&self, a: &Assigned<'_>) -> Option<Location> {
        self.at(a.start..a.value.end)
    }

    /// Where a directive's entry is set.
    pub(super) fn place(&self, directive: &str, index: Option<usize>) -> Option<Location> {
        self.at_assignment(self.scan.find(directive, index)?)
    }

    pub(super) fn raw(&self, a: &Assigned<'_>) -> &str {
        self.text.get(a.value.clone()).unwrap_or_default()
    }

    /// Whether a change of this directive changes nothing else: nobody reads it.
    pub(super) fn own(&self, a: &Assigned<'_>) -> bool {
        !self.scan.read.contains(a.name) && !a.exported && !self.scan.runs_more
    }
}
