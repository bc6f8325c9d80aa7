//! A terminal that may go away. indicatif panics when it cannot draw, and a view that dies must not take the work with it:
//! here every operation succeeds, and after the first that failed nothing is written any more.

use console::Term;
use indicatif::TermLike;
use std::io::Result;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard error for as long as it can be written.
#[derive(Debug)]
pub struct Terminal {
    term: Term,
    gone: AtomicBool,
}

impl Terminal {
    /// Collects what is written until [`TermLike::flush`].
    pub fn stderr() -> Self {
        Self { term: Term::buffered_stderr(), gone: AtomicBool::new(false) }
    }

    fn attempt(&self, write: impl FnOnce(&Term) -> Result<()>) -> Result<()> {
        // What cannot be written would only be collected.
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
