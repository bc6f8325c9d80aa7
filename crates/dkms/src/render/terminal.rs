//! A terminal that may disappear. indicatif panics if it cannot draw, and a failing view must not abort the
//! work. So every operation here succeeds; after the first failure, nothing more is written.

use console::Term;
use indicatif::TermLike;
use std::io::Result;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard error, as long as it is writable.
#[derive(Debug)]
pub(super) struct Terminal {
    term: Term,
    gone: AtomicBool,
}

impl Terminal {
    /// Buffers the output until [`TermLike::flush`].
    pub(super) fn stderr() -> Self {
        Self { term: Term::buffered_stderr(), gone: AtomicBool::new(false) }
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
        self.attempt(|term| term.write_str(s))
    }

    fn clear_line(&self) -> Result<()> {
        self.attempt(Term::clear_line)
    }

    fn flush(&self) -> Result<()> {
        self.attempt(Term::flush)
    }
}
