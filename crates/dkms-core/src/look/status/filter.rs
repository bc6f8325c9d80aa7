//! Selects entries of the status.

use dkms_conf::glob::matches_name;

/// Selects entries. All patterns are shell file name patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Selects everything for one kernel.
    #[must_use]
    pub fn of_kernel(release: &str) -> Self {
        Self { release: Some(escape(release)), ..Self::default() }
    }

    /// Selects all versions of one package.
    pub(super) fn of_package(name: &str) -> Self {
        Self { name: Some(escape(name)), ..Self::default() }
    }
}

/// Returns whether a text matches a pattern of a [`Filter`].
pub(super) fn fits(pattern: &Option<String>, text: &str) -> bool {
    pattern.as_deref().is_none_or(|pattern| matches_name(pattern, text))
}

/// Returns a pattern that matches only `text`.
pub(crate) fn escape(text: &str) -> String {
    text.chars().flat_map(|c| "*?[\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}
