//! The ledger of differences between Debian's dkms and ours, and the comparison against it.

use crate::scenario::Seen;
use regex_lite::Regex;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

/// One line that one of the two showed and the other did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// After which step.
    pub step: String,
    /// `exit`, `status`, `tree` or `installed`.
    pub what: &'static str,
    /// `- LINE` (Debian's only), `+ LINE` (ours only), or `- 0 + 3` for exit codes.
    pub line: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.step, self.what, self.line)
    }
}

/// A line of `differences.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Scenario, or `*`.
    scenario: String,
    /// Step, or `*`.
    step: String,
    /// What, or `*`.
    what: String,
    /// A regular expression the deviation's line must match; all lines without it.
    lines: Option<String>,
    /// Why it is so.
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Entry>,
}

/// The ledger cannot be read.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// It is not TOML of the expected shape.
    #[error("differences.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// A pattern or a reason is wrong.
    #[error("differences.toml, entry {number} ({scenario}/{step}): {what}")]
    Entry {
        /// Counted from 1.
        number: usize,
        /// The entry's scenario.
        scenario: String,
        /// The entry's step.
        step: String,
        /// What is wrong.
        what: String,
    },
}

/// The ledger, and which of its entries were needed so far.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<(Entry, Option<Regex>)>,
    used: Mutex<BTreeSet<usize>>,
}

impl Ledger {
    /// Read the text of `differences.toml`.
    ///
    /// # Errors
    /// When it is malformed, a pattern is invalid or a reason is missing.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let file: File = toml::from_str(text)?;
        let entries = file.difference.into_iter().enumerate().map(|(index, entry)| {
            let error = |what: String| LedgerError::Entry {
                number: index + 1,
                scenario: entry.scenario.clone(),
                step: entry.step.clone(),
                what,
            };
            if entry.reason.trim().len() < 10 {
                return Err(error("the reason is missing".to_owned()));
            }
            let pattern =
                entry.lines.as_deref().map(Regex::new).transpose().map_err(|e| error(e.to_string()))?;
            Ok((entry, pattern))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, used: Mutex::default() })
    }

    /// The deviations that no entry explains; the entries that explain one are marked as used.
    pub fn unexplained<'a>(&self, scenario: &str, deviations: &'a [Deviation]) -> Vec<&'a Deviation> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = Vec::new();
        for deviation in deviations {
            let mut known = false;
            for (index, (entry, pattern)) in self.entries.iter().enumerate() {
                let fits = |want: &str, have: &str| want == "*" || want == have;
                if fits(&entry.scenario, scenario)
                    && fits(&entry.step, &deviation.step)
                    && fits(&entry.what, deviation.what)
                    && pattern.as_ref().is_none_or(|p| p.is_match(&deviation.line))
                {
                    used.insert(index);
                    known = true;
                }
            }
            if !known {
                left.push(deviation);
            }
        }
        left
    }

    /// The entries of one scenario, or those of `*`, that explained nothing so far. Once the scenario passed,
    /// or all of them did, they are out of date.
    #[must_use]
    pub fn unused(&self, scenario: &str) -> Vec<String> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = self.entries.iter().enumerate();
        let unused =
            entries.filter(|(index, (entry, _))| entry.scenario == scenario && !used.contains(index));
        unused.map(|(_, (entry, _))| entry.to_string()).collect()
    }

    /// An entry for a scenario that is not among these, if there is one.
    #[must_use]
    pub fn without_scenario(&self, names: &[String]) -> Option<String> {
        let known = |entry: &Entry| entry.scenario == "*" || names.contains(&entry.scenario);
        self.entries.iter().map(|(entry, _)| entry).find(|entry| !known(entry)).map(Entry::to_string)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.as_deref().unwrap_or("any line");
        write!(f, "{}/{} [{}] {lines}: {}", self.scenario, self.step, self.what, self.reason)
    }
}

/// Compares what was seen after the steps that both did. What differed after the step before already is not
/// reported again: one cause is one deviation.
#[must_use]
pub fn compare(debian: &[Seen], ours: &[Seen]) -> Vec<Deviation> {
    let mut found = Vec::new();
    let mut before: BTreeSet<(&'static str, String)> = BTreeSet::new();
    for theirs in debian {
        let Some(mine) = ours.iter().find(|seen| seen.step == theirs.step) else { continue };
        let step = &theirs.step;
        if theirs.exit != mine.exit {
            let line = format!("- {} + {}", theirs.exit, mine.exit);
            found.push(Deviation { step: step.clone(), what: "exit", line });
        }
        let mut now = BTreeSet::new();
        for (what, theirs, mine) in [
            ("status", &theirs.status, &mine.status),
            ("tree", &theirs.tree, &mine.tree),
            ("installed", &theirs.installed, &mine.installed),
        ] {
            now.extend(line_differences(theirs, mine).into_iter().map(|line| (what, line)));
        }
        let new = now.difference(&before);
        found.extend(new.map(|(what, line)| Deviation { step: step.clone(), what, line: line.clone() }));
        before = now;
    }
    found
}

/// `- line` for what only the first has, `+ line` for what only the second has, as multisets.
fn line_differences(first: &[String], second: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, isize> = BTreeMap::new();
    for line in first {
        *counts.entry(line).or_default() -= 1;
    }
    for line in second {
        *counts.entry(line).or_default() += 1;
    }
    let sign = |count: isize| if count < 0 { '-' } else { '+' };
    counts.into_iter().filter(|(_, n)| *n != 0).map(|(line, n)| format!("{} {line}", sign(n))).collect()
}

/// The exit codes that are not those the scenario demands, as sentences with what the step said.
#[must_use]
pub fn wrong_exits<'a>(steps: impl Iterator<Item = &'a crate::scenario::Step>, seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    for step in steps {
        let (Some(want), Some(seen)) = (step.exit, seen.iter().find(|s| s.step == step.name)) else {
            continue;
        };
        if seen.exit != want {
            let mut text = format!("{}: exit {} instead of {want}", step.name, seen.exit);
            for (name, said) in [("stdout", &seen.stdout), ("stderr", &seen.stderr)] {
                let tail: Vec<_> = said.lines().rev().take(12).collect();
                for line in tail.iter().rev() {
                    let _ = write!(text, "\n      {name}: {line}");
                }
            }
            wrong.push(text);
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(step: &str, exit: i32, status: &[&str]) -> Seen {
        Seen {
            step: step.to_owned(),
            exit,
            status: status.iter().map(|s| (*s).to_owned()).collect(),
            ..Seen::nothing()
        }
    }

    #[test]
    fn finds_and_explains_differences() {
        // The difference of step a still exists in a2, and is reported once.
        let debian = [seen("a", 0, &["x: added"]), seen("a2", 0, &["x: added", "y"]), seen("b", 1, &[])];
        let ours = [
            seen("a", 0, &["x: broken"]),
            seen("a2", 0, &["x: broken"]),
            seen("new", 0, &[]),
            seen("b", 3, &[]),
        ];
        let found = compare(&debian, &ours);
        assert_eq!(found.len(), 4);
        let ledger = Ledger::parse(
            "[[difference]]\nscenario='s'\nstep='*'\nwhat='status'\nlines='x: '\nreason='clearer words'\n
             [[difference]]\nscenario='*'\nstep='c'\nwhat='exit'\nreason='never happens'\n",
        )
        .unwrap();
        let left = ledger.unexplained("s", &found);
        assert_eq!(
            left.iter().map(|d| d.to_string()).collect::<Vec<_>>(),
            ["a2 [status] - y", "b [exit] - 1 + 3"]
        );
        assert_eq!(ledger.unused("s"), Vec::<String>::new());
        assert_eq!(ledger.unused("*").len(), 1);
        assert_eq!(ledger.without_scenario(&["s".to_owned()]), None);
        assert!(ledger.without_scenario(&[]).is_some_and(|entry| entry.starts_with("s/*")));
    }

    #[test]
    fn rejects_a_bad_ledger() {
        let entry = "[[difference]]\nscenario='s'\nstep='*'\nwhat='status'\n";
        for bad in [
            format!("{entry}reason=''"),
            format!("{entry}lines='('\nreason='a good reason'"),
            entry.to_owned(),
        ] {
            assert!(Ledger::parse(&bad).is_err(), "{bad}");
        }
    }
}
