//! What is wrong with a configuration, in a form that a program can place and word.

use crate::code::Code;

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look; work goes on.
    Warning,
    /// The file cannot be used.
    Error,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// Only add, build and install care; uninstall and remove go on, so that a bad package can be got rid of.
    pub strict_only: bool,
    /// The directive.
    pub directive: String,
    /// Its index, where the problem is about one entry.
    pub index: Option<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to write instead.
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

    /// A setting of framework.conf that cannot be used on this machine.
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

    /// Refused by add, build and install only.
    pub(crate) fn strict(self) -> Self {
        Self { strict_only: true, ..self }
    }
}
