//! Renders the answer of `dkms lint` as text and as JSON.

use super::json::{document, lossy};
use super::numbers::count;
use crate::printable::on_one_line;
use dkms_conf::Diagnostic;
use dkms_core::look::lint::Report;
use serde_json::{Value, json};
use std::path::Path;

/// `dkms lint --json`
pub(crate) fn json(report: &Report) -> String {
    let fixed = report.fixed.iter().map(|found| diagnostic(found, true));
    let left = report.diagnostics.iter().map(|found| diagnostic(found, false));
    document(json!({
        "path": lossy(&report.path),
        "findings": fixed.chain(left).collect::<Value>(),
        "fixed": report.fixed.len(),
        "left": report.problems(),
        "notes": notes(report),
        "not_fixed": report.not_fixed,
    }))
}

/// The number of diagnostics that are only notes.
fn notes(report: &Report) -> usize {
    report.diagnostics.len() - report.problems()
}

fn diagnostic(diagnostic: &Diagnostic, fixed: bool) -> Value {
    let at = diagnostic.at.as_ref();
    json!({
        "code": diagnostic.code.word(),
        "severity": diagnostic.severity.word(),
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "length": at.map(|at| at.len),
        "message": diagnostic.message,
        "why": diagnostic.code.why(),
        "help": diagnostic.help,
        "fixable": !diagnostic.edits.is_empty(),
        "fixed": fixed,
    })
}

/// `dkms lint`: each diagnostic with its line, the reason and the correction. `with_fix` is the option
/// `--fix`.
pub(crate) fn text(report: &Report, with_fix: bool) -> String {
    let mut out = String::new();
    let path = report.path.display();
    for Diagnostic { at, code, message, help, .. } in &report.fixed {
        let line = at.as_ref().map_or_else(String::new, |at| format!(":{}", at.line));
        out.push_str(&format!("{path}{line}: fixed[{}]: {}\n", code.word(), on_one_line(message)));
        out.push_str(&format!("  change: {}\n", on_one_line(help)));
    }
    for diagnostic in &report.diagnostics {
        push_diagnostic(&mut out, &report.path, diagnostic);
    }
    if let Some(why) = &report.not_fixed {
        out.push_str(&format!("{path}: nothing was changed: {why}\n"));
    }
    if report.problems() == 0 {
        let now = if report.fixed.is_empty() { "" } else { " now" };
        let notes = match notes(report) {
            0 => String::new(),
            notes => format!(", with {}", count(notes, "note")),
        };
        out.push_str(&format!("{path} is clean{now}{notes}\n"));
    } else if with_fix && report.fixed.is_empty() && report.not_fixed.is_none() {
        out.push_str(&format!("{path}: nothing was changed\n"));
    }
    out
}

fn push_diagnostic(out: &mut String, path: &Path, diagnostic: &Diagnostic) {
    let Diagnostic { at, code, severity, message, help, edits, .. } = diagnostic;
    let heading = format!("{}[{}]: {}", severity.word(), code.word(), on_one_line(message));
    let mut margin = " ".to_owned();
    match at {
        Some(at) => {
            margin = at.margin();
            out.push_str(&format!("{}:{}:{}: {heading}\n", path.display(), at.line, at.column));
            out.push_str(&format!("{}\n", at.snippet()));
        }
        None => out.push_str(&format!("{}: {heading}\n", path.display())),
    }
    let fixable = if edits.is_empty() { "" } else { " (--fix)" };
    out.push_str(&format!("{margin} = why: {}\n", code.why()));
    out.push_str(&format!("{margin} = write{fixable}: {}\n", on_one_line(help)));
}

/// The number of remaining diagnostics, and the next step. `fixed` is whether `--fix` has been applied.
pub(crate) fn verdict(report: &Report, fixed: bool) -> String {
    let fixable = report.diagnostics.iter().filter(|diagnostic| !diagnostic.edits.is_empty()).count();
    let mut text = count(report.problems(), "finding");
    if notes(report) > 0 {
        text.push_str(&format!(" and {}", count(notes(report), "note")));
    }
    let rest = match (fixed, fixable) {
        (true, _) => " left, which --fix cannot fix".to_owned(),
        (false, 0) => String::new(),
        (false, number) => format!(", of which --fix can fix {number}"),
    };
    format!("{text} in {}{rest}", report.path.display())
}
