//! `dkms lint` as text and as JSON.

use super::json::document;
use crate::printable::on_one_line;
use dkms_conf::Diagnostic;
use dkms_core::look::lint::Report;
use serde_json::{Value, json};
use std::path::Path;

/// One document.
pub(crate) fn json(report: &Report) -> String {
    let fixed = report.fixed.iter().map(|f| diagnostic(f, true));
    let left = report.diagnostics.iter().map(|f| diagnostic(f, false));
    document(json!({
        "path": report.path,
        "findings": fixed.chain(left).collect::<Value>(),
        "fixed": report.fixed.len(),
        "left": report.problems(),
        "notes": report.diagnostics.len() - report.problems(),
        "not_fixed": report.not_fixed,
    }))
}

fn diagnostic(f: &Diagnostic, fixed: bool) -> Value {
    let at = f.at.as_ref();
    json!({
        "code": f.code.word(),
        "severity": f.severity.word(),
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "length": at.map(|at| at.len),
        "message": f.message,
        "why": f.code.why(),
        "help": f.help,
        "fixable": !f.edits.is_empty(),
        "fixed": fixed,
    })
}

/// Prints each diagnostic with its line, the reason and the correction.
pub(crate) fn text(report: &Report, asked_to_fix: bool) -> String {
    let mut out = String::new();
    for f in &report.fixed {
        let line = f.at.as_ref().map_or_else(String::new, |at| format!(":{}", at.line));
        out.push_str(&format!(
            "{}{line}: fixed[{}]: {}\n",
            report.path.display(),
            f.code.word(),
            on_one_line(&f.message)
        ));
        out.push_str(&format!("  change: {}\n", on_one_line(&f.help)));
    }
    for f in &report.diagnostics {
        one(&report.path, f, &mut out);
    }
    if let Some(why) = &report.not_fixed {
        out.push_str(&format!("{}: nothing was changed: {why}\n", report.path.display()));
    }
    let notes = report.diagnostics.len() - report.problems();
    if report.problems() == 0 {
        let apart = match notes {
            0 => String::new(),
            1 => ", with 1 note".to_owned(),
            n => format!(", with {n} notes"),
        };
        out.push_str(&format!("{} is clean{}{apart}\n", report.path.display(), now(report)));
    } else if asked_to_fix && report.fixed.is_empty() && report.not_fixed.is_none() {
        out.push_str(&format!("{}: nothing was changed\n", report.path.display()));
    }
    out
}

fn now(report: &Report) -> &'static str {
    if report.fixed.is_empty() { "" } else { " now" }
}

fn one(path: &Path, f: &Diagnostic, out: &mut String) {
    let heading = format!("{}[{}]: {}", f.severity.word(), f.code.word(), on_one_line(&f.message));
    let mut margin = " ".to_owned();
    match &f.at {
        Some(at) => {
            margin = at.margin();
            out.push_str(&format!("{}:{}:{}: {heading}\n", path.display(), at.line, at.column));
            out.push_str(&format!("{}\n", at.snippet()));
        }
        None => out.push_str(&format!("{}: {heading}\n", path.display())),
    }
    out.push_str(&format!("{margin} = why: {}\n", f.code.why()));
    let by = if f.edits.is_empty() { "" } else { " (--fix)" };
    out.push_str(&format!("{margin} = write{by}: {}\n", on_one_line(&f.help)));
}

/// The number of remaining diagnostics, and the next step.
pub(crate) fn verdict(report: &Report, left: usize, fixed: bool) -> String {
    let fixable = report.diagnostics.iter().filter(|f| !f.edits.is_empty()).count();
    let number = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut count = number(left, "finding");
    let notes = report.diagnostics.len() - report.problems();
    if notes > 0 {
        count.push_str(&format!(" and {}", number(notes, "note")));
    }
    let rest = match (fixed, fixable) {
        (true, _) => " left, which --fix cannot fix".to_owned(),
        (false, 0) => String::new(),
        (false, n) => format!(", of which --fix can fix {n}"),
    };
    format!("{count} in {}{rest}", report.path.display())
}
