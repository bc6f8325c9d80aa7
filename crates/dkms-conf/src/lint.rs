//! Checks a dkms.conf for its author: text in, diagnostics out.
//!
//! [`lint`] checks the text, with its own scanner so that it also supports files that only bash can evaluate,
//! and the evaluated directives. A diagnostic that can be fixed automatically contains its [`Edit`]s.
//! [`apply`] applies them and changes no other byte.

mod file;
mod make;
mod names;
mod patterns;
mod problems;
mod scan;
mod settings;

pub use crate::code::Code;
pub use file::Facts;
pub use settings::{UnknownSetting, unknown_settings};

use crate::diagnostic::{Diagnostic, Edit};
use crate::directives::{Dialect, Directives};
use file::File;
use scan::scan;

/// The diagnostics of one file, sorted by line.
pub fn lint(text: &str, facts: &Facts<'_>) -> Vec<Diagnostic> {
    let file = File { text, scan: scan(text) };
    let mut diagnostics = Vec::new();
    names::check(&file, &mut diagnostics);
    make::check_shell(&file, facts, &mut diagnostics);
    if let Some(directives) = facts.directives {
        problems::check(&file, directives, &mut diagnostics);
        patterns::check(&file, directives, facts.matcher, &mut diagnostics);
        make::check_commands(&file, directives, facts.kernel_words, &mut diagnostics);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.at.as_ref().map_or((0, 0), |at| (at.line, at.column)));
    diagnostics
}

/// Applies the edits of the diagnostics to the text. If two diagnostics have overlapping edits, only the
/// first one is applied. Returns the new text, and for each diagnostic whether it was fixed.
pub fn apply(text: &str, diagnostics: &[Diagnostic]) -> (String, Vec<bool>) {
    let mut edits: Vec<&Edit> = Vec::new();
    let mut fixed = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        let fits = |new: &Edit| {
            edits.iter().all(|old| old == &new || new.range.1 <= old.range.0 || old.range.1 <= new.range.0)
        };
        let is_fixed = !diagnostic.edits.is_empty() && diagnostic.edits.iter().all(fits);
        if is_fixed {
            edits.extend(&diagnostic.edits);
        }
        fixed.push(is_fixed);
    }
    edits.sort();
    edits.dedup();
    let mut result = String::with_capacity(text.len());
    let mut position = 0;
    for edit in edits {
        result.push_str(text.get(position..edit.range.0).unwrap_or_default());
        result.push_str(&edit.with);
        position = edit.range.1;
    }
    result.push_str(text.get(position..).unwrap_or_default());
    (result, fixed)
}

/// The directives whose values differ, except the directives that the fixed diagnostics change: a fix must
/// not change others. Empty if one of the fixes may change any directive.
pub fn differing(
    before: &Directives,
    after: &Directives,
    diagnostics: &[Diagnostic],
    fixed: &[bool],
) -> Vec<&'static str> {
    let changes = diagnostics.iter().zip(fixed).filter(|(_, fixed)| **fixed);
    let Some(changed) = changes.map(|(diagnostic, _)| diagnostic.changes).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let names = Dialect::Module.table().iter().map(|info| info.name);
    names
        .filter(|name| !changed.contains(name))
        .filter(|name| before.entries(name).ne(after.entries(name)))
        .collect()
}
