//! The one place that writes: data to standard output, everything else where it belongs.

use crate::cli::{Action, Arguments};
use crate::exit;
use crate::printable::{on_one_line, printable, without_pins};
use crate::render::{json, plain, progress::Progress};
use dkms_core::error::Result;
use dkms_core::event::{Event, Sink};
use dkms_core::secret::Secret;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the administrator sees a command.
pub struct Ui {
    mode: Mode,
    debug: bool,
    verbose: AtomicBool,
    // One writer at a time: lines of different threads do not mix.
    out: Mutex<()>,
}

enum Mode {
    Quiet,
    /// One line per event.
    Json,
    /// One document; what else there is to say goes to standard error.
    Document,
    Plain,
    Live(Progress),
}

impl Ui {
    /// Quiet, JSON, a live view on a terminal, or plain lines.
    pub fn new(arguments: &Arguments) -> Self {
        let one_document = arguments.dry_run || arguments.action().is_some_and(Action::is_document);
        let mode = if arguments.quiet {
            Mode::Quiet
        } else if arguments.json && one_document {
            Mode::Document
        } else if arguments.json {
            Mode::Json
        } else if !arguments.verbose
            && !arguments.debug
            && dkms_sys::sys::is_terminal(1)
            && dkms_sys::sys::is_terminal(2)
        {
            Mode::Live(Progress::new())
        } else {
            Mode::Plain
        };
        Self {
            mode,
            debug: arguments.debug,
            verbose: AtomicBool::new(arguments.verbose || arguments.debug),
            out: Mutex::new(()),
        }
    }

    /// framework.conf may ask for more than the command line did.
    pub fn set_verbose(&self, verbose: bool) {
        self.verbose.store(verbose, Ordering::Relaxed);
    }

    /// Writes data, printable.
    pub fn data(&self, text: &str) {
        if !matches!(self.mode, Mode::Quiet) {
            to_stdout(text);
        }
    }

    fn complain(&self, text: &str) {
        if !matches!(self.mode, Mode::Quiet) {
            to_stderr(text);
        }
    }

    /// Says how the command ended and gives the exit code.
    pub fn finish(&self, action: &str, result: &Result<()>) -> ExitCode {
        if let Mode::Live(progress) = &self.mode {
            progress.clear();
        }
        let code = result.as_ref().map_or_else(exit::code, |()| 0);
        match (&self.mode, result) {
            // The document has told it.
            (Mode::Document, Err(e)) if e.is_answer() => {}
            (Mode::Document, Err(_)) => self.data(&json::result(action, result, code)),
            (Mode::Json, _) => self.data(&json::result(action, result, code)),
            (_, Ok(())) => {}
            (_, Err(e)) if e.is_answer() && e.to_string().is_empty() => {}
            (_, Err(e)) => self.complain(&plain::error(e, code)),
        }
        ExitCode::from(code)
    }

    fn lines(&self, event: &Event) {
        let Some(line) = plain::line(event, self.verbose.load(Ordering::Relaxed)) else { return };
        match (&self.mode, line) {
            (Mode::Live(p), plain::Line::Out(text)) => p.above(|| self.data(&text)),
            (Mode::Live(p), plain::Line::Err(text)) => p.above(|| self.complain(&text)),
            (_, plain::Line::Out(text)) => self.data(&text),
            (_, plain::Line::Err(text)) => self.complain(&text),
        }
    }
}

/// Writes to standard output, printable and without PINs. Whoever stopped reading has seen enough.
pub fn to_stdout(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(without_pins(&printable(text)).as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error, printable and without PINs.
pub fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(without_pins(&printable(text)).as_bytes());
}

impl Sink for Ui {
    fn can_ask(&self) -> bool {
        dkms_sys::sys::is_terminal(0)
    }

    fn ask(&self, question: &str) -> Option<Secret> {
        let _one = self.out.lock();
        let typed = || {
            // Whoever wants to see nothing has to be asked all the same.
            let line = dkms_sys::sys::read_hidden_line(|| {
                to_stderr(&format!("{}: ", on_one_line(question)));
            });
            to_stderr("\n");
            line.ok().filter(|line| !line.is_empty())
        };
        let line = match &self.mode {
            Mode::Live(progress) => progress.above(typed),
            _ => typed(),
        };
        Some(Secret::new(std::ffi::OsString::from_vec(line?)))
    }

    fn event(&self, event: Event) {
        let _one = self.out.lock();
        if self.debug {
            self.complain(&format!("debug: {event:?}\n"));
        }
        match &self.mode {
            Mode::Quiet => {}
            Mode::Json => self.data(&json::event(&event)),
            Mode::Document => self.complain(&json::event(&event)),
            Mode::Plain => self.lines(&event),
            Mode::Live(progress) => {
                progress.follow(&event);
                // The live line says that it began.
                if !matches!(event, Event::BuildStarted { .. }) {
                    self.lines(&event);
                }
            }
        }
    }
}
