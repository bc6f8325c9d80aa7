//! Words: quotes, escapes and `$` expansions, as bash reads them.
//!
//! Any other form stops the lexer with a [`Stop`]; nothing is skipped or guessed.

use crate::ast::{Operation, Parameter, Part, Sum, Word};

/// Deeper nesting of commands, conditions or expansions is declined.
const MAX_DEPTH: u32 = 40;

/// The first construct that is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Byte offset in the text.
    pub at: usize,
    /// The construct, in words.
    pub construct: String,
}

pub(crate) type Parsed<T> = Result<T, Stop>;

pub(crate) fn stop<T>(at: usize, construct: impl Into<String>) -> Parsed<T> {
    Err(Stop { at, construct: construct.into() })
}

/// The context of a word, which decides where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A word of a command.
    Command,
    /// A pattern of `case`: `|` and `)` end it.
    CasePattern,
    /// Inside an array literal or a condition: `)` ends it.
    Inside,
}

/// A position in the text.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    depth: u32,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, pos: 0, depth: 0 }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    /// Consumes `text` if it comes next.
    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.pos += text.len();
        }
        is_next
    }

    /// Consumes the characters that `accepts` accepts.
    fn take_while(&mut self, accepts: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !accepts(c)).unwrap_or(rest.len());
        self.pos += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Reads a variable name; empty if there is none.
    pub(crate) fn take_name(&mut self) -> &'a str {
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return "";
        }
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Returns to an earlier position from [`Lexer::pos`].
    pub(crate) fn rewind(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// Skips blanks, continued lines, and a comment up to the end of its line.
    pub(crate) fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| c == ' ' || c == '\t');
            if !self.eat("\\\n") {
                break;
            }
        }
        if self.peek() == Some('#') {
            self.take_while(|c| c != '\n');
        }
    }

    /// Skips blanks, comments and line ends.
    pub(crate) fn skip_lines(&mut self) {
        self.skip_blanks();
        while self.eat("\n") {
            self.skip_blanks();
        }
    }

    /// Enters a level of nesting; [`Lexer::leave`] leaves it.
    pub(crate) fn enter(&mut self) -> Parsed<()> {
        if self.depth >= MAX_DEPTH {
            return stop(self.pos, "deep nesting");
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Reads a word. In an assignment it may be empty.
    pub(crate) fn word(&mut self, place: Place) -> Parsed<Word> {
        let mut word = Word { at: self.pos, parts: Vec::new() };
        while let Some(c) = self.peek() {
            let at = self.pos;
            match c {
                ' ' | '\t' | '\n' | ';' | '&' => break,
                '|' if place != Place::Inside || self.rest().starts_with("||") => break,
                ')' if place != Place::Command => break,
                '<' | '>' => return stop(at, "redirection"),
                '(' => return stop(at, "parenthesis"),
                ')' => return stop(at, "closing parenthesis"),
                '|' => return stop(at, "pipe"),
                _ => self.word_part(&mut word)?,
            }
        }
        Ok(word)
    }

    /// Reads one character, quoted text or expansion outside double quotes.
    pub(crate) fn word_part(&mut self, word: &mut Word) -> Parsed<()> {
        let at = self.pos;
        match self.bump() {
            Some('\\') => match self.bump() {
                Some('\n') => {}
                Some(c) => word.parts.push(Part::Quoted(c.to_string())),
                None => return stop(at, "backslash at the end of the file"),
            },
            Some('\'') => {
                let text = self.take_while(|c| c != '\'');
                if !self.eat("'") {
                    return stop(at, "unterminated quote");
                }
                word.parts.push(Part::Quoted(text.to_owned()));
            }
            Some('"') => self.double_quotes(at, word)?,
            Some('$') => self.dollar(at, false, word)?,
            Some('`') => return stop(at, "command substitution"),
            Some(c) => word.push_bare(c),
            None => {}
        }
        Ok(())
    }

    /// Reads the rest of a double-quoted text, after its first quote.
    fn double_quotes(&mut self, start: usize, word: &mut Word) -> Parsed<()> {
        let mut text = String::new();
        // Even empty quotes make a word.
        word.parts.push(Part::Quoted(String::new()));
        loop {
            let at = self.pos;
            match self.bump() {
                None => return stop(start, "unterminated quote"),
                Some('"') => break,
                Some('`') => return stop(at, "command substitution"),
                Some('\\') => match self.bump() {
                    Some('\n') => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => return stop(start, "unterminated quote"),
                },
                Some('$') => {
                    let before = std::mem::take(&mut text);
                    word.parts.push(Part::Quoted(before));
                    self.dollar(at, true, word)?;
                }
                Some(c) => text.push(c),
            }
        }
        word.parts.push(Part::Quoted(text));
        Ok(())
    }

    /// Reads an expansion, after its `$`.
    fn dollar(&mut self, at: usize, quoted: bool, word: &mut Word) -> Parsed<()> {
        match self.peek() {
            Some('(') if self.rest().starts_with("((") => {
                let sum = self.sum(at)?;
                word.parts.push(Part::Sum(Box::new(sum)));
            }
            Some('(') => return stop(at, "command substitution"),
            Some('[') => return stop(at, "arithmetic expansion"),
            Some('{') => {
                self.bump();
                self.enter()?;
                let parameter = self.braces(at, quoted)?;
                self.leave();
                word.parts.push(Part::Parameter(Box::new(parameter)));
            }
            Some('\'' | '"') if !quoted => return stop(at, "ANSI-C or translated quotes"),
            Some('0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                return stop(at, "special parameter");
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.take_name().to_owned();
                // bash joins the lines before it reads the name.
                if self.rest().starts_with("\\\n") {
                    return stop(at, "name continued on the next line");
                }
                word.parts.push(Part::Parameter(Box::new(Parameter {
                    at,
                    quoted,
                    name,
                    subscript: None,
                    operation: Operation::Plain,
                })));
            }
            Some('\\') if self.rest().starts_with("\\\n") => {
                return stop(at, "name continued on the next line");
            }
            _ if quoted => word.parts.push(Part::Quoted("$".to_owned())),
            _ => word.push_bare('$'),
        }
        Ok(())
    }

    /// Reads `((a + b))`. Only sums of names and decimal numbers are supported.
    fn sum(&mut self, at: usize) -> Parsed<Sum> {
        self.eat("((");
        let mut terms = Vec::new();
        let mut minus = false;
        loop {
            self.take_while(|c| c == ' ');
            let dollar = self.eat("$");
            let term = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = term.starts_with(|c: char| c.is_ascii_alphabetic());
            if !name && (dollar || crate::test_command::number(term).is_none()) {
                return stop(at, "arithmetic expansion");
            }
            terms.push((minus, term.to_owned()));
            self.take_while(|c| c == ' ');
            if self.eat("))") {
                return Ok(Sum { at, terms });
            }
            minus = match self.bump() {
                Some('+') => false,
                Some('-') => true,
                _ => return stop(at, "arithmetic expansion"),
            };
        }
    }

    /// Reads `${…}`, after the brace.
    fn braces(&mut self, at: usize, quoted: bool) -> Parsed<Parameter> {
        let length = self.eat("#");
        let name = self.take_name().to_owned();
        if name.is_empty() {
            return stop(
                at,
                if self.peek() == Some('!') { "indirect expansion" } else { "special parameter" },
            );
        }
        let mut operation = if length { Operation::Length } else { Operation::Plain };
        let mut subscript = None;
        if self.eat("[@]") {
            if !length {
                return stop(at, "expansion of a whole array");
            }
            operation = Operation::Count;
        } else if self.eat("[") {
            subscript = Some(self.subscript()?);
        }
        if !length {
            operation = self.operation(at)?;
        }
        if !self.eat("}") {
            return stop(at, "unsupported parameter expansion");
        }
        Ok(Parameter { at, quoted, name, subscript, operation })
    }

    /// Reads the operator and its operand, up to the closing brace.
    fn operation(&mut self, at: usize) -> Parsed<Operation> {
        let colon = self.rest().starts_with(":-") || self.rest().starts_with(":+");
        if colon {
            self.bump();
        }
        Ok(match self.peek() {
            Some('}') => Operation::Plain,
            Some('-') => {
                self.bump();
                Operation::Default { colon, word: self.operand(" ._-/+:,=@%^*?[]!#")? }
            }
            Some('+') => {
                self.bump();
                Operation::Alternative { colon, word: self.operand(" ._-/+:,=@%^*?[]!#")? }
            }
            Some('#') => {
                self.bump();
                let longest = self.eat("#");
                Operation::CutStart { longest, pattern: self.operand(" ._-/+:,=@^*?[]!")? }
            }
            Some('%') => {
                self.bump();
                let longest = self.eat("%");
                Operation::CutEnd { longest, pattern: self.operand(" ._-/+:,=@^*?[]!")? }
            }
            Some('/') => {
                self.bump();
                let all = self.eat("/");
                let pattern = self.operand(" ._-+:,=@^*?[]!")?;
                let with = if self.eat("/") { self.operand(" ._-/+:,=@%^*?[]!#")? } else { Word::default() };
                Operation::Replace { all, pattern, with }
            }
            _ => return stop(at, "unsupported parameter expansion"),
        })
    }

    /// Reads the operand of an operator: letters, digits, the `allowed` characters, and simple expansions.
    /// Quotes have special rules here, so they are not supported.
    fn operand(&mut self, allowed: &str) -> Parsed<Word> {
        let mut word = Word { at: self.pos, parts: Vec::new() };
        while let Some(c) = self.peek() {
            let at = self.pos;
            match c {
                '}' => break,
                '$' => {
                    self.bump();
                    self.dollar(at, false, &mut word)?;
                }
                c if c.is_ascii_alphanumeric() || !c.is_ascii() || allowed.contains(c) => {
                    self.bump();
                    word.push_bare(c);
                }
                '/' => break,
                _ => return stop(at, "quote or special character inside a parameter expansion"),
            }
        }
        Ok(word)
    }

    /// Reads a subscript, after its bracket, and the closing bracket: a number, a name, or simple expansions.
    pub(crate) fn subscript(&mut self) -> Parsed<Word> {
        let mut word = Word { at: self.pos, parts: Vec::new() };
        loop {
            let at = self.pos;
            match self.bump() {
                Some(']') if !word.parts.is_empty() => return Ok(word),
                Some('$') => self.dollar(at, true, &mut word)?,
                Some(c) if c.is_ascii_alphanumeric() || c == '_' => word.push_bare(c),
                _ => return stop(at, "subscript that is not a number or name"),
            }
        }
    }
}

/// The operand of `=~`.
impl Lexer<'_> {
    /// Reads a regular expression: a word in which `(`, `|` and `)` are allowed. Quoted text is literal.
    pub(crate) fn regex(&mut self) -> Parsed<Word> {
        let mut word = Word { at: self.pos, parts: Vec::new() };
        let mut groups = 0usize;
        while let Some(c) = self.peek() {
            let at = self.pos;
            match c {
                ' ' | '\t' | '\n' if groups == 0 => break,
                ' ' | '\t' | '\n' => return stop(at, "blank inside a group of a regular expression"),
                '<' | '>' | ';' | '&' | '~' | '#' => {
                    return stop(at, "special character in a regular expression");
                }
                '[' => self.regex_set(&mut word)?,
                '(' => {
                    groups += 1;
                    self.take_bare(&mut word);
                }
                ')' if groups == 0 => return stop(at, "closing parenthesis"),
                ')' => {
                    groups -= 1;
                    self.take_bare(&mut word);
                }
                '|' if groups == 0 && self.rest().starts_with("||") => break,
                '|' => self.take_bare(&mut word),
                '\\' if self.rest().chars().nth(1).is_none_or(|c| !c.is_ascii_punctuation()) => {
                    return stop(at, "backslash in a regular expression");
                }
                _ => self.word_part(&mut word)?,
            }
        }
        if groups > 0 || word.parts.is_empty() {
            return stop(word.at, "unsupported regular expression");
        }
        Ok(word)
    }

    fn take_bare(&mut self, word: &mut Word) {
        if let Some(c) = self.bump() {
            word.push_bare(c);
        }
    }

    /// Reads `[…]` of a regular expression: letters, digits and characters that are special neither in bash
    /// nor in the expression.
    fn regex_set(&mut self, word: &mut Word) -> Parsed<()> {
        let start = self.pos;
        self.take_bare(word);
        if self.peek() == Some('^') {
            self.take_bare(word);
        }
        let first = self.pos;
        loop {
            match self.peek() {
                Some(']') if self.pos > first => {
                    self.take_bare(word);
                    return Ok(());
                }
                Some(c) if c.is_ascii_alphanumeric() || "-._+:,=@%/".contains(c) => self.take_bare(word),
                _ => return stop(start, "unsupported bracket expression"),
            }
        }
    }
}
