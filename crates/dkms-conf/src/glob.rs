//! Patterns of the shell. In a dkms.conf (`==`, `case`, `${x#…}`), only `*`, `?` and simple `[…]` are
//! supported, and everything else is declined. Patterns on the command line are file name patterns.

/// The maximum number of steps for one use of a pattern.
const MAX_WORK: usize = 20_000_000;

/// One element of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    One(char),
    Any,
    Star,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// A compiled pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Glob {
    tokens: Vec<Token>,
}

/// Whether a text matches a file name pattern of the command line: `*`, `?`, `[...]`, backslash.
#[must_use]
pub fn matches_name(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    Glob { tokens: name_tokens(&pattern.chars().collect::<Vec<_>>()) }.matches(&text)
}

/// The elements of a file name pattern. A bracket that is not closed and a backslash at the end are literal.
fn name_tokens(mut pattern: &[char]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((first, rest)) = pattern.split_first() {
        let (token, rest) = match (first, rest) {
            ('*', rest) => (Token::Star, rest),
            ('?', rest) => (Token::Any, rest),
            ('\\', [escaped, rest @ ..]) => (Token::One(*escaped), rest),
            ('[', rest) => name_set(rest).unwrap_or((Token::One('['), rest)),
            (literal, rest) => (Token::One(*literal), rest),
        };
        tokens.push(token);
        pattern = rest;
    }
    tokens
}

/// The set `[...]`, after its bracket, and the rest of the pattern; `None` if the set is not closed.
fn name_set(pattern: &[char]) -> Option<(Token, &[char])> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let body = pattern.get(usize::from(negated)..)?;
    // A closing bracket at the beginning is a member of the set.
    let close = body.iter().skip(1).position(|c| *c == ']')? + 1;
    let (mut members, rest) = (body.get(..close)?, body.get(close + 1..)?);
    let mut ranges = Vec::new();
    while let Some((first, others)) = members.split_first() {
        members = match others {
            ['-', last, others @ ..] => {
                ranges.push((*first, *last));
                others
            }
            others => {
                ranges.push((*first, *first));
                others
            }
        };
    }
    Some((Token::Set { negated, ranges }, rest))
}

impl Glob {
    /// Appends literal text.
    pub(crate) fn push_literal(&mut self, text: &str) {
        self.tokens.extend(text.chars().map(Token::One));
    }

    /// Appends a pattern; `None` if it has an unsupported form.
    pub(crate) fn push_pattern(&mut self, text: &str) -> Option<()> {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => set(&mut chars)?,
                // A backslash quotes, and parentheses are extended patterns.
                '\\' | '(' | ')' | '|' => return None,
                c => Token::One(c),
            };
            if !(token == Token::Star && self.tokens.last() == Some(&Token::Star)) {
                self.tokens.push(token);
            }
        }
        Some(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The length of a match in characters, if every match has the same length.
    pub(crate) fn fixed_length(&self) -> Option<usize> {
        let star = self.tokens.contains(&Token::Star);
        (!star).then_some(self.tokens.len())
    }

    /// Whether matching this text may depend on the locale, in which `?` and sets count characters or bytes.
    pub(crate) fn depends_on_locale(&self, text: &str) -> bool {
        !text.is_ascii() && self.tokens.iter().any(|t| matches!(t, Token::Any | Token::Set { .. }))
    }

    /// Whether the pattern can be tried at every position of a text of this length within the limit.
    pub(crate) fn is_within_limit(&self, length: usize) -> bool {
        length.saturating_mul(length).saturating_mul(self.tokens.len().max(1)) <= MAX_WORK
    }

    /// Whether all of `text` matches.
    pub(crate) fn matches(&self, text: &[char]) -> bool {
        let (mut position, mut token) = (0, 0);
        // The token after the last star, and the position up to which that star matches.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(&character) = text.get(position) {
            match self.tokens.get(token) {
                Some(Token::Star) => {
                    token += 1;
                    retry = Some((token, position));
                }
                Some(current) if current.matches(character) => {
                    token += 1;
                    position += 1;
                }
                _ => {
                    // The last star matches one more character.
                    let Some((after, from)) = retry else { return false };
                    retry = Some((after, from + 1));
                    (token, position) = (after, from + 1);
                }
            }
        }
        self.tokens.iter().skip(token).all(|token| *token == Token::Star)
    }
}

impl Token {
    /// Whether this element, if it is not a star, matches a character.
    fn matches(&self, character: char) -> bool {
        match self {
            Token::One(literal) => *literal == character,
            Token::Any => true,
            Token::Star => false,
            Token::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }
        }
    }
}

/// The contents of `[…]`, after the bracket: letters, digits, a few other characters, and ranges of one kind.
fn set(chars: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut negated = false;
    let mut pending = false;
    let mut first = true;
    loop {
        let c = chars.next()?;
        match c {
            '!' | '^' if first => negated = true,
            ']' if ranges.is_empty() => return None,
            // A minus at the end is literal.
            ']' => {
                if pending {
                    ranges.push(('-', '-'));
                }
                return Some(Token::Set { negated, ranges });
            }
            '-' if ranges.is_empty() || pending => return None,
            '-' => pending = true,
            c if pending => {
                let (start, _) = ranges.pop()?;
                let kind = |c: char| (c.is_ascii_digit(), c.is_ascii_lowercase(), c.is_ascii_uppercase());
                if kind(c) != kind(start) || !c.is_ascii_alphanumeric() || start > c {
                    return None;
                }
                ranges.push((start, c));
                pending = false;
                // The meaning of [a-c-e] differs between shells.
                if chars.as_str().starts_with('-') {
                    return None;
                }
            }
            c if c.is_ascii_alphanumeric() || "._+:, =@".contains(c) => ranges.push((c, c)),
            _ => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(pattern: &str, text: &str) -> Option<bool> {
        let mut glob = Glob::default();
        glob.push_pattern(pattern)?;
        Some(glob.matches(&text.chars().collect::<Vec<_>>()))
    }

    #[test]
    fn patterns() {
        for (pattern, text, result) in [
            ("", "", Some(true)),
            ("*", "", Some(true)),
            ("6.*", "6.1.0", Some(true)),
            ("6.*", "5.6.1", Some(false)),
            ("*rt*", "6.1-rt-amd64", Some(true)),
            ("*a*b*c", "xaybzc", Some(true)),
            ("*a*b*c", "xaybz", Some(false)),
            ("?.[0-9]", "5.4", Some(true)),
            ("?.[!0-9]", "5.4", Some(false)),
            ("[a-c]*", "beta", Some(true)),
            ("[abc-]", "-", Some(true)),
            ("[", "[", None),
            ("[]a]", "]", None),
            ("[[:digit:]]", "1", None),
            ("[a-Z]", "b", None),
            ("\\*", "*", None),
            ("@(a|b)", "a", None),
        ] {
            assert_eq!(like(pattern, text), result, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "a*".repeat(300) + "b";
        assert_eq!(like(&pattern, &"a".repeat(5000)), Some(false));
    }

    #[test]
    fn names_match_as_in_the_shell() {
        let table = [
            ("6.1.0-56-amd64", "6.1.0-56-amd64", true),
            ("6.1*", "6.1.0-56-amd64", true),
            ("6.1*amd64", "6.1.0-56-amd64", true),
            ("6.1?0*", "6.1.0-56", true),
            ("6.[12].*", "6.2.0", true),
            ("6.[!12].*", "6.2.0", false),
            ("6.[0-9].*", "6.2.0", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches_name(pattern, text), expected, "{pattern} {text}");
        }
    }
}
