//! Prints all output of dkms: data to standard output, messages to standard output or standard error.

use crate::actions::{Action, Kernels, Opt, Relation};
use crate::answer::Answer;
use crate::cli::Arguments;
use crate::exit;
use crate::printable::{on_one_line, printable, without_pins};
use crate::render::{json, paint::Painted, plain, progress::Progress};
use crate::timings::Recorder;
use dkms_core::error::Result;
use dkms_core::event::{self, Event, Sink};
use dkms_core::secret::Secret;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Prints the events and the result of a command.
pub(crate) struct Ui {
    mode: Mode,
    debug: bool,
    /// `--plain`
    plain: bool,
    /// The events for the page of `--timings`; `None` for actions that never build.
    recorder: Option<Recorder>,
    verbose: AtomicBool,
    /// Whether standard output is one document.
    is_document: bool,
    /// Whether the command prints a document in addition to its events.
    prints_resource: bool,
    /// Locked during output, so that the lines of several threads do not mix.
    out: Mutex<()>,
    /// Whether data could not be written for a reason other than a closed pipe.
    unwritten: AtomicBool,
}

enum Mode {
    Quiet,
    /// One line per event.
    Json,
    /// One JSON document; events go to standard error.
    Document,
    Plain,
    /// Plain lines for the log of a package manager. Failures are printed at the end, where users look for
    /// them.
    Managed(Mutex<Vec<String>>),
    Live(Box<Progress>),
}

impl Ui {
    /// Selects the kind of output: none, JSON, a live view on a terminal, or plain lines.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let one_document = arguments.dry_run
            || arguments.kmm
            || arguments.action.is_some_and(|action| action.row().is_document());
        let mode = if arguments.quiet {
            Mode::Quiet
        } else if arguments.json && one_document {
            Mode::Document
        } else if arguments.json {
            Mode::Json
        } else if is_hook(arguments) || crate::managed::by_package_manager() {
            Mode::Managed(Mutex::default())
        } else if !arguments.verbose
            && !arguments.debug
            && !arguments.plain
            && dkms_sys::sys::is_terminal(1)
            && dkms_sys::sys::is_terminal(2)
            && !crate::host::has_dumb_terminal()
        {
            Mode::Live(Box::new(Progress::new()))
        } else {
            Mode::Plain
        };
        let builds = |action: Action| action.row().relation(Opt::Timings) != Relation::Foreign;
        let (recorder, failed) = match arguments.action.is_some_and(builds) {
            true => Some(Recorder::start(arguments)).unzip(),
            false => (None, None),
        };
        let ui = Self {
            mode,
            recorder,
            is_document: one_document,
            prints_resource: arguments.kmm && !arguments.dry_run,
            debug: arguments.debug,
            plain: arguments.plain,
            verbose: AtomicBool::new(arguments.verbose || arguments.debug),
            out: Mutex::new(()),
            unwritten: AtomicBool::new(false),
        };
        if let Some(e) = failed.flatten() {
            ui.event(Event::Warning { text: format!("the page of --timings cannot be written: {e}") });
        }
        ui
    }

    /// The recorder of the events, for actions that may build.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Sets the verbosity, which framework.conf can increase.
    pub(crate) fn set_verbose(&self, verbose: bool) {
        self.verbose.store(verbose, Ordering::Relaxed);
    }

    /// Prints data to standard output.
    pub(crate) fn data(&self, text: &str) {
        self.print(|| to_stdout(text));
    }

    fn print(&self, write: impl FnOnce() -> std::io::Result<()>) {
        if !matches!(self.mode, Mode::Quiet) {
            // If the pipe is closed, the reader does not need more.
            if write().is_err_and(|e| e.kind() != std::io::ErrorKind::BrokenPipe) {
                self.unwritten.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Prints data that has colours if standard output is a terminal that shows them.
    pub(crate) fn painted(&self, painted: &Painted) {
        if !self.plain && crate::host::shows_colours() {
            self.print(|| to_terminal(&painted.with_colours()));
        } else {
            self.data(&painted.plain());
        }
    }

    fn message(&self, text: &str) {
        if !matches!(self.mode, Mode::Quiet) {
            to_stderr(text);
        }
    }

    /// Prints the result of the command and returns its exit code.
    pub(crate) fn finish(&self, action: &str, result: &Result<Answer>) -> ExitCode {
        if let Mode::Live(progress) = &self.mode {
            progress.clear();
        }
        if let Some(recorder) = &self.recorder {
            recorder.remove_empty_file();
        }
        self.print_failures();
        let mut code = exit::of_command(action, result);
        match (&self.mode, result) {
            // The document contains the answer.
            (Mode::Document, Ok(_)) => {}
            (Mode::Document, Err(_)) | (Mode::Json, _) => self.data(&json::result(action, result, code)),
            (_, Ok(answer)) => {
                if let Some(summary) = answer.summary() {
                    self.message(&plain::summary(summary, code));
                }
            }
            (_, Err(e)) => self.message(&plain::error(e, code)),
        }
        // Incomplete output is a failure if output is the only purpose of the command.
        if code == 0 && self.is_document && self.unwritten.load(Ordering::Relaxed) {
            self.message("dkms: error: standard output cannot be written\n");
            code = if action == "ready" { 2 } else { 1 };
        }
        ExitCode::from(code)
    }

    /// Prints the failures that were collected for the end.
    fn print_failures(&self) {
        if let Mode::Managed(failures) = &self.mode {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.drain(..).for_each(|text| self.message(&text));
        }
    }

    fn print_lines(&self, event: &Event) {
        let Some(line) = plain::line(event, self.verbose.load(Ordering::Relaxed)) else { return };
        let line = match line {
            plain::Line::Out(text) if self.prints_resource => plain::Line::Err(text),
            line => line,
        };
        match (&self.mode, line) {
            (Mode::Live(live), plain::Line::Out(text)) => live.above(|| self.data(&text)),
            (Mode::Live(live), plain::Line::Err(text)) => live.above(|| self.message(&text)),
            (_, plain::Line::Out(text)) => self.data(&text),
            (_, plain::Line::Err(text)) => self.message(&text),
        }
    }
}

/// Whether hooks of package managers call this action.
fn is_hook(arguments: &Arguments) -> bool {
    arguments.action.is_some_and(|action| action.row().kernels == Kernels::Named)
}

/// Returns the text for a terminal or a file: unprintable characters are escaped, and PINs are removed.
pub(crate) fn clean(text: &str) -> String {
    without_pins(&printable(text)).into_owned()
}

/// Prints to standard output. Unprintable characters are escaped, and PINs are removed.
///
/// # Errors
/// It cannot be written. After a broken pipe, the reader does not want more.
pub(crate) fn to_stdout(text: &str) -> std::io::Result<()> {
    to_terminal(&clean(text))
}

/// Prints text that is already escaped to standard output.
fn to_terminal(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Prints to standard error. Unprintable characters are escaped, and PINs are removed.
pub(crate) fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(clean(text).as_bytes());
}

impl Sink for Ui {
    fn can_ask(&self) -> bool {
        dkms_sys::sys::is_terminal(0)
    }

    fn ask(&self, question: &str) -> Option<Secret> {
        let _lock = self.out.lock();
        let typed = || {
            // Print the question even with --quiet.
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

    fn follows_progress(&self) -> bool {
        self.recorder.is_some()
    }

    fn progress(&self, progress: event::Progress) {
        if let Mode::Live(live) = &self.mode {
            live.measured(&progress);
        }
        if let Some(recorder) = &self.recorder {
            recorder.progress(&progress);
        }
    }

    fn event(&self, event: Event) {
        if let Some(recorder) = &self.recorder {
            recorder.event(&event);
        }
        let _lock = self.out.lock();
        if self.debug {
            self.message(&format!("debug: {event:?}\n"));
        }
        match &self.mode {
            Mode::Quiet => {}
            Mode::Json => self.data(&json::event(&event)),
            Mode::Document => self.message(&json::event(&event)),
            Mode::Plain => self.print_lines(&event),
            Mode::Managed(failures) => {
                if let (Event::Failed { .. }, Some(plain::Line::Err(text))) =
                    (&event, plain::line(&event, false))
                {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                } else {
                    if matches!(event, Event::Summary(_)) {
                        self.print_failures();
                    }
                    self.print_lines(&event);
                }
            }
            Mode::Live(progress) => {
                progress.follow(&event);
                // The live view shows that a build has begun and continues.
                if !matches!(event, Event::BuildStarted { .. } | Event::StillBuilding { .. }) {
                    self.print_lines(&event);
                }
            }
        }
    }
}
