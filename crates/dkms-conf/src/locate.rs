//! Finds the position of a directive in the text, for messages, and names that look like a misspelt
//! directive.
//!
//! Both work on lines instead of the tree, so that they also support files that only bash can evaluate.

use crate::bash::is_name;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Location};
use crate::directives::{CONFINE, Dialect};
use crate::suggest::nearest;
use std::collections::BTreeSet;

/// A `NAME=` or `NAME[i]=` in a line.
struct Assignment<'a> {
    name: &'a str,
    /// The text between the brackets.
    subscript: Option<&'a str>,
    /// Whether it assigns a whole array: `NAME=( ... )`.
    whole: bool,
    start: usize,
}

/// The position where `name` is assigned: the last assignment of `name[index]`, otherwise the last one of
/// `name`. `None` if there is none.
pub fn locate(text: &str, name: &str, index: Option<usize>) -> Option<Location> {
    let mut exact = None;
    let mut any = None;
    for (number, line) in lines(text) {
        for assignment in assignments(line).filter(|assignment| assignment.name == name) {
            let here = Some((number, line, assignment.start));
            any = here;
            let sets_entry = match (assignment.subscript, index) {
                (_, None) => true,
                (None, Some(index)) => index == 0 || assignment.whole,
                (Some(subscript), Some(index)) => subscript.trim().parse() == Ok(index),
            };
            if sets_entry {
                exact = here;
            }
        }
    }
    let (number, line, start) = exact.or(any)?;
    Some(location(number, line, start))
}

/// The position of the bytes `start..end`; the marks end with the first line.
pub(crate) fn location_of(text: &str, start: usize, end: usize) -> Location {
    let before = text.get(..start).unwrap_or_default();
    let number = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
    let from = before.rfind('\n').map_or(0, |i| i + 1);
    let line = text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let mut at = location(number, line.trim_end_matches('\r'), start - from);
    let marked = text.get(start..end).and_then(|t| t.lines().next()).unwrap_or_default().trim_end();
    at.len = u32::try_from(marked.chars().count()).unwrap_or(u32::MAX).min(at.len);
    at
}

fn location(number: u32, line: &str, start: usize) -> Location {
    let (before, rest) = line.split_at_checked(start).unwrap_or(("", line));
    let size = |s: &str| u32::try_from(s.chars().count()).unwrap_or(u32::MAX);
    Location {
        line: number,
        column: size(before).saturating_add(1),
        len: size(rest.trim_end()),
        text: line.to_owned(),
    }
}

fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.lines().zip(1u32..).map(|(line, number)| (number, line.trim_end_matches('\r')))
}

/// The assignments in a line: at its beginning, or after a blank or one of `;&|(`.
fn assignments(line: &str) -> impl Iterator<Item = Assignment<'_>> {
    let comment = line.trim_start().starts_with('#');
    let starts =
        std::iter::once(0).chain(line.match_indices([' ', '\t', ';', '&', '|', '(']).map(|(i, _)| i + 1));
    starts.filter(move |_| !comment).filter_map(|start| assignment_at(line, start))
}

fn assignment_at(line: &str, start: usize) -> Option<Assignment<'_>> {
    let rest = line.get(start..)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|&end| end <= 100)?;
    let (name, mut rest) = rest.split_at(end);
    if !is_name(name) {
        return None;
    }
    let mut subscript = None;
    if let Some(inside) = rest.strip_prefix('[') {
        let close = inside.bytes().take(100).position(|b| b == b']')?;
        subscript = inside.get(..close);
        rest = inside.get(close + 1..)?;
    }
    let value = rest.strip_prefix("+=").or_else(|| rest.strip_prefix('='))?;
    Some(Assignment { name, subscript, whole: value.starts_with('('), start })
}

/// The assignments at the beginning of lines, with the number and the text of the line.
fn first_assignments(text: &str) -> impl Iterator<Item = (u32, &str, Assignment<'_>)> {
    lines(text).filter_map(|(number, line)| {
        let indent = line.len() - line.trim_start().len();
        Some((number, line, assignment_at(line, indent)?))
    })
}

/// Finds assignments to names that begin with CONFINE but are not directives. These are errors, because the
/// permissions of a build must not depend on a name that is ignored.
pub fn unknown_confinement(text: &str) -> Vec<Diagnostic> {
    let unknown = first_assignments(text).filter(|(_, _, assignment)| {
        assignment.name.starts_with("CONFINE") && !CONFINE.contains(&assignment.name)
    });
    let diagnostic = |(number, line, Assignment { name, start, .. }): (u32, &str, Assignment<'_>)| {
        let message = format!("{name} is not a directive, so it would have no effect");
        let at = location(number, line, start);
        Diagnostic::error(Code::Confine, message, CONFINE.join(", ")).about(name, None).at(Some(at)).strict()
    };
    unknown.map(diagnostic).collect()
}

/// Finds upper-case names in a dkms.conf that are one or two letters away from a directive and that the file
/// never reads (otherwise they are the file's own variables).
pub fn suspicious(text: &str) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    // Each name only once, and a limited number, because each needs a search through the file.
    let mut seen = BTreeSet::new();
    for (number, line, Assignment { name, subscript, start, .. }) in first_assignments(text) {
        if name.bytes().any(|b| b.is_ascii_lowercase()) || seen.contains(name) {
            continue;
        }
        let Some(meant) = closest(name) else { continue };
        seen.insert(name);
        if seen.len() > 100 {
            break;
        }
        if is_read(text, name) {
            continue;
        }
        let subscript = subscript.map_or_else(String::new, |subscript| format!("[{subscript}]"));
        let message = format!("{name} is not a directive and has no effect");
        let help = format!("did you mean {meant}{subscript}?");
        let at = location(number, line, start);
        diagnostics.push(Diagnostic::warning(Code::Misspelt, message, help).about(name, None).at(Some(at)));
    }
    diagnostics
}

/// Whether the text contains `$name` or `${name`.
fn is_read(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(i, _)| {
        let before = text.get(..i).unwrap_or_default();
        before.ends_with('$') || before.ends_with("${")
    })
}

/// The directive of a dkms.conf that was probably meant by a misspelt name.
pub(crate) fn closest(name: &str) -> Option<&'static str> {
    closest_in(Dialect::Module, name)
}

/// The directive that was probably meant by a misspelt name: at most two letters differ, and at most a third.
pub(crate) fn closest_in(dialect: Dialect, name: &str) -> Option<&'static str> {
    if dialect.find(name).is_some() || name.len() > 40 {
        return None;
    }
    let limit = (name.len() / 3).min(2);
    nearest(name, limit, dialect.table().iter().map(|directive| directive.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, name: &str, index: Option<usize>) -> Option<(u32, u32, u32)> {
        locate(text, name, index).map(|l| (l.line, l.column, l.len))
    }

    #[test]
    fn finds_the_last_assignment() {
        let text =
            "# MAKE=no\nMAKE=a\r\nMAKE[1]=\"b\"\n  [ x ] && MAKE[0]=ü \nXMAKE=1\nMAKE_MATCH=2\nMAKE[1]+=c\n";
        assert_eq!(at(text, "MAKE", Some(0)), Some((4, 12, 9)));
        assert_eq!(at(text, "MAKE", Some(1)), Some((7, 1, 10)));
        assert_eq!(at(text, "MAKE", None), Some((7, 1, 10)));
        assert_eq!(at(text, "MAKE", Some(7)), Some((7, 1, 10)));
        assert_eq!(at(text, "PATCH", None), None);
        assert_eq!(at("PATCH=(a b)\nPATCH[5]=c", "PATCH", Some(1)), Some((1, 1, 11)));
        assert_eq!(locate("MAKE=a\r\n", "MAKE", None).map(|l| l.text), Some("MAKE=a".into()));
    }

    #[test]
    fn names_misspelt() {
        let text = "BUILD_MODULE_NAME[2]=x\nAUTO_INSTALL=yes\nMAKES=1\nA=$MAKES\nVERSION=1\nmake=1\nMAKE=1\n";
        let found: Vec<_> =
            suspicious(text).into_iter().map(|s| (s.at.map_or(0, |at| at.line), s.help)).collect();
        assert_eq!(
            found,
            [
                (1, "did you mean BUILT_MODULE_NAME[2]?".to_owned()),
                (2, "did you mean AUTOINSTALL?".to_owned())
            ]
        );
    }
}
