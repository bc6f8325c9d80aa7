//! A problem in a configuration: kind, severity, position, text and, for some, the edits that fix it.

use crate::code::Code;
use crate::printable::is_unprintable;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong, but the author may want to know.
    Note,
    /// The file can be used.
    Warning,
    /// The file cannot be used.
    Error,
}

impl Severity {
    /// Its name in messages and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The number of characters to mark.
    pub len: u32,
    /// The line, without its end.
    pub text: String,
}

impl Location {
    /// The blanks before a snippet's bars.
    pub fn margin(&self) -> String {
        " ".repeat(self.line.to_string().len())
    }

    /// The line with its number, and marks below the position. The result has three lines and no newline at
    /// the end.
    pub fn snippet(&self) -> String {
        let margin = self.margin();
        let shown: String =
            self.text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).take(160).collect();
        let indent = " ".repeat(self.column.saturating_sub(1).min(160) as usize);
        let marks = "^".repeat(self.len.clamp(1, 160) as usize);
        format!("{margin} |\n{} | {shown}\n{margin} | {indent}{marks}", self.line)
    }
}

/// A diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// Its severity.
    pub severity: Severity,
    /// Whether only add, build and install refuse the file. uninstall and remove continue, so that a bad
    /// package can be removed.
    pub strict_only: bool,
    /// The directive; empty if it concerns the whole file.
    pub directive: String,
    /// Its index, if it concerns one entry.
    pub index: Option<usize>,
    /// The file; empty as long as only its text is known.
    pub path: PathBuf,
    /// Its position; `None` if it has none.
    pub at: Option<Location>,
    /// The problem, in a sentence without a full stop.
    pub message: String,
    /// The correction, or what to do.
    pub help: String,
    /// The edits that fix it, if that is safe without asking; otherwise empty.
    pub edits: Vec<Edit>,
    /// The directive whose value the edits change; `None` if they may change several.
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

pub(crate) fn edit(range: Range<usize>, with: impl Into<String>) -> Edit {
    Edit { range: (range.start, range.end), with: with.into() }
}

impl Diagnostic {
    /// An error that concerns the whole file.
    pub fn error(code: Code, message: String, help: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            strict_only: false,
            directive: String::new(),
            index: None,
            path: PathBuf::new(),
            at: None,
            message,
            help: help.into(),
            edits: Vec::new(),
            changes: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: String, help: impl Into<String>) -> Self {
        Self::error(code, message, help).with_severity(Severity::Warning)
    }

    pub(crate) fn note(code: Code, message: String, help: impl Into<String>) -> Self {
        Self::error(code, message, help).with_severity(Severity::Note)
    }

    /// Returns it with another severity.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Returns it as an error that only add, build and install refuse.
    pub(crate) fn strict(self) -> Self {
        Self { strict_only: true, ..self }
    }

    /// Returns it with the directive, and the index if it concerns one entry.
    #[must_use]
    pub fn about(self, directive: &str, index: Option<usize>) -> Self {
        Self { directive: directive.to_owned(), index, ..self }
    }

    /// Returns it with its position.
    #[must_use]
    pub fn at(self, at: Option<Location>) -> Self {
        Self { at, ..self }
    }

    /// Returns it with the file that it concerns.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }
}
