//! Which entries of the status are asked for.

use crate::glob::glob;

/// Which entries are asked for; all patterns as the shell matches file names.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Package name.
    pub name: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// Kernel release.
    pub release: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
}

impl Filter {
    /// Everything of one kernel.
    #[must_use]
    pub fn of_kernel(release: &str) -> Self {
        Self { release: Some(escape(release)), ..Self::default() }
    }
}

pub(super) fn fits(pattern: &Option<String>, text: &str) -> bool {
    pattern.as_deref().is_none_or(|p| glob(p, text))
}

/// A pattern that matches `text` and nothing else.
pub(crate) fn escape(text: &str) -> String {
    text.chars().flat_map(|c| "*?[\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
