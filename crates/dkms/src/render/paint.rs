//! Text with colours for a terminal. Escape sequences in names and texts are made visible, so that only those
//! of this module reach the terminal.

use crate::printable::{on_one_line, without_pins};

/// A colour or weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    None,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Colour {
    /// Its parameter of the control sequence "select graphic rendition" (ECMA-48).
    fn code(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }
}

/// Text in parts, each with its colour.
#[derive(Debug, Default)]
pub(crate) struct Painted(Vec<(Colour, String)>);

impl Painted {
    /// Adds text without a colour.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.coloured(Colour::None, text)
    }

    /// Adds text with a colour.
    pub(crate) fn coloured(&mut self, colour: Colour, text: &str) -> &mut Self {
        self.0.push((colour, on_one_line(&without_pins(text)).into_owned()));
        self
    }

    /// Ends the line, and removes spaces at its end.
    pub(crate) fn end_line(&mut self) {
        while self.0.last().is_some_and(|(_, text)| text.trim_end_matches(' ').is_empty()) {
            self.0.pop();
        }
        self.0.push((Colour::None, "\n".to_owned()));
    }

    /// The text without colours.
    pub(crate) fn plain(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text with the control sequences for colours.
    pub(crate) fn with_colours(&self) -> String {
        let sequence = |(colour, text): &(Colour, String)| match colour.code() {
            _ if text.is_empty() => String::new(),
            "" => text.clone(),
            code => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        };
        self.0.iter().map(sequence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_sequences_are_written() {
        let mut painted = Painted::default();
        painted.text("a\u{1b}[2J\nb").coloured(Colour::Red, "\u{202e}\n").text("  ").text(" ").end_line();
        painted.end_line();
        assert_eq!(painted.plain(), "a\\u001b[2J\\u000ab\\u202e\\u000a\n\n");
        assert_eq!(painted.with_colours(), "a\\u001b[2J\\u000ab\u{1b}[31m\\u202e\\u000a\u{1b}[0m\n\n");
    }
}
