//! Runs a program that is a test: its lines are passed on or kept, and its end becomes an outcome.

use crate::runner::{Failure, Outcome};
use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Exit code of a driver that could not run at all.
const SKIPPED: i32 = 77;
/// Exit code of `timeout`.
const TIMED_OUT: i32 = 124;
/// How many of its last lines a failure shows.
const SHOWN: usize = 60;

/// A command that runs `words` on this machine, in a session of its own. It ends with us, or when its time is
/// over.
#[must_use]
pub fn on_the_machine(words: &[&str], limit: Duration) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--", "setsid", "--wait", "timeout", "-k", "10"])
        .arg(limit.as_secs().to_string())
        .args(words)
        .stdin(Stdio::null());
    command
}

/// `words` with standard error in standard output, in the locale that the expected texts were written in:
/// compilers quote by it.
#[must_use]
pub fn as_driver<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["bash", "-c", "export LANG=C.UTF-8; exec \"$@\" 2>&1", "-"];
    all.extend(words);
    all
}

/// Runs a command that was made from [`as_driver`] to its end.
///
/// A driver that ends with 0 passed, one that ends with 77 was skipped. A line `skipped: REASON` says why;
/// where a driver ends with 0 and did other things as well, only a part of it was skipped.
///
/// # Errors
/// The last lines of a driver that ended otherwise.
pub fn drive(name: &str, mut command: Command) -> Result<Outcome, Failure> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start: {error}"))?;
    let (mut last, mut reasons, mut lines) = (VecDeque::new(), Vec::new(), 0_usize);
    let echo = env::args_os().any(|word| word == "--nocapture");
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read its output: {error}"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if echo {
                println!("{name}: {line}");
            }
            lines += usize::from(!line.trim().is_empty());
            if let Some(reason) = line.strip_prefix("skipped: ") {
                reasons.push(reason.to_owned());
            }
            last.push_back(line);
            if last.len() > SHOWN {
                last.pop_front();
            }
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for it: {error}"))?;
    match status.code() {
        Some(0) if reasons.is_empty() || reasons.len() < lines => Ok(Outcome::Passed(reasons)),
        Some(0) => Ok(Outcome::Skipped(reasons.join("; "))),
        Some(SKIPPED) => {
            Ok(Outcome::Skipped(reasons.pop().unwrap_or_else(|| format!("it ended with {SKIPPED}"))))
        }
        code => {
            let why = match code {
                Some(TIMED_OUT) => "it timed out".to_owned(),
                _ => status.to_string(),
            };
            Err(format!("{why}\n  {}", Vec::from(last).join("\n  ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_within(seconds: u64, script: &str) -> Result<Outcome, Failure> {
        let words = as_driver(&["bash", "-c", script]);
        drive("test", on_the_machine(&words, Duration::from_secs(seconds)))
    }

    fn outcome(script: &str) -> Result<Outcome, Failure> {
        outcome_within(60, script)
    }

    #[test]
    fn a_driver_that_skips_does_not_pass() {
        let skipped = |reason: &str| Ok(Outcome::Skipped(reason.to_owned()));
        assert_eq!(outcome("echo; echo 'skipped: no qemu'"), skipped("no qemu"));
        assert_eq!(outcome("echo begun; echo 'skipped: no ptrace' >&2; exit 77"), skipped("no ptrace"));
        assert_eq!(outcome("exit 77"), skipped("it ended with 77"));
        let part = Ok(Outcome::Passed(vec!["no zsh".to_owned()]));
        assert_eq!(outcome("echo '3 passed'; echo 'skipped: no zsh'"), part);
        assert_eq!(outcome("true"), Ok(Outcome::Passed(Vec::new())));
    }

    #[test]
    fn a_driver_that_fails_or_hangs_shows_its_last_lines() {
        let failure = outcome("seq 100; echo 'skipped: x'; exit 3").unwrap_err();
        assert!(failure.contains("exit status: 3") && failure.contains("\n  100\n"), "{failure}");
        assert!(!failure.contains("\n  7\n"), "{failure}");
        let hung = outcome_within(4, "echo started; sleep 60").unwrap_err();
        assert!(hung.starts_with("it timed out\n  started"), "{hung}");
    }
}
