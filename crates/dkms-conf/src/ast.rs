//! The syntax tree of a file. Positions are byte offsets in the text.

/// A list of commands, each an and-or chain.
pub(crate) type List = Vec<Chain>;

/// `first && next || next …`
#[derive(Debug)]
pub(crate) struct Chain {
    pub first: Pipeline,
    pub rest: Vec<(Connector, Pipeline)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connector {
    And,
    Or,
}

/// One command, with an optional `!` before it.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub at: usize,
    pub negated: bool,
    pub command: Command,
}

#[derive(Debug)]
pub(crate) enum Command {
    Simple(Simple),
    If(If),
    Case(Case),
    Condition(Condition),
}

/// Assignments, then words. If there are words, the assignments apply only to that command.
#[derive(Debug)]
pub(crate) struct Simple {
    pub assignments: Vec<Assignment>,
    pub words: Vec<Word>,
}

#[derive(Debug)]
pub(crate) struct If {
    /// The condition and body of `if` and of each `elif`.
    pub branches: Vec<(List, List)>,
    pub otherwise: Option<List>,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub subject: Word,
    pub arms: Vec<(Vec<Word>, List)>,
}

#[derive(Debug)]
pub(crate) struct Assignment {
    pub at: usize,
    pub name: String,
    pub subscript: Option<Word>,
    pub append: bool,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Word(Word),
    Array(Vec<Element>),
}

/// One element of an array literal: `word`, which may expand to several elements, or `[subscript]=word`.
#[derive(Debug)]
pub(crate) struct Element {
    pub at: usize,
    pub subscript: Option<Word>,
    pub word: Word,
}

/// The contents of `[[ ]]`.
#[derive(Debug)]
pub(crate) enum Condition {
    NotEmpty(Word),
    Empty(Word),
    Not(Box<Condition>),
    /// `a && b && …`
    All(Vec<Condition>),
    /// `a || b || …`
    Any(Vec<Condition>),
    /// Comparison with a pattern, as for file names.
    Like(Word, Word),
    /// Comparison with a regular expression.
    Regex(Word, Word),
    Number(Word, Comparison, Word),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A word before expansion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    pub at: usize,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Unquoted text, in which patterns are active.
    Bare(String),
    /// Text inside quotes or after a backslash. It may be empty: `""` is a word.
    Quoted(String),
    Parameter(Box<Parameter>),
    Sum(Box<Sum>),
}

/// `$((a + b - c))`: variable names and decimal numbers.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub at: usize,
    /// The term, and whether it is subtracted.
    pub terms: Vec<(bool, String)>,
}

/// `$name`, `${name}` and other parameter expansions.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub at: usize,
    /// Whether it is inside double quotes.
    pub quoted: bool,
    pub name: String,
    pub subscript: Option<Word>,
    pub operation: Operation,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// The value.
    Plain,
    /// `${#name}`
    Length,
    /// `${#name[@]}`
    Count,
    /// `${name:-word}`; without the colon, an empty value counts as set.
    Default { colon: bool, word: Word },
    /// `${name:+word}`
    Alternative { colon: bool, word: Word },
    /// `${name#pattern}`, `${name##pattern}`
    CutStart { longest: bool, pattern: Word },
    /// `${name%pattern}`, `${name%%pattern}`
    CutEnd { longest: bool, pattern: Word },
    /// `${name/pattern/with}`, `${name//pattern/with}`
    Replace { all: bool, pattern: Word, with: Word },
}

impl Comparison {
    /// The comparison for `-eq` and similar operators.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "-eq" => Self::Eq,
            "-ne" => Self::Ne,
            "-lt" => Self::Lt,
            "-le" => Self::Le,
            "-gt" => Self::Gt,
            "-ge" => Self::Ge,
            _ => return None,
        })
    }

    pub(crate) fn holds(self, a: i64, b: i64) -> bool {
        match self {
            Self::Eq => a == b,
            Self::Ne => a != b,
            Self::Lt => a < b,
            Self::Le => a <= b,
            Self::Gt => a > b,
            Self::Ge => a >= b,
        }
    }
}

impl Word {
    /// The text of the word, if it is unquoted and without expansions.
    pub(crate) fn bare(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Bare(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of the word without quotes, if it contains no expansion.
    pub(crate) fn literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Bare(text) | Part::Quoted(text) => Some(text.as_str()),
                Part::Parameter(_) | Part::Sum(_) => None,
            })
            .collect()
    }

    /// Whether this subscript refers to the variable `name`.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let expands = |part: &Part| matches!(part, Part::Parameter(p) if p.name == name);
        self.literal().is_some_and(|text| text == name) || self.parts.iter().any(expands)
    }

    pub(crate) fn push_bare(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Bare(text)) => text.push(c),
            _ => self.parts.push(Part::Bare(c.to_string())),
        }
    }
}
