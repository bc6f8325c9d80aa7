//! Problems of a configuration, with position and text.

use crate::code::Code;

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

/// A problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// Its severity.
    pub severity: Severity,
    /// Whether only add, build and install refuse the file. uninstall and remove continue, so that a bad
    /// package can be removed.
    pub strict_only: bool,
    /// The directive.
    pub directive: String,
    /// Its index, if the problem concerns one entry.
    pub index: Option<usize>,
    /// The problem, in a sentence without a full stop.
    pub message: String,
    /// The correction.
    pub help: String,
}

impl Problem {
    pub(crate) fn error(
        code: Code,
        directive: &str,
        index: Option<usize>,
        message: String,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            strict_only: false,
            directive: directive.to_owned(),
            index,
            message,
            help: help.into(),
        }
    }

    /// A setting of framework.conf that this machine does not support.
    pub fn setting(name: &str, message: String, help: &str) -> Self {
        Self::error(Code::Setting, name, None, message, help)
    }

    pub(crate) fn warning(
        code: Code,
        directive: &str,
        index: Option<usize>,
        message: String,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            strict_only: true,
            ..Self::error(code, directive, index, message, help)
        }
    }

    pub(crate) fn note(
        code: Code,
        directive: &str,
        index: Option<usize>,
        message: String,
        help: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Note, ..Self::warning(code, directive, index, message, help) }
    }

    /// Refused by add, build and install only.
    pub(crate) fn strict(self) -> Self {
        Self { strict_only: true, ..self }
    }
}
