//! Evaluates a file twice, as dkms 3 does (`safe_source`).
//!
//! **Pass one** executes the file in a copy of the shell that knows the predefined variables and the values
//! of earlier files. Then dkms writes every directive that is set as a line `NAME[i]="value"`, without one
//! trailing carriage return, with an `echo` whose argument is not quoted: blanks and line ends are folded to
//! one blank, and a pattern of file names may be replaced by file names.
//!
//! **Pass two** executes those lines in a shell that has not read the file. So its helper variables are
//! unset, a remaining `$x` is expanded, a backslash before `$`, `` ` ``, `"` or `\` disappears, and a `"`
//! inside the value ends the quotes. If a blank follows it, the line is no longer an assignment but a command
//! with a variable set only for it, and the directive stays unset.
//!
//! Both passes use the same interpreter on different text. Pass two has one more rule: a word that is neither
//! an assignment nor built into bash is an external program. bash would run it or not find it, and neither
//! changes a directive. It is not run here.
//!
//! There is one intended difference. If the very last command of a file is an external command after `;`,
//! `&&` or `||`, bash 5.2 is replaced by that command, and dkms 3 loses the whole file. Here and in the
//! fallback, it is treated like any other command.

use crate::ast::{Case, Chain, Command, Condition, Connector, If, Pipeline, Simple, Value, Word};
use crate::directives::{Dialect, Directives, State};
use crate::expand::Variables;
use crate::lexer::{Parsed, stop};
use crate::test_command::{number, test};
use std::collections::BTreeMap;

/// Whether a POSIX extended regular expression (first argument) matches anywhere in a text (second argument).
pub type Matcher<'a> = dyn Fn(&str, &str) -> Result<bool, InvalidRegex> + 'a;

/// The error of a [`Matcher`]: why a regular expression cannot be used, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRegex(pub String);

/// Larger files are declined.
const MAX_TEXT: usize = 1 << 20;

/// Why bash must evaluate the whole file: the first construct that this crate does not fully support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {construct}")]
pub struct Decline {
    /// Line of the construct, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The construct, in a few words: "command substitution", "loop" …
    pub construct: String,
}

/// Evaluates a file. Returns the directives of `before`, overridden by those of the file.
///
/// # Errors
/// [`Decline`] at the first construct whose effect is not certain.
pub fn evaluate(
    text: &[u8],
    before: &State,
    dialect: Dialect,
    matcher: &Matcher<'_>,
) -> Result<Directives, Decline> {
    if text.len() > MAX_TEXT {
        return Err(Decline { line: 1, column: 1, construct: "file larger than a megabyte".to_owned() });
    }
    let text = std::str::from_utf8(text).map_err(|e| {
        let valid = text.get(..e.valid_up_to()).unwrap_or_default();
        decline_at(&String::from_utf8_lossy(valid), valid.len(), "text that is not UTF-8".to_owned())
    })?;
    let (variables, directives) = initial_values(before, dialect);
    let first = Variables::new(dialect, &variables, &directives);
    let first = run(text, first, matcher, false).map_err(|stop| decline_at(text, stop.at, stop.construct))?;
    let (lines, origins) = write_lines(&first, dialect, text)?;
    let second = Variables::new(dialect, &variables, &directives);
    let second = run(&lines, second, matcher, true).map_err(|stop| {
        let origin = origins.iter().rev().find(|origin| origin.start <= stop.at);
        decline_second_pass(text, origin, &stop.construct)
    })?;
    let mut result = Directives::new();
    for info in dialect.table() {
        for (index, value) in second.directive(info.name) {
            result.set(info.name, index, value);
        }
    }
    Ok(result)
}

/// The initial variables and directives. A variable with the name of a directive sets that directive.
fn initial_values(before: &State, dialect: Dialect) -> (BTreeMap<String, String>, Directives) {
    let mut directives = Directives::new();
    let mut variables = before.variables.clone();
    variables.retain(|name, value| {
        let directive = dialect.find(name).is_some();
        if directive {
            directives.set(name.as_str(), 0, value.as_str());
        }
        !directive
    });
    for (name, index, value) in before.directives.iter() {
        directives.set(name, index, value);
    }
    (variables, directives)
}

fn run<'a>(
    text: &str,
    variables: Variables,
    matcher: &'a Matcher<'a>,
    second_pass: bool,
) -> Parsed<Variables> {
    let list = crate::parser::parse(text)?;
    let mut shell = Shell { variables, matcher, second_pass };
    shell.list(&list)?;
    Ok(shell.variables)
}

/// The directive from which a line of the second pass comes.
struct Origin {
    /// Byte offset of the line.
    start: usize,
    name: &'static str,
    index: usize,
}

/// The lines that the unquoted echo writes between the two passes, and where each comes from.
fn write_lines(
    variables: &Variables,
    dialect: Dialect,
    text: &str,
) -> Result<(String, Vec<Origin>), Decline> {
    let mut lines = String::new();
    let mut origins = Vec::new();
    for info in dialect.table() {
        for (index, value) in variables.directive(info.name) {
            let origin = Origin { start: lines.len(), name: info.name, index };
            let value = value.strip_suffix('\r').unwrap_or(value);
            let quoted = format!("{}[{index}]=\"{value}\"", info.name);
            let fields = quoted.split([' ', '\t', '\n']).filter(|field| !field.is_empty());
            for (position, field) in fields.enumerate() {
                if may_name_files(field) {
                    return Err(decline_second_pass(text, Some(&origin), "pathname expansion"));
                }
                if position > 0 {
                    lines.push(' ');
                }
                lines.push_str(field);
            }
            lines.push('\n');
            origins.push(origin);
        }
    }
    if lines.len() > MAX_TEXT {
        return Err(Decline { line: 1, column: 1, construct: "values larger than a megabyte".into() });
    }
    Ok((lines, origins))
}

/// Whether a field could match files even in an empty working directory: absolute patterns, patterns of
/// hidden names (`.` and `..` always exist), or extended patterns.
fn may_name_files(field: &str) -> bool {
    let pattern = field.contains(['*', '?', '[', '\\']) || field.contains("+(") || field.contains("@(");
    let extended = ["?(", "*(", "+(", "@(", "!("].iter().any(|p| field.contains(p));
    extended || pattern && field.starts_with(['/', '.'])
}

/// Declines a construct in a line of the second pass, at the position where its directive is set.
fn decline_second_pass(text: &str, origin: Option<&Origin>, construct: &str) -> Decline {
    let location = origin.and_then(|origin| crate::locate(text, origin.name, Some(origin.index)));
    let (line, column) = location.map_or((1, 1), |location| (location.line, location.column));
    let entry = origin.map_or_else(String::new, |origin| format!(" in {}[{}]", origin.name, origin.index));
    Decline { line, column, construct: format!("{construct}, remaining for the second evaluation{entry}") }
}

/// Declines the construct at a byte offset.
fn decline_at(text: &str, offset: usize, construct: String) -> Decline {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let from_one = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    Decline { line: from_one(before.matches('\n').count()), column: from_one(column), construct }
}

/// The status of a command. `None` if it is unknown, because the command was not run.
type Status = Option<bool>;

struct Shell<'a> {
    variables: Variables,
    matcher: &'a Matcher<'a>,
    second_pass: bool,
}

impl Shell<'_> {
    fn list(&mut self, list: &[Chain]) -> Parsed<Status> {
        let mut status = Some(true);
        for chain in list {
            status = self.pipeline(&chain.first)?;
            for (connector, next) in &chain.rest {
                let known = self.known(status, next.at)?;
                if known == (*connector == Connector::And) {
                    status = self.pipeline(next)?;
                }
            }
        }
        Ok(status)
    }

    fn known(&self, status: Status, at: usize) -> Parsed<bool> {
        status.map_or_else(|| stop(at, "status of an external command"), Ok)
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Parsed<Status> {
        let status = match &pipeline.command {
            Command::Simple(simple) => self.simple(simple, pipeline.at)?,
            Command::If(command) => self.if_command(command, pipeline.at)?,
            Command::Case(command) => self.case_command(command)?,
            Command::Condition(condition) => Some(self.condition(condition)?),
        };
        Ok(status.map(|s| s != pipeline.negated))
    }

    fn if_command(&mut self, command: &If, at: usize) -> Parsed<Status> {
        for (condition, body) in &command.branches {
            let status = self.list(condition)?;
            if self.known(status, at)? {
                return self.list(body);
            }
        }
        command.otherwise.as_ref().map_or(Ok(Some(true)), |body| self.list(body))
    }

    fn case_command(&mut self, command: &Case) -> Parsed<Status> {
        crate::parser::no_tilde(&command.subject)?;
        let subject = self.variables.text(&command.subject)?;
        for (patterns, body) in &command.arms {
            for pattern in patterns {
                if self.like(&subject, pattern)? {
                    return self.list(body);
                }
            }
        }
        Ok(Some(true))
    }

    fn like(&mut self, text: &str, pattern: &Word) -> Parsed<bool> {
        crate::parser::no_tilde(pattern)?;
        let glob = self.variables.pattern(pattern)?;
        if glob.depends_on_locale(text) {
            return stop(pattern.at, "pattern match on non-ASCII text");
        }
        let chars: Vec<char> = text.chars().collect();
        if !glob.is_within_limit(chars.len()) {
            return stop(pattern.at, "pattern match on long text");
        }
        Ok(glob.matches(&chars))
    }

    fn condition(&mut self, condition: &Condition) -> Parsed<bool> {
        Ok(match condition {
            Condition::NotEmpty(word) => !self.variables.text(word)?.is_empty(),
            Condition::Empty(word) => self.variables.text(word)?.is_empty(),
            Condition::Not(inner) => !self.condition(inner)?,
            Condition::All(all) => {
                for inner in all {
                    if !self.condition(inner)? {
                        return Ok(false);
                    }
                }
                true
            }
            Condition::Any(any) => {
                for inner in any {
                    if self.condition(inner)? {
                        return Ok(true);
                    }
                }
                false
            }
            Condition::Like(left, pattern) => {
                let left = self.variables.text(left)?;
                self.like(&left, pattern)?
            }
            Condition::Regex(left, pattern) => {
                let left = self.variables.text(left)?;
                let regex = self.variables.regex(pattern)?;
                (self.matcher)(&regex, &left).or_else(|error| stop(pattern.at, error.to_string()))?
            }
            Condition::Number(left, comparison, right) => {
                let (a, b) = (self.variables.text(left)?, self.variables.text(right)?);
                match (number(&a), number(&b)) {
                    (Some(a), Some(b)) => comparison.holds(a, b),
                    _ => return stop(left.at, "arithmetic"),
                }
            }
        })
    }

    fn simple(&mut self, simple: &Simple, at: usize) -> Parsed<Status> {
        let Some((command, arguments)) = simple.words.split_first() else {
            for assignment in &simple.assignments {
                self.assign(assignment)?;
            }
            return Ok(Some(true));
        };
        // In a file with DOS line ends, a carriage return looks like a command. bash does not find it, and an
        // assignment before it applies only to that command.
        if command.bare() == Some("\r") {
            self.expand_only(simple)?;
            return Ok(Some(false));
        }
        if self.second_pass {
            return match command.literal() {
                Some(name) if !name.is_empty() && !crate::builtins::is_builtin(&name) => {
                    self.expand_only(simple)?;
                    Ok(None)
                }
                _ => stop(command.at, "command"),
            };
        }
        let Some(name) = command.bare() else { return stop(command.at, "command") };
        if !simple.assignments.is_empty() {
            return stop(at, format!("command '{name}' after assignments"));
        }
        match name {
            ":" | "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            // Printed output is discarded.
            "echo" => {
                self.expand_only(simple)?;
                Ok(Some(true))
            }
            "[" => match arguments.split_last() {
                Some((last, inner)) if last.bare() == Some("]") => self.test(inner, at),
                _ => stop(at, "test without ']'"),
            },
            "test" => self.test(arguments, at),
            "export" => self.export(arguments),
            "unset" => self.unset(arguments),
            name => stop(command.at, format!("command '{}'", name.escape_debug())),
        }
    }

    /// Expands the words of a command without running it, because a failing expansion ends the shell.
    fn expand_only(&mut self, simple: &Simple) -> Parsed<()> {
        for assignment in &simple.assignments {
            match &assignment.value {
                Value::Word(word) => self.variables.text(word)?,
                Value::Array(_) => return stop(assignment.at, "array assignment before a command"),
            };
        }
        simple.words.iter().try_for_each(|word| self.variables.text(word).map(drop))
    }

    fn assign(&mut self, assignment: &crate::ast::Assignment) -> Parsed<()> {
        let crate::ast::Assignment { at, name, subscript, append, value } = assignment;
        match value {
            Value::Word(word) => {
                // bash expands the value before the subscript. Neither has side effects here.
                let value = self.variables.text(word)?;
                let index = subscript.as_ref().map(|s| self.variables.subscript(s)).transpose()?;
                self.variables.assign(*at, name, index, *append, value)
            }
            Value::Array(elements) => {
                let mut values = Vec::new();
                for element in elements {
                    match &element.subscript {
                        // bash has already emptied the array at this point.
                        Some(subscript) if subscript.mentions(name) => {
                            return stop(element.at, "array in its own subscript");
                        }
                        Some(subscript) => {
                            let index = self.variables.subscript(subscript)?;
                            values.push((Some(index), self.variables.text(&element.word)?));
                        }
                        None => {
                            let fields = self.variables.fields(&element.word)?;
                            values.extend(fields.into_iter().map(|f| (None, f)));
                        }
                    }
                    if values.len() > 10_000 {
                        return stop(element.at, "array that is too large");
                    }
                }
                self.variables.assign_array(*at, name, *append, values)
            }
        }
    }

    fn test(&mut self, words: &[Word], at: usize) -> Parsed<Status> {
        let mut arguments = Vec::new();
        for word in words {
            crate::parser::no_tilde(word)?;
            arguments.extend(self.variables.fields(word)?);
        }
        test(&arguments).map_or_else(|| stop(at, "unsupported test"), |result| Ok(Some(result)))
    }

    /// `export NAME` and `export NAME=value`.
    fn export(&mut self, arguments: &[Word]) -> Parsed<Status> {
        for word in arguments {
            let Some((name, value)) = crate::parser::split_assignment(word)? else {
                return stop(word.at, "unsupported export");
            };
            if let Some(value) = value {
                let value = self.variables.text(&value)?;
                self.variables.assign(word.at, &name, None, false, value)?;
            }
        }
        Ok(Some(true))
    }

    fn unset(&mut self, arguments: &[Word]) -> Parsed<Status> {
        for word in arguments {
            match word.bare() {
                Some(name) if crate::bash::is_name(name) => self.variables.unset(word.at, name)?,
                _ => return stop(word.at, "unsupported unset"),
            }
        }
        Ok(Some(true))
    }
}

#[cfg(test)]
mod tests;
