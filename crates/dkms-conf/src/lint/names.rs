//! Checks for names that are misspelt, unknown or obsolete, and for values that are neither yes nor no.

use super::file::File;
use super::scan::{Assigned, literal};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Edit, edit};
use crate::directives::{Dialect, DirectiveInfo, Kind};
use crate::locate::closest;
use std::collections::{BTreeMap, BTreeSet};

/// Whether bash itself or many programs read a variable with this name.
pub(super) fn is_foreign(name: &str) -> bool {
    const NAMES: [&str; 11] =
        ["PATH", "IFS", "LANG", "LANGUAGE", "HOME", "SHELL", "TMPDIR", "ENV", "PS4", "OPTIND", "CDPATH"];
    NAMES.contains(&name) || name.starts_with("LC_") || name.starts_with("BASH")
}

/// The maximum number of diagnostics, because each needs a search for its line.
const MAX_FINDINGS: usize = 500;

/// The maximum number of automatic edits of one kind.
const MAX_EDITS: usize = 1000;

/// The maximum number of different names that are checked, because each is compared with the table.
const MAX_NAMES: usize = 300;

pub(super) fn check(file: &File<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<(&str, usize), &Assigned<'_>> = BTreeMap::new();
    for assignment in &file.scan.assignments {
        if diagnostics.len() >= MAX_FINDINGS {
            break;
        }
        let Some(info) = Dialect::Module.find(assignment.name) else {
            if seen.len() < MAX_NAMES && seen.insert(assignment.written()) {
                check_unknown(file, assignment, diagnostics);
            }
            continue;
        };
        if info.deprecated && seen.insert(assignment.name.to_owned()) {
            check_deprecated(file, info, diagnostics);
        }
        if info.kind == Kind::YesNo {
            check_yes_no(file, info.name, assignment, diagnostics);
        }
        check_assigned_twice(file, assignment, &mut last, diagnostics);
    }
}

/// Checks a name that is not a directive.
fn check_unknown(file: &File<'_>, assignment: &Assigned<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let upper = assignment.name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !upper || assignment.exported || file.scan.read.contains(assignment.name) {
        return;
    }
    if let Some(meant) = closest(assignment.name) {
        let written = assignment.written().replacen(assignment.name, meant, 1);
        let message = format!("{} is not a directive and has no effect", assignment.name);
        let mut diagnostic = Diagnostic::warning(Code::Misspelt, message, format!("{written}=…"))
            .at(file.at_assignment(assignment));
        // The edits change all assignments of that name and index, but only if the correct name has no value.
        let taken = |b: &Assigned<'_>| {
            b.name == meant && (b.subscript == assignment.subscript || b.whole || assignment.whole)
        };
        if !file.scan.assignments.iter().any(taken) && !file.scan.runs_more {
            let same = file.scan.assignments.iter().filter(|b| b.written() == assignment.written());
            diagnostic.changes = Some(meant);
            diagnostic.edits =
                same.take(MAX_EDITS).map(|b| edit(b.start..b.start + b.name.len(), meant)).collect();
        }
        diagnostics.push(diagnostic);
        return;
    }
    let assigned = file.scan.assignments.iter().filter(|b| b.name == assignment.name).count();
    let mentioned = file.scan.mentioned.get(assignment.name).copied().unwrap_or_default() > assigned;
    if mentioned || is_foreign(assignment.name) || file.scan.runs_more {
        return;
    }
    let message = format!("{} is not a directive and has no effect", assignment.name);
    diagnostics.push(
        Diagnostic::warning(Code::Unknown, message, format!("remove {}", assignment.written()))
            .at(file.at_assignment(assignment)),
    );
}

fn check_deprecated(file: &File<'_>, info: &'static DirectiveInfo, diagnostics: &mut Vec<Diagnostic>) {
    let (name, help) = (info.name, info.help);
    let all: Vec<&Assigned<'_>> =
        file.scan.assignments.iter().filter(|assignment| assignment.name == name).collect();
    let Some(first) = all.first() else { return };
    // A common way to say that nothing needs cleaning.
    let harmless = |assignment: &&Assigned<'_>| {
        let value = literal(file.text, assignment.value.clone()).map(|(_, value)| value);
        name == "CLEAN" && matches!(value, Some("true" | "/bin/true" | "/usr/bin/true"))
    };
    if all.iter().all(harmless) {
        return;
    }
    let message = format!("{name} is obsolete: {help}");
    // OBSOLETE_BY still has an effect, and the correction depends on its value.
    let by_hand = name == "OBSOLETE_BY";
    let correction =
        if by_hand { "BUILD_EXCLUSIVE_KERNEL_MAX=…".to_owned() } else { format!("remove {name}") };
    let mut diagnostic =
        Diagnostic::note(Code::Deprecated, message, correction).at(file.at_assignment(first));
    if !by_hand
        && all.len() <= MAX_EDITS
        && all.iter().all(|assignment| assignment.alone && file.is_unread(assignment))
    {
        diagnostic.changes = Some(info.name);
        diagnostic.edits = all.iter().map(|assignment| whole_lines(file.text, assignment)).collect();
    }
    diagnostics.push(diagnostic);
}

/// The edit that removes the lines of an assignment. They contain nothing else.
fn whole_lines(text: &str, assignment: &Assigned<'_>) -> Edit {
    let start = text.get(..assignment.start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let end = text
        .get(assignment.value.end..)
        .and_then(|t| t.find('\n'))
        .map_or(text.len(), |i| assignment.value.end + i + 1);
    edit(start..end, "")
}

fn check_yes_no(
    file: &File<'_>,
    name: &'static str,
    assignment: &Assigned<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((place, value)) = literal(file.text, assignment.value.clone()) else { return };
    if assignment.whole || value.is_empty() || ["yes", "no"].iter().any(|w| value.eq_ignore_ascii_case(w)) {
        return;
    }
    let meant = match value.to_ascii_lowercase().as_str() {
        "y" | "true" | "1" | "on" | "enable" | "enabled" => Some("yes"),
        "n" | "false" | "0" | "off" | "disable" | "disabled" => Some("no"),
        _ => None,
    };
    let help =
        meant.map_or_else(|| format!("{name}=\"yes\", or {name}=\"no\""), |m| format!("{name}=\"{m}\""));
    let message = format!("{name} is '{value}', which is neither yes nor no");
    let mut diagnostic = Diagnostic::error(Code::YesNo, message, help).at(file.at_assignment(assignment));
    if let Some(meant) = meant.filter(|_| file.is_unread(assignment) && !assignment.append) {
        diagnostic.changes = Some(name);
        diagnostic.edits = vec![edit(place, meant)];
    }
    diagnostics.push(diagnostic);
}

/// Checks for a directive that is set twice unconditionally, such as a copied line that was not changed.
fn check_assigned_twice<'a>(
    file: &File<'_>,
    assignment: &'a Assigned<'a>,
    last: &mut BTreeMap<(&'a str, usize), &'a Assigned<'a>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (Some(index), false) = (assignment.index(), assignment.whole) else { return };
    let before = last.insert((assignment.name, index), assignment);
    let Some(before) = before.filter(|b| b.alone && assignment.alone && !assignment.append) else { return };
    if file.scan.read.contains(assignment.name) {
        return;
    }
    let at = file.at_assignment(before);
    let line = file.at_assignment(assignment).map_or(0, |at| at.line);
    let message = format!("{} is set again in line {line}, and this value is lost", before.written());
    diagnostics.push(
        Diagnostic::warning(Code::AssignedTwice, message, "remove one of them, or use another index").at(at),
    );
}
