//! Runs named tests the way `cargo test` and `cargo nextest` expect it, with reasons for what is skipped.

use crate::start;
use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// How a test ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed. The reasons say which parts were skipped.
    Passed(Vec<String>),
    /// It could not run.
    Skipped(String),
}

/// The text of a failure.
pub type Failure = String;

/// What a test does when it runs.
type Body = Box<dyn FnOnce() -> Result<Outcome, Failure> + Send>;

/// One named test.
pub struct Test {
    name: String,
    obstacle: Option<String>,
    long: bool,
    alone: bool,
    body: Body,
}

impl Test {
    /// A test of this name.
    pub fn new(
        name: impl Into<String>,
        body: impl FnOnce() -> Result<Outcome, Failure> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), obstacle: None, long: false, alone: false, body: Box::new(body) }
    }

    /// It cannot run here, for this reason.
    #[must_use]
    pub fn obstacle(mut self, reason: Option<String>) -> Self {
        self.obstacle = self.obstacle.or(reason);
        self
    }

    /// It takes many minutes: it runs only when its whole name is given, or with `DKMS_TEST_LONG=1`.
    #[must_use]
    pub fn long(mut self, long: bool) -> Self {
        self.long = long;
        self
    }

    /// It measures time, so no other test of this process runs beside it.
    #[must_use]
    pub fn alone(mut self, alone: bool) -> Self {
        self.alone = alone;
        self
    }

    /// Why it is not run, if so.
    fn skipped_because(&self, arguments: &Arguments) -> Option<String> {
        let by_name = arguments.filter.as_ref() == Some(&self.name);
        let asked_for = by_name || arguments.ignored || arguments.include_ignored || is_set("DKMS_TEST_LONG");
        let long = "takes long: give its whole name, or set DKMS_TEST_LONG=1";
        self.obstacle.clone().or_else(|| (self.long && !asked_for).then(|| long.to_owned()))
    }

    fn into_trial(self, arguments: &Arguments, gate: Arc<RwLock<()>>) -> Trial {
        let skipped = self.skipped_because(arguments);
        // nextest takes from the list what it skips. In a run the reason is printed, so the test itself says
        // it.
        let flagged = skipped.is_some() && (arguments.list || arguments.ignored);
        let Self { name, alone, body, .. } = self;
        let title = name.clone();
        let run = move || {
            let began = Instant::now();
            let result = match skipped {
                Some(reason) => Ok(Outcome::Skipped(reason)),
                None if alone => {
                    let _gate = gate.write().unwrap_or_else(PoisonError::into_inner);
                    body()
                }
                None => {
                    let _gate = gate.read().unwrap_or_else(PoisonError::into_inner);
                    body()
                }
            };
            report(&title, &result, began.elapsed().as_secs());
            complete(&title, result)
        };
        Trial::ignorable_test(name, run).with_ignored_flag(flagged)
    }
}

/// Whether a variable has a value other than `0`.
#[must_use]
pub fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "0")
}

/// The result for libtest-mimic. nextest would count a test that is skipped while it runs as passed; under
/// nextest it fails, with the reason.
fn complete(name: &str, result: Result<Outcome, Failure>) -> Result<Completion, Failed> {
    match result? {
        Outcome::Passed(parts) => {
            for part in parts {
                println!("{name}: skipped in part: {part}");
            }
            Ok(Completion::Completed)
        }
        Outcome::Skipped(reason) if env::var_os("NEXTEST").is_some() => {
            Err(format!("cannot run here: {reason}").into())
        }
        Outcome::Skipped(reason) => Ok(Completion::ignored_with(reason)),
    }
}

/// Appends `NAME, WORD, SECONDS, REASON`, separated by tabs, to the file `DKMS_TEST_REPORT`, if it is set.
fn report(name: &str, result: &Result<Outcome, Failure>, seconds: u64) {
    let Some(path) = env::var_os("DKMS_TEST_REPORT") else { return };
    let (word, reason) = match result {
        Ok(Outcome::Passed(parts)) => ("passed", parts.join("; ")),
        Ok(Outcome::Skipped(reason)) => ("skipped", reason.clone()),
        Err(_) => ("failed", String::new()),
    };
    let line = format!("{name}\t{word}\t{seconds}\t{}\n", reason.replace(['\t', '\n'], " "));
    let file = OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("{}: {error}", path.to_string_lossy());
    }
}

/// Reads the command line, after making sure that the process is a normal one.
#[must_use]
pub fn arguments() -> Arguments {
    let mut arguments = Arguments::from_args();
    start::normalise(arguments.list);
    // Two at a time: most of them run make themselves.
    arguments.test_threads.get_or_insert(2);
    arguments
}

/// Lists or runs the tests.
pub fn run(arguments: &Arguments, tests: Vec<Test>) -> Conclusion {
    let gate = Arc::new(RwLock::new(()));
    let trials = tests.into_iter().map(|test| test.into_trial(arguments, Arc::clone(&gate)));
    libtest_mimic::run(arguments, trials.collect())
}
