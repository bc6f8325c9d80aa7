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

/// Applies the edits of the diagnostics to the text. If two overlap, only the first one in the text is
/// applied. Also returns which diagnostics were fixed.
pub fn apply(text: &str, diagnostics: &[Diagnostic]) -> (String, Vec<bool>) {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut fixed = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        let free =
            |e: &Edit| taken.iter().all(|t| t == &e || e.range.1 <= t.range.0 || t.range.1 <= e.range.0);
        let fits = !diagnostic.edits.is_empty() && diagnostic.edits.iter().all(free);
        if fits {
            taken.extend(&diagnostic.edits);
        }
        fixed.push(fits);
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
    (out, fixed)
}

/// The directives whose values differ, except those of the fixed diagnostics: a fix must not change others.
/// Empty if one of the fixes may change any directive.
pub fn differing(
    before: &Directives,
    after: &Directives,
    diagnostics: &[Diagnostic],
    fixed: &[bool],
) -> Vec<&'static str> {
    let done = || diagnostics.iter().zip(fixed).filter(|(_, fixed)| **fixed).map(|(f, _)| f);
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
