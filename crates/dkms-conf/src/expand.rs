//! Variables, and the expansion of words.

use crate::ast::{Operation, Parameter, Part, Sum, Word};
use crate::directives::{Dialect, Directives};
use crate::glob::Glob;
use crate::lexer::{Parsed, Stop, stop};
use crate::test_command::number;
use std::collections::BTreeMap;

/// The maximum number of bytes that all expansions of a file may produce.
const MAX_OUTPUT: usize = 8 << 20;
/// Higher subscripts are declined, because bash prints an error for them.
const MAX_SUBSCRIPT: i64 = 99_999;

/// Variables that are special in bash, or that dkms 3 uses. A file must not set them.
const SPECIAL: &str = "\
    IFS PATH HOME PWD OLDPWD UID EUID PPID GROUPS RANDOM SRANDOM SECONDS LINENO LANG LANGUAGE TERM COLUMNS \
    LINES SHELLOPTS POSIXLY_CORRECT GLOBIGNORE FUNCNAME FUNCNEST DIRSTACK OPTIND OPTARG OPTERR IGNOREEOF \
    TIMEFORMAT ENV CDPATH EXECIGNORE FIGNORE MAPFILE REPLY CR _ _i _export_env to_source_file export_envs \
    tmpfile directive directive_name directive_value";
/// The beginnings of more such names.
const SPECIAL_STARTS: &str = "BASH COMP COPROC EPOCH HIST LC_ LD_ MAIL PS READLINE DKMS_DIRECTIVE __dkms_";

/// Whether a file must not set this variable.
pub(crate) fn is_special(name: &str) -> bool {
    SPECIAL.split(' ').any(|special| name == special)
        || SPECIAL_STARTS.split(' ').any(|start| name.starts_with(start))
}

/// A variable's values by index. Empty if it is known to be unset.
type Values = BTreeMap<usize, String>;

/// The known variables, and how much expansion is still allowed.
pub(crate) struct Variables {
    known: BTreeMap<String, Values>,
    dialect: Dialect,
    fuel: usize,
}

impl Variables {
    pub(crate) fn new(
        dialect: Dialect,
        variables: &BTreeMap<String, String>,
        directives: &Directives,
    ) -> Self {
        let mut known: BTreeMap<String, Values> = BTreeMap::new();
        for (name, value) in variables {
            known.entry(name.clone()).or_default().insert(0, value.clone());
        }
        for (name, index, value) in directives.iter() {
            known.entry(name.to_owned()).or_default().insert(index, value.to_owned());
        }
        Self { known, dialect, fuel: MAX_OUTPUT }
    }

    /// The values of a variable. Stops for a variable that could come from the environment.
    fn values(&self, at: usize, name: &str) -> Parsed<Option<&Values>> {
        match self.known.get(name) {
            Some(values) => Ok(Some(values)),
            // dkms unsets its directives before it reads the first file.
            None if self.dialect.find(name).is_some() => Ok(None),
            None => stop(at, format!("variable '{name}', which is not set here")),
        }
    }

    /// The indices and values of a directive, which the environment cannot affect.
    pub(crate) fn directive(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        self.known.get(name).into_iter().flatten().map(|(i, v)| (*i, v.as_str()))
    }

    pub(crate) fn unset(&mut self, at: usize, name: &str) -> Parsed<()> {
        if is_special(name) {
            return stop(at, format!("special variable '{name}'"));
        }
        self.known.insert(name.to_owned(), Values::new());
        Ok(())
    }

    /// Sets one element, or appends to it.
    pub(crate) fn assign(
        &mut self,
        at: usize,
        name: &str,
        index: Option<usize>,
        append: bool,
        value: String,
    ) -> Parsed<()> {
        if is_special(name) {
            return stop(at, format!("special variable '{name}'"));
        }
        // The environment may contain a variable of that name, so its elements that are not assigned here are
        // unknown.
        if append || index.is_some_and(|i| i > 0) {
            self.values(at, name)?;
        }
        let values = self.known.entry(name.to_owned()).or_default();
        let element = values.entry(index.unwrap_or(0)).or_default();
        if append {
            element.push_str(&value);
        } else {
            *element = value;
        }
        Ok(())
    }

    /// Sets a whole array, or appends to it.
    pub(crate) fn assign_array(
        &mut self,
        at: usize,
        name: &str,
        append: bool,
        elements: Vec<(Option<usize>, String)>,
    ) -> Parsed<()> {
        if is_special(name) {
            return stop(at, format!("special variable '{name}'"));
        }
        let mut values = Values::new();
        if append {
            self.values(at, name)?;
            values = self.known.remove(name).unwrap_or_default();
        }
        let mut next = values.keys().next_back().map_or(0, |last| last + 1);
        for (index, value) in elements {
            next = index.unwrap_or(next);
            values.insert(next, value);
            next += 1;
        }
        self.known.insert(name.to_owned(), values);
        Ok(())
    }

    fn spend(&mut self, at: usize, bytes: usize) -> Parsed<()> {
        match self.fuel.checked_sub(bytes) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => stop(at, "expansion that is too large"),
        }
    }

    /// Evaluates a subscript.
    pub(crate) fn subscript(&mut self, word: &Word) -> Parsed<usize> {
        let mut text = self.text(word)?;
        let is_name = |t: &str| t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if is_name(&text) && word.literal().is_some() {
            // In arithmetic, a name means its value; a value that is a name again is declined.
            text = self.values(word.at, &text)?.and_then(|v| v.get(&0)).cloned().unwrap_or_default();
        }
        let index = number(&text).filter(|n| (0..=MAX_SUBSCRIPT).contains(n));
        match index.and_then(|n| usize::try_from(n).ok()) {
            Some(index) => Ok(index),
            None => stop(word.at, "subscript that is not a plain number"),
        }
    }

    /// Expands a word to one text, without splitting and pathname expansion.
    pub(crate) fn text(&mut self, word: &Word) -> Parsed<String> {
        let mut out = String::new();
        for part in &word.parts {
            match part {
                Part::Bare(text) | Part::Quoted(text) => out.push_str(text),
                Part::Parameter(parameter) => out.push_str(&self.parameter(parameter)?),
                Part::Sum(sum) => out.push_str(&self.sum(sum)?),
            }
        }
        self.spend(word.at, out.len())?;
        Ok(out)
    }

    /// Expands a word and splits it into fields. Stops at pathname and brace expansion.
    pub(crate) fn fields(&mut self, word: &Word) -> Parsed<Vec<String>> {
        let mut fields = Vec::new();
        let mut current: Option<String> = None;
        for part in &word.parts {
            match part {
                Part::Bare(text) if text.contains(['*', '?', '[', '{']) => {
                    return stop(word.at, "pathname or brace expansion");
                }
                Part::Bare(text) | Part::Quoted(text) => current.get_or_insert_default().push_str(text),
                // Digits and a sign contain nothing to split.
                Part::Sum(sum) => current.get_or_insert_default().push_str(&self.sum(sum)?),
                Part::Parameter(p) if p.quoted => {
                    let value = self.parameter(p)?;
                    current.get_or_insert_default().push_str(&value);
                }
                Part::Parameter(p) => {
                    let value = self.parameter(p)?;
                    if value.contains(['*', '?', '[', '\\']) {
                        return stop(word.at, "pathname expansion");
                    }
                    for c in value.chars() {
                        match c {
                            ' ' | '\t' | '\n' => fields.extend(current.take()),
                            c => current.get_or_insert_default().push(c),
                        }
                    }
                }
            }
        }
        fields.extend(current);
        self.spend(word.at, fields.iter().map(|f| f.len() + 1).sum())?;
        Ok(fields)
    }

    /// Expands a word to a pattern, in which quoted text is literal.
    pub(crate) fn pattern(&mut self, word: &Word) -> Parsed<Glob> {
        let mut glob = Glob::default();
        let mut bare = String::new();
        let unsupported = || Stop { at: word.at, construct: "unsupported pattern".to_owned() };
        for part in &word.parts {
            let (text, quoted) = match part {
                Part::Bare(text) => (text.clone(), false),
                Part::Quoted(text) => (text.clone(), true),
                Part::Parameter(parameter) => {
                    let value = self.parameter(parameter)?;
                    self.spend(word.at, value.len())?;
                    (value, parameter.quoted)
                }
                Part::Sum(_) => return Err(unsupported()),
            };
            if quoted {
                // Quotes inside a set are declined, because bash then does not find the end of the set.
                glob.push_pattern(&std::mem::take(&mut bare)).ok_or_else(unsupported)?;
                glob.push_literal(&text);
            } else {
                bare.push_str(&text);
            }
        }
        glob.push_pattern(&bare).ok_or_else(unsupported)?;
        Ok(glob)
    }

    /// Expands a word to a regular expression, in which quoted text is literal.
    pub(crate) fn regex(&mut self, word: &Word) -> Parsed<String> {
        let mut out = String::new();
        for part in &word.parts {
            match part {
                Part::Bare(text) => out.push_str(text),
                Part::Sum(sum) => return stop(sum.at, "arithmetic in a regular expression"),
                Part::Quoted(text) => push_escaped(&mut out, text),
                Part::Parameter(p) => {
                    let value = self.parameter(p)?;
                    if p.quoted {
                        push_escaped(&mut out, &value);
                    } else if value.contains('\\') {
                        return stop(word.at, "backslash in a regular expression");
                    } else {
                        out.push_str(&value);
                    }
                }
            }
        }
        self.spend(word.at, out.len())?;
        if out.is_empty() { stop(word.at, "empty regular expression") } else { Ok(out) }
    }

    fn sum(&mut self, sum: &Sum) -> Parsed<String> {
        let mut total = 0i64;
        for (minus, term) in &sum.terms {
            let value = match number(term) {
                Some(value) => Some(value),
                None => self.values(sum.at, term)?.and_then(|v| v.get(&0)).and_then(|v| number(v)),
            };
            let Some(value) = value else { return stop(sum.at, "arithmetic expansion") };
            let value = if *minus { -value } else { value };
            match total.checked_add(value) {
                Some(sum) => total = sum,
                None => return stop(sum.at, "arithmetic expansion"),
            }
        }
        Ok(total.to_string())
    }

    fn parameter(&mut self, p: &Parameter) -> Parsed<String> {
        let index = p.subscript.as_ref().map(|s| self.subscript(s)).transpose()?;
        let values = self.values(p.at, &p.name)?;
        let value = values.and_then(|v| v.get(&index.unwrap_or(0)));
        let size = value.map_or(0, String::len);
        let count = values.map_or(0, BTreeMap::len);
        let value = value.cloned();
        self.spend(p.at, size)?;
        let filled = |colon: bool| value.as_ref().is_some_and(|v| !(colon && v.is_empty()));
        match &p.operation {
            Operation::Default { colon, word } if !filled(*colon) => self.text(word),
            Operation::Plain | Operation::Default { .. } => Ok(value.unwrap_or_default()),
            Operation::Alternative { colon, word } if filled(*colon) => self.text(word),
            Operation::Alternative { .. } => Ok(String::new()),
            Operation::Count => Ok(count.to_string()),
            Operation::Length => {
                let value = value.unwrap_or_default();
                if !value.is_ascii() {
                    return stop(p.at, "length of non-ASCII text");
                }
                Ok(value.len().to_string())
            }
            Operation::CutStart { longest, pattern } => {
                let glob = self.pattern(pattern)?;
                cut(p.at, &glob, &value.unwrap_or_default(), true, *longest)
            }
            Operation::CutEnd { longest, pattern } => {
                let glob = self.pattern(pattern)?;
                cut(p.at, &glob, &value.unwrap_or_default(), false, *longest)
            }
            Operation::Replace { all, pattern, with } => {
                let glob = self.pattern(pattern)?;
                let with = self.text(with)?;
                let out = replace(p.at, &glob, &value.unwrap_or_default(), &with, *all)?;
                self.spend(p.at, out.len())?;
                Ok(out)
            }
        }
    }
}

/// Escapes text for literal use in a regular expression, as bash does.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if "^$\\.[()|*+?{".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

fn check_work(at: usize, glob: &Glob, value: &str) -> Parsed<()> {
    if glob.depends_on_locale(value) {
        return stop(at, "pattern match on non-ASCII text");
    }
    if !glob.is_within_limit(value.len()) {
        return stop(at, "pattern match on long text");
    }
    Ok(())
}

/// `value` without the matching part at its start or end.
fn cut(at: usize, glob: &Glob, value: &str, start: bool, longest: bool) -> Parsed<String> {
    check_work(at, glob, value)?;
    let chars: Vec<char> = value.chars().collect();
    let n = chars.len();
    let fits = |size: &usize| {
        let part = if start { chars.get(..*size) } else { chars.get(n - *size..) };
        part.is_some_and(|part| glob.matches(part))
    };
    let size = if longest { (0..=n).rev().find(fits) } else { (0..=n).find(fits) };
    let size = size.unwrap_or(0);
    let kept = if start { chars.get(size..) } else { chars.get(..n - size) };
    Ok(kept.unwrap_or_default().iter().collect())
}

/// `value` with the first match or all matches replaced. A match is the leftmost, and of those the longest.
fn replace(at: usize, glob: &Glob, value: &str, with: &str, all: bool) -> Parsed<String> {
    if with.contains(['&', '\\']) {
        return stop(at, "'&' or a backslash in a replacement");
    }
    if glob.is_empty() {
        return stop(at, "replacement of an empty pattern");
    }
    check_work(at, glob, value)?;
    let chars: Vec<char> = value.chars().collect();
    // With a star, every position tries every length.
    if glob.fixed_length().is_none() && chars.len() > 200 {
        return stop(at, "pattern match on long text");
    }
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() {
        let (least, most) = match glob.fixed_length() {
            Some(length) => (i + length, i + length),
            None => (i + 1, chars.len()),
        };
        let fits = |end: &usize| chars.get(i..*end).is_some_and(|part| glob.matches(part));
        let Some(end) = (least..=most).rev().find(fits) else {
            out.extend(chars.get(i));
            i += 1;
            continue;
        };
        out.push_str(with);
        i = end;
        if !all {
            break;
        }
    }
    out.extend(chars.get(i..).unwrap_or_default());
    // A pattern of stars also matches an empty text, and bash inserts the replacement.
    if value.is_empty() && glob.matches(&[]) {
        return stop(at, "replacement in an empty text");
    }
    Ok(out)
}
