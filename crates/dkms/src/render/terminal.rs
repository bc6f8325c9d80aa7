//! A terminal that may disappear. indicatif panics if it cannot draw, but a failure of the live view must not
//! abort the command. Therefore every operation here succeeds; after the first failure, nothing is written
//! any more.
//!
//! indicatif fills each line with spaces, so that the cursor wraps to the next line. If the width of the
//! terminal changes, terminals rejoin such lines, and indicatif would then erase the text above them.
//! [`Lines`] ends each line with a line feed instead.

use console::Term;
use indicatif::TermLike;
use std::io::Result;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard error, as long as it is writable.
#[derive(Debug)]
pub(super) struct Terminal {
    term: Term,
    gone: AtomicBool,
    lines: Lines,
}

/// Replaces the spaces at the ends of lines by line feeds.
#[derive(Debug, Default)]
struct Lines {
    /// Whether a line is complete, so that the next text begins on a new line.
    is_full: AtomicBool,
}

impl Lines {
    /// Returns the text to write instead of `text`, which is a line or the spaces that fill it.
    fn replace(&self, text: &str) -> String {
        const CLEAR: &str = "\x1b[K";
        if text == "\r" {
            self.is_full.store(false, Ordering::Relaxed);
            return text.to_owned();
        }
        if text.bytes().all(|byte| byte == b' ') {
            self.is_full.store(true, Ordering::Relaxed);
            // At the end of a full line, this would erase the last character.
            return if text.is_empty() { String::new() } else { CLEAR.to_owned() };
        }
        let start = if self.is_full.swap(false, Ordering::Relaxed) { "\r\n" } else { "" };
        let shown = text.trim_end_matches(' ');
        let end = if shown.len() < text.len() { CLEAR } else { "" };
        format!("{start}{shown}{end}")
    }

    /// Notes that the cursor has moved, so that the next text does not begin a new line.
    fn moved(&self) {
        self.is_full.store(false, Ordering::Relaxed);
    }
}

impl Terminal {
    /// Buffers the output until [`TermLike::flush`].
    pub(super) fn stderr() -> Self {
        Self { term: Term::buffered_stderr(), gone: AtomicBool::new(false), lines: Lines::default() }
    }

    fn attempt(&self, write: impl FnOnce(&Term) -> Result<()>) -> Result<()> {
        // After a failure, do not buffer output that cannot be written.
        if !self.gone.load(Ordering::Relaxed) && write(&self.term).is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> Result<()> {
        self.lines.moved();
        self.attempt(|term| term.move_cursor_up(n))
    }

    fn move_cursor_down(&self, n: usize) -> Result<()> {
        self.attempt(|term| term.move_cursor_down(n))
    }

    fn move_cursor_right(&self, n: usize) -> Result<()> {
        self.attempt(|term| term.move_cursor_right(n))
    }

    fn move_cursor_left(&self, n: usize) -> Result<()> {
        self.attempt(|term| term.move_cursor_left(n))
    }

    fn write_line(&self, s: &str) -> Result<()> {
        self.attempt(|term| term.write_line(s))
    }

    fn write_str(&self, s: &str) -> Result<()> {
        let text = self.lines.replace(s);
        self.attempt(|term| term.write_str(&text))
    }

    fn clear_line(&self) -> Result<()> {
        self.attempt(Term::clear_line)
    }

    fn flush(&self) -> Result<()> {
        self.attempt(Term::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_ends_by_itself() {
        let lines = Lines::default();
        let drawn = |texts: &[&str]| texts.iter().map(|text| lines.replace(text)).collect::<String>();
        // Two lines of a terminal with ten columns: one that fills it, and one that does not.
        assert_eq!(drawn(&["\r", "make    5s", "", "1 of 2    ", ""]), "\rmake    5s\r\n1 of 2\x1b[K");
        lines.moved();
        assert_eq!(drawn(&["\r", "make", "      "]), "\rmake\x1b[K");
        lines.moved();
        assert_eq!(drawn(&["text"]), "text");
    }
}
