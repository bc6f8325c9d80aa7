//! What the author of a dkms.conf could do better: text in, findings out.
//!
//! [`lint`] looks at the text, with a scanner of its own so that it also works where only bash can evaluate the file, and
//! at the directives it comes to. What can be mended without asking carries its [`Edit`]s; [`apply`] carries those out
//! and leaves every other byte alone.

mod code;
mod make;
mod names;
mod patterns;
mod problems;
mod scan;
mod settings;

pub use code::Code;
pub use settings::{UnknownSetting, unknown_settings};

use crate::directives::{Dialect, Directives};
use crate::eval::{Decline, Matcher};
use crate::locate::{Location, location_of};
use crate::problem::Severity;
use scan::{Assigned, Scan, scan};
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

/// The findings of one file, by line.
pub fn lint(text: &str, facts: &Facts<'_>) -> Vec<Finding> {
    let file = File { text, scan: scan(text) };
    let mut found = Vec::new();
    names::look(&file, &mut found);
    make::shell(&file, facts, &mut found);
    if let Some(directives) = facts.directives {
        problems::look(&file, directives, &mut found);
        patterns::look(&file, directives, facts.matcher, &mut found);
        make::look(&file, directives, facts.kernel_words, &mut found);
    }
    found.sort_by_key(|f| f.at.as_ref().map_or((0, 0), |at| (at.line, at.column)));
    found
}

/// The text with the edits of the findings carried out; of two that overlap, the first in the text. With it, which of
/// the findings were mended.
pub fn apply(text: &str, findings: &[Finding]) -> (String, Vec<bool>) {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut mended = Vec::with_capacity(findings.len());
    for finding in findings {
        let free =
            |e: &Edit| taken.iter().all(|t| t == &e || e.range.1 <= t.range.0 || t.range.1 <= e.range.0);
        let fits = !finding.edits.is_empty() && finding.edits.iter().all(free);
        if fits {
            taken.extend(&finding.edits);
        }
        mended.push(fits);
    }
    taken.sort();
    taken.dedup();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in taken {
        out.push_str(text.get(at..edit.range.0).unwrap_or_default());
        out.push_str(&edit.with);
        at = edit.range.1;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (out, mended)
}

/// A file that is looked at.
struct File<'a> {
    text: &'a str,
    scan: Scan<'a>,
}

impl File<'_> {
    fn at(&self, range: Range<usize>) -> Option<Location> {
        Some(location_of(self.text, range.start, range.end))
    }

    /// The place of an assignment: name, sign and value.
    fn at_assignment(&self, a: &Assigned<'_>) -> Option<Location> {
        self.at(a.start..a.value.end)
    }

    /// Where a directive's entry is set.
    fn place(&self, directive: &str, index: Option<usize>) -> Option<Location> {
        self.at_assignment(self.scan.find(directive, index)?)
    }

    fn raw(&self, a: &Assigned<'_>) -> &str {
        self.text.get(a.value.clone()).unwrap_or_default()
    }

    /// Whether a change of this directive changes nothing else: nobody reads it.
    fn own(&self, a: &Assigned<'_>) -> bool {
        !self.scan.read.contains(a.name) && !a.exported && !self.scan.runs_more
    }
}

/// The directives, other than those that the mended findings are about, whose values differ: a mend must not change
/// them. Empty when one of the mends may change any.
pub fn differing(
    before: &Directives,
    after: &Directives,
    findings: &[Finding],
    mended: &[bool],
) -> Vec<&'static str> {
    let done = || findings.iter().zip(mended).filter(|(_, mended)| **mended).map(|(f, _)| f);
    if done().any(|f| f.changes.is_none()) {
        return Vec::new();
    }
    let values = |d: &Directives, name: &str| -> Vec<(usize, String)> {
        d.indices(name).filter_map(|i| Some((i, d.get(name, i)?.to_owned()))).collect()
    };
    let names = Dialect::Module.table().iter().map(|info| info.name);
    names
        .filter(|name| !done().any(|f| f.changes == Some(*name)))
        .filter(|name| values(before, name) != values(after, name))
        .collect()
}

fn warning(code: Code, at: Option<Location>, message: String, help: impl Into<String>) -> Finding {
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

fn edit(range: Range<usize>, with: impl Into<String>) -> Edit {
    Edit { range: (range.start, range.end), with: with.into() }
}
