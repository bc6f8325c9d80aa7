//! Finds assignments in a file's text, with their exact positions.
//!
//! It supports quotes, comments and substitutions, but no other syntax of bash, so that it also works for
//! files that only bash can evaluate. Here documents are read as commands.

use crate::bash::is_name;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Deeper nesting is read as plain text.
const MAX_DEPTH: u32 = 40;

/// A `NAME=value` or `NAME[i]=value` in the position of a command.
#[derive(Clone, Debug)]
pub(super) struct Assigned<'a> {
    /// Byte offset of the name.
    pub start: usize,
    pub name: &'a str,
    /// The text between the brackets.
    pub subscript: Option<&'a str>,
    /// `+=`
    pub append: bool,
    /// `NAME=( … )`
    pub whole: bool,
    /// The value as written, with its quotes.
    pub value: Range<usize>,
    /// Whether it is always executed, and its lines contain nothing else.
    pub alone: bool,
    /// Whether other programs see it, because it is exported or precedes a command.
    pub exported: bool,
}

impl Assigned<'_> {
    /// The index, if it is written as a number or omitted.
    pub(super) fn index(&self) -> Option<usize> {
        self.subscript.map_or(Some(0), |s| s.trim().parse().ok())
    }

    /// Name and subscript, as written.
    pub(super) fn written(&self) -> String {
        self.subscript.map_or_else(|| self.name.to_owned(), |s| format!("{}[{s}]", self.name))
    }
}

/// The result for a file.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    pub assignments: Vec<Assigned<'a>>,
    pub comments: Vec<Range<usize>>,
    /// Whether it runs other files or text, which may read every variable.
    pub runs_more: bool,
    /// Names after a `$`.
    pub read: BTreeSet<&'a str>,
    /// The number of times that each upper-case name occurs outside comments.
    pub mentioned: BTreeMap<&'a str, usize>,
}

impl<'a> Scan<'a> {
    /// The last assignment of `name[index]`, otherwise the last one of `name`.
    pub(super) fn find(&self, name: &str, index: Option<usize>) -> Option<&Assigned<'a>> {
        let mut all = self.assignments.iter().rev().filter(|a| a.name == name);
        let exact = |a: &&Assigned<'_>| a.index() == index || a.whole;
        match index {
            None => all.next(),
            Some(_) => all.clone().find(exact).or_else(|| all.next()),
        }
    }

    pub(super) fn in_comment(&self, at: usize) -> bool {
        let n = self.comments.partition_point(|c| c.start <= at);
        n.checked_sub(1).and_then(|n| self.comments.get(n)).is_some_and(|c| c.contains(&at))
    }
}

/// Scans a file.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut scanner =
        Scanner { text, pos: 0, out: Scan::default(), depth: 0, parens: 0, first: 0, exporting: false };
    scanner.run();
    let mut out = scanner.out;
    collect_names(text, &mut out);
    out
}

/// Collects the names that the text reads, and counts the names that it mentions.
fn collect_names<'a>(text: &'a str, out: &mut Scan<'a>) {
    let mut at = 0;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(is_word)) {
        let start = at + found;
        let rest = text.get(start..).unwrap_or_default();
        at = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = text.get(start..at).unwrap_or_default();
        if out.in_comment(start) {
            continue;
        }
        let before = text.get(..start).unwrap_or_default();
        if ["$", "${", "${#", "${!"].iter().any(|sign| before.ends_with(sign)) {
            out.read.insert(word);
        }
        *out.mentioned.entry(word).or_default() += 1;
    }
}

struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    out: Scan<'a>,
    /// The number of open `if`, `case`, loops and `{`.
    depth: usize,
    parens: usize,
    /// The index of the first assignment of the current command.
    first: usize,
    exporting: bool,
}

impl<'a> Scanner<'a> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.pos + ahead).copied()
    }

    fn skip(&mut self, n: usize) {
        self.pos = (self.pos + n).min(self.text.len());
    }

    fn slice(&self, start: usize) -> &'a str {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    fn begin_command(&mut self) {
        self.first = self.out.assignments.len();
        self.exporting = false;
    }

    fn run(&mut self) {
        // Whether the next word begins a command; whether it is the first of its line; whether an operator
        // needs an operand.
        let (mut command, mut fresh, mut waiting) = (true, true, false);
        while let Some(b) = self.byte(0) {
            match b {
                b' ' | b'\t' | b'\r' => self.skip(1),
                b'\\' if self.byte(1) == Some(b'\n') => self.skip(2),
                b'\n' => {
                    self.skip(1);
                    (command, fresh) = (true, !waiting);
                    self.begin_command();
                }
                b'#' => {
                    let start = self.pos;
                    let rest = self.text.get(start..).unwrap_or_default();
                    self.skip(rest.find('\n').unwrap_or(rest.len()));
                    self.out.comments.push(start..self.pos);
                }
                b';' | b'&' | b'|' | b'(' | b')' => {
                    self.skip(1);
                    match b {
                        b'(' => self.parens += 1,
                        b')' => self.parens = self.parens.saturating_sub(1),
                        _ => {}
                    }
                    (command, fresh, waiting) = (true, false, matches!(b, b'&' | b'|'));
                    self.begin_command();
                }
                b'<' | b'>' => {
                    self.skip(1);
                    command = false;
                }
                _ => {
                    let unconditional = fresh && self.depth == 0 && self.parens == 0;
                    command = command && (self.assignment(unconditional) || self.word());
                    if !command {
                        self.skip_word(0);
                    }
                    (fresh, waiting) = (false, false);
                }
            }
        }
    }

    /// Reads a word that is not an assignment in the position of a command. Returns whether an assignment may
    /// follow it.
    fn word(&mut self) -> bool {
        let start = self.pos;
        self.skip_word(0);
        let word = self.slice(start);
        match word {
            "if" | "case" | "for" | "while" | "until" | "select" | "{" => self.depth += 1,
            "fi" | "esac" | "done" | "}" => self.depth = self.depth.saturating_sub(1),
            "." | "source" | "eval" => self.out.runs_more = true,
            "export" | "declare" | "typeset" | "readonly" => self.exporting = true,
            _ => {}
        }
        let keyword =
            ["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"].contains(&word);
        if !keyword && !self.exporting {
            for a in self.out.assignments.iter_mut().skip(self.first) {
                (a.exported, a.alone) = (true, false);
            }
        }
        keyword || self.exporting
    }

    /// Reads an assignment, if one comes next.
    fn assignment(&mut self, unconditional: bool) -> bool {
        let start = self.pos;
        let rest = self.text.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, mut after) = rest.split_at(end);
        if !is_name(name) {
            return false;
        }
        let mut subscript = None;
        if let Some(inside) = after.strip_prefix('[') {
            let Some(close) = inside.bytes().take(100).position(|b| b == b']' || b == b'\n') else {
                return false;
            };
            let (Some(text), Some(behind)) =
                (inside.get(..close), inside.get(close..).and_then(|i| i.strip_prefix(']')))
            else {
                return false;
            };
            (subscript, after) = (Some(text), behind);
        }
        let append = after.starts_with("+=");
        let Some(value) = after.strip_prefix(if append { "+=" } else { "=" }) else { return false };
        self.pos = self.text.len() - value.len();
        let from = self.pos;
        let whole = self.byte(0) == Some(b'(');
        if whole {
            self.skip(1);
            self.parenthesis(0);
        } else {
            self.skip_word(0);
        }
        let value = from..self.pos;
        let behind = self.text.get(self.pos..).unwrap_or_default();
        let line = behind.split('\n').next().unwrap_or_default();
        let alone = unconditional && !self.exporting && line.trim().is_empty();
        let exported = self.exporting;
        self.out.assignments.push(Assigned { start, name, subscript, append, whole, value, alone, exported });
        true
    }

    /// Reads to the end of a word.
    fn skip_word(&mut self, depth: u32) {
        while let Some(b) = self.byte(0) {
            match b {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\r' if matches!(self.byte(1), Some(b'\n') | None) => break,
                _ => self.unit(b, depth),
            }
        }
    }

    /// Reads one character, quoted text or substitution.
    fn unit(&mut self, b: u8, depth: u32) {
        let deep = depth >= MAX_DEPTH;
        match b {
            b'\\' => self.skip(2),
            b'\'' => {
                self.skip(1);
                self.until(b'\'', false);
            }
            b'`' => {
                self.skip(1);
                self.until(b'`', true);
            }
            b'"' if !deep => {
                self.skip(1);
                self.quoted(depth + 1);
            }
            b'$' if self.byte(1) == Some(b'(') && !deep => {
                self.skip(2);
                self.parenthesis(depth + 1);
            }
            b'$' if self.byte(1) == Some(b'{') => {
                self.skip(2);
                self.until(b'}', true);
            }
            _ => self.skip(1),
        }
    }

    fn until(&mut self, end: u8, escapes: bool) {
        while let Some(b) = self.byte(0) {
            self.skip(if escapes && b == b'\\' { 2 } else { 1 });
            if b == end {
                break;
            }
        }
    }

    fn quoted(&mut self, depth: u32) {
        while let Some(b) = self.byte(0) {
            match b {
                b'"' => return self.skip(1),
                b'\'' => self.skip(1),
                _ => self.unit(b, depth),
            }
        }
    }

    fn parenthesis(&mut self, depth: u32) {
        let mut open = 1usize;
        while let Some(b) = self.byte(0) {
            match b {
                b'(' => {
                    open += 1;
                    self.skip(1);
                }
                b')' => {
                    open -= 1;
                    self.skip(1);
                    if open == 0 {
                        return;
                    }
                }
                _ => self.unit(b, depth),
            }
        }
    }
}

/// The value without its quotes and its position, if it is plain text.
pub(super) fn literal(text: &str, value: Range<usize>) -> Option<(Range<usize>, &str)> {
    let raw = text.get(value.clone())?;
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = match quote {
        Some(q) => raw.strip_prefix(q)?.strip_suffix(q)?,
        None => raw,
    };
    let margin = usize::from(quote.is_some());
    let plain = !inner.contains(['"', '\'', '$', '`', '\\', '(', ')', '{', '*', '?', '[', '~', '\n']);
    plain.then_some((value.start + margin..value.end - margin, inner))
}
