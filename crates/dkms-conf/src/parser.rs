//! Commands: assignments, `if`, `case`, `[[ ]]`, `&&` and `||`. Everything else stops the parser.

use crate::ast::{
    Assignment, Case, Chain, Command, Comparison, Condition, Connector, Element, If, List, Part, Pipeline,
    Simple, Value, Word,
};
use crate::bash::is_name;
use crate::lexer::{Lexer, Parsed, Place, stop};

/// Words that are not commands, and the construct that they begin.
const DECLINED_WORDS: [(&str, &str); 16] = [
    ("for", "loop"),
    ("while", "loop"),
    ("until", "loop"),
    ("select", "loop"),
    ("function", "function definition"),
    ("{", "command group"),
    ("}", "closing brace"),
    ("time", "time"),
    ("coproc", "coprocess"),
    ("do", "stray 'do'"),
    ("done", "stray 'done'"),
    ("then", "stray 'then'"),
    ("elif", "stray 'elif'"),
    ("else", "stray 'else'"),
    ("fi", "stray 'fi'"),
    ("esac", "stray 'esac'"),
];

/// Parses a whole file.
pub(crate) fn parse(text: &str) -> Parsed<List> {
    for (at, c) in text.char_indices() {
        // bash treats some of these specially.
        if c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r') {
            return stop(at, "control character");
        }
    }
    let mut parser = Parser { lexer: Lexer::new(text) };
    let list = parser.list(&[])?;
    match parser.lexer.peek() {
        None => Ok(list),
        Some(_) => stop(parser.lexer.pos(), "unexpected operator"),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
}

impl Parser<'_> {
    /// Parses commands up to one of the `ends` (which is not consumed), `;;` or the end of the text.
    fn list(&mut self, ends: &[&str]) -> Parsed<List> {
        let mut list = List::new();
        loop {
            self.lexer.skip_lines();
            let done = self.lexer.peek().is_none() || self.lexer.rest().starts_with(";;");
            if done || ends.contains(&self.peek_bare()) {
                return Ok(list);
            }
            list.push(self.chain()?);
            self.lexer.skip_blanks();
            match self.lexer.peek() {
                None => return Ok(list),
                Some('\n') => {}
                Some(';') if self.lexer.rest().starts_with(";;") => return Ok(list),
                Some(';') => {
                    self.lexer.bump();
                }
                Some('&') => return stop(self.lexer.pos(), "background command"),
                Some('|') => return stop(self.lexer.pos(), "pipe"),
                Some(_) => return stop(self.lexer.pos(), "unexpected operator"),
            }
        }
    }

    /// The next bare word, without consuming it; "" if it is quoted or contains an expansion.
    fn peek_bare(&self) -> &str {
        let rest = self.lexer.rest();
        let end = rest.find([' ', '\t', '\n', ';', '&', '|', '(', ')', '<', '>']).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if word.contains(['\'', '"', '\\', '$', '`']) { "" } else { word }
    }

    /// Consumes the reserved word if it comes next.
    fn eat_word(&mut self, word: &str) -> bool {
        self.peek_bare() == word && self.lexer.eat(word)
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) {
            return Ok(());
        }
        stop(self.lexer.pos(), format!("missing '{word}'"))
    }

    fn chain(&mut self) -> Parsed<Chain> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.lexer.skip_blanks();
            let connector = if self.lexer.eat("&&") {
                Connector::And
            } else if self.lexer.eat("||") {
                Connector::Or
            } else {
                return Ok(Chain { first, rest });
            };
            self.lexer.skip_lines();
            rest.push((connector, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let at = self.lexer.pos();
        let negated = self.eat_word("!");
        self.lexer.skip_blanks();
        let at = if negated { self.lexer.pos() } else { at };
        Ok(Pipeline { at, negated, command: self.command()? })
    }

    fn command(&mut self) -> Parsed<Command> {
        let at = self.lexer.pos();
        let word = self.peek_bare();
        if let Some((_, what)) = DECLINED_WORDS.iter().find(|(w, _)| *w == word) {
            return stop(at, *what);
        }
        match word {
            "!" => stop(at, "double negation"),
            "if" => self.nested(Self::if_command).map(Command::If),
            "case" => self.nested(Self::case_command).map(Command::Case),
            "[[" => self.nested(Self::condition).map(Command::Condition),
            _ => self.simple().map(Command::Simple),
        }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.lexer.enter()?;
        let result = inner(self);
        self.lexer.leave();
        result
    }

    fn if_command(&mut self) -> Parsed<If> {
        self.expect_word("if")?;
        let mut branches = Vec::new();
        loop {
            let condition = self.filled_list(&["then"])?;
            self.expect_word("then")?;
            branches.push((condition, self.filled_list(&["elif", "else", "fi"])?));
            if !self.eat_word("elif") {
                break;
            }
        }
        let otherwise = if self.eat_word("else") { Some(self.filled_list(&["fi"])?) } else { None };
        self.expect_word("fi")?;
        Ok(If { branches, otherwise })
    }

    /// A list that must not be empty.
    fn filled_list(&mut self, ends: &[&str]) -> Parsed<List> {
        let list = self.list(ends)?;
        if list.is_empty() { stop(self.lexer.pos(), "empty command list") } else { Ok(list) }
    }

    fn case_command(&mut self) -> Parsed<Case> {
        self.expect_word("case")?;
        self.lexer.skip_blanks();
        let subject = self.filled_word(Place::Command)?;
        self.lexer.skip_lines();
        self.expect_word("in")?;
        let mut arms = Vec::new();
        loop {
            self.lexer.skip_lines();
            if self.eat_word("esac") {
                return Ok(Case { subject, arms });
            }
            self.lexer.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.lexer.skip_blanks();
                patterns.push(self.filled_word(Place::CasePattern)?);
                self.lexer.skip_blanks();
                if !self.lexer.eat("|") {
                    break;
                }
            }
            if !self.lexer.eat(")") {
                return stop(self.lexer.pos(), "missing ')' after a pattern");
            }
            arms.push((patterns, self.list(&["esac"])?));
            if self.lexer.rest().starts_with(";;&") {
                return stop(self.lexer.pos(), "';;&'");
            }
            if !self.lexer.eat(";;") {
                self.lexer.skip_lines();
                self.expect_word("esac")?;
                return Ok(Case { subject, arms });
            }
        }
    }

    fn filled_word(&mut self, place: Place) -> Parsed<Word> {
        let word = self.lexer.word(place)?;
        if word.parts.is_empty() { stop(word.at, "missing word") } else { Ok(word) }
    }

    fn simple(&mut self) -> Parsed<Simple> {
        let mut simple = Simple { assignments: Vec::new(), words: Vec::new() };
        loop {
            self.lexer.skip_blanks();
            if simple.words.is_empty() {
                if let Some(assignment) = self.assignment()? {
                    simple.assignments.push(assignment);
                    continue;
                }
            }
            let word = self.lexer.word(Place::Command)?;
            if word.parts.is_empty() {
                break;
            }
            simple.words.push(word);
        }
        if simple.assignments.is_empty() && simple.words.is_empty() {
            return stop(self.lexer.pos(), "missing command");
        }
        Ok(simple)
    }

    /// Parses `NAME=`, `NAME+=`, `NAME[i]=` or `NAME[i]+=` and the value, if one comes next.
    fn assignment(&mut self) -> Parsed<Option<Assignment>> {
        let at = self.lexer.pos();
        let name = self.lexer.take_name().to_owned();
        let mut subscript = None;
        if !name.is_empty() && self.lexer.eat("[") {
            subscript = Some(self.lexer.subscript()?);
        }
        let append = self.lexer.eat("+=");
        if name.is_empty() || !(append || self.lexer.eat("=")) {
            if subscript.is_some() {
                return stop(at, "subscript without assignment");
            }
            self.lexer.rewind(at);
            return Ok(None);
        }
        let value = if self.lexer.peek() == Some('(') {
            if subscript.is_some() {
                return stop(at, "array assigned to an element");
            }
            Value::Array(self.array()?)
        } else {
            let word = self.lexer.word(Place::Command)?;
            no_tilde(&word)?;
            Value::Word(word)
        };
        Ok(Some(Assignment { at, name, subscript, append, value }))
    }

    /// Parses `( … )` after `NAME=`, and checks the character after it.
    fn array(&mut self) -> Parsed<Vec<Element>> {
        self.lexer.bump();
        let mut elements = Vec::new();
        loop {
            self.lexer.skip_lines();
            if self.lexer.eat(")") {
                break;
            }
            elements.push(self.element()?);
        }
        match self.lexer.peek() {
            None | Some(' ' | '\t' | '\n' | ';' | '&' | '|') => Ok(elements),
            Some(_) => stop(self.lexer.pos(), "text after an array"),
        }
    }

    fn element(&mut self) -> Parsed<Element> {
        let at = self.lexer.pos();
        let mut subscript = None;
        if self.lexer.eat("[") {
            subscript = Some(self.lexer.subscript()?);
            if !self.lexer.eat("=") {
                return stop(at, "unsupported array element");
            }
        }
        let word = self.lexer.word(Place::Inside)?;
        // Braces expand to several elements, even after a subscript.
        if word.parts.iter().any(|part| matches!(part, Part::Bare(text) if text.contains('{'))) {
            return stop(at, "brace expansion");
        }
        no_tilde(&word)?;
        if word.parts.is_empty() && subscript.is_none() {
            return stop(self.lexer.pos(), "operator inside an array");
        }
        Ok(Element { at, subscript, word })
    }

    /// `[[ … ]]`
    fn condition(&mut self) -> Parsed<Condition> {
        self.expect_word("[[")?;
        let condition = self.either()?;
        self.lexer.skip_blanks();
        self.expect_word("]]")?;
        Ok(condition)
    }

    fn either(&mut self) -> Parsed<Condition> {
        self.operands("||", Self::both).map(Condition::Any)
    }

    fn both(&mut self) -> Parsed<Condition> {
        self.operands("&&", Self::term).map(Condition::All)
    }

    /// One or more operands, with this operator between them.
    fn operands(
        &mut self,
        operator: &str,
        operand: fn(&mut Self) -> Parsed<Condition>,
    ) -> Parsed<Vec<Condition>> {
        let mut operands = vec![operand(self)?];
        loop {
            self.lexer.skip_blanks();
            if !self.lexer.eat(operator) {
                return Ok(operands);
            }
            operands.push(operand(self)?);
        }
    }

    fn term(&mut self) -> Parsed<Condition> {
        self.lexer.skip_blanks();
        if self.lexer.eat("(") {
            let inner = self.nested(Self::either)?;
            self.lexer.skip_blanks();
            if !self.lexer.eat(")") {
                return stop(self.lexer.pos(), "missing ')'");
            }
            return Ok(inner);
        }
        if self.eat_word("!") {
            return Ok(Condition::Not(Box::new(self.nested(Self::term)?)));
        }
        let word = self.operand()?;
        match word.bare() {
            Some("-n") => return Ok(Condition::NotEmpty(self.operand()?)),
            Some("-z") => return Ok(Condition::Empty(self.operand()?)),
            Some(op) if op.starts_with('-') => return stop(word.at, format!("test {op}")),
            _ => {}
        }
        self.lexer.skip_blanks();
        let next = self.lexer.rest();
        let ends = self.peek_bare() == "]]" || next.starts_with("&&") || next.starts_with("||");
        if ends || next.starts_with(')') {
            return Ok(Condition::NotEmpty(word));
        }
        self.comparison(word)
    }

    fn comparison(&mut self, left: Word) -> Parsed<Condition> {
        let at = self.lexer.pos();
        let operator = self.peek_bare().to_owned();
        if operator.is_empty() || !self.lexer.eat(&operator) {
            return stop(at, "unsupported comparison");
        }
        Ok(match operator.as_str() {
            "=~" => {
                self.lexer.skip_blanks();
                Condition::Regex(left, self.lexer.regex()?)
            }
            "==" | "=" => Condition::Like(left, self.operand()?),
            "!=" => Condition::Not(Box::new(Condition::Like(left, self.operand()?))),
            other => match Comparison::named(other) {
                Some(comparison) => Condition::Number(left, comparison, self.operand()?),
                None => return stop(at, "unsupported comparison"),
            },
        })
    }

    /// A word of a condition.
    fn operand(&mut self) -> Parsed<Word> {
        self.lexer.skip_blanks();
        if ["]]", "!"].contains(&self.peek_bare()) {
            return stop(self.lexer.pos(), "missing word in a condition");
        }
        let word = self.filled_word(Place::Inside)?;
        no_tilde(&word)?;
        Ok(word)
    }
}

/// Stops at a tilde at the beginning of a path, because it expands to a home directory.
pub(crate) fn no_tilde(word: &Word) -> Parsed<()> {
    for part in &word.parts {
        if let Part::Bare(text) = part {
            if text.starts_with('~') || text.contains(":~") || text.contains("=~") {
                return stop(word.at, "tilde expansion");
            }
        }
    }
    Ok(())
}

/// Parses `NAME` or `NAME=value` as an argument of `export`.
pub(crate) fn split_assignment(word: &Word) -> Parsed<Option<(String, Option<Word>)>> {
    no_tilde(word)?;
    let Some((Part::Bare(first), rest)) = word.parts.split_first() else { return Ok(None) };
    let braces = |p: &Part| matches!(p, Part::Bare(text) if text.contains('{'));
    if word.parts.iter().any(braces) {
        return stop(word.at, "brace expansion");
    }
    let (name, value) = match first.split_once('=') {
        Some((name, value)) => (name, value),
        None if rest.is_empty() && is_name(first) => return Ok(Some((first.clone(), None))),
        None => return Ok(None),
    };
    if !is_name(name) {
        return Ok(None);
    }
    let mut parts = vec![Part::Bare(value.to_owned())];
    parts.extend(rest.iter().cloned());
    let value = Word { at: word.at, parts };
    no_tilde(&value)?;
    Ok(Some((name.to_owned(), Some(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_declines() {
        for text in [
            "",
            "# only a comment",
            "A=1 B=2; C=3",
            "A='x'\"y\"z\\ w",
            "A=\"a\\\nb\"\n",
            "if [ x ]; then A=1; elif :; then B=1; else C=1; fi",
            "[[ $a == b* && ( -n x || ! $y =~ ^(6|5)\\. ) ]] && A=1",
            "case $a in a|b) A=1;; (c) ;; *) B=1; esac",
            "A=( a 'b c' [7]=d # no\n e )",
            "A[0]=x A[i]+=y",
            "A=${b:-c d} B=${b%%-*} C=${b//./_} D=${#b} E=${x[1]}",
            "A=1\r\nB=2\r\n",
        ] {
            assert!(parse(text).is_ok(), "{text:?}");
        }
        for (text, at, construct) in [
            ("A=$(x)", 2, "command substitution"),
            ("A=`x`", 2, "command substitution"),
            ("A=\"$((1*2))\"", 3, "arithmetic expansion"),
            ("f() { :; }", 1, "parenthesis"),
            ("for i in a; do :; done", 0, "loop"),
            ("a | b", 2, "pipe"),
            ("a &", 2, "background command"),
            ("a > b", 2, "redirection"),
            ("A='x", 2, "unterminated quote"),
            ("A=\"x", 2, "unterminated quote"),
            ("A=~/x", 2, "tilde expansion"),
            ("A=x:~", 2, "tilde expansion"),
            ("A=$1", 2, "special parameter"),
            ("A=${!b}", 2, "indirect expansion"),
            ("A=${b:=c}", 2, "unsupported parameter expansion"),
            ("A=${b:-'c'}", 7, "quote or special character inside a parameter expansion"),
            ("A=$'x'", 2, "ANSI-C or translated quotes"),
            ("if x; then\r\n:\r\nfi\r\n", 19, "missing 'then'"),
            ("if x; fi", 6, "stray 'fi'"),
            ("a;;b", 1, "unexpected operator"),
            ("; a", 0, "missing command"),
            ("A=(a (b))", 5, "parenthesis"),
            ("A[x y]=1", 3, "subscript that is not a number or name"),
            ("a\u{1}", 1, "control character"),
            ("[[ -f x ]]", 3, "test -f"),
        ] {
            assert_eq!(parse(text).map(drop), stop(at, construct), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_declined() {
        for (open, close) in [
            ("if ", "; then :; fi"),
            ("${a:-", "}"),
            ("[[ ", " ]]"),
            ("[[ ( ", ""),
            ("[[ ! ", ""),
            ("! ", ""),
        ] {
            let start = if open == "${a:-" { "A=" } else { "" };
            let text = format!("{start}{}:{}", open.repeat(50_000), close.repeat(50_000));
            assert!(parse(&text).is_err(), "{open}");
        }
    }
}
