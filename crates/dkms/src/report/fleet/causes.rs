//! The problems of a fleet, grouped: the same cause, package and kernel are one problem of many machines.

use super::super::data::Severity;
use super::super::words::short;
use super::document::{Machine, Problem};
use std::collections::BTreeMap;

/// More groups are counted together.
const GROUPS: usize = 1_000;

/// More machines of a group are only counted.
const NAMES: usize = 200;

/// What the problems of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The most important first.
    pub severity: Severity,
    pub cause: String,
    pub package: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
}

/// The machines of a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The text of the first of them, and what to do about it, or the error of the compiler.
    pub texts: Vec<String>,
    /// Its commands.
    pub fix: Vec<String>,
    /// The number of machines.
    pub machines: usize,
    /// Number and name of the first machines.
    pub names: Vec<(usize, String)>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Causes {
    groups: BTreeMap<Key, Group>,
    /// Problems that are in no group.
    pub others: usize,
}

impl Causes {
    /// Counts the problems of a machine, which has this number on the page.
    pub(super) fn add(&mut self, machine: &Machine, number: usize) {
        for problem in &machine.problems {
            let key = Key::of(problem);
            let full = self.groups.len() >= GROUPS && !self.groups.contains_key(&key);
            if full {
                self.others += 1;
                continue;
            }
            let group = self.groups.entry(key).or_default();
            if group.machines == 0 {
                let help = problem.help.iter().take(2).map(|text| short(text, 300));
                group.texts = std::iter::once(short(&problem.what, 400)).chain(help).collect();
                group.fix = problem.fix.iter().take(8).map(|command| short(command, 200)).collect();
            } else if group.names.last().is_some_and(|(last, _)| *last == number) {
                // The same, of another module of the package.
                continue;
            }
            group.machines += 1;
            if group.names.len() < NAMES {
                group.names.push((number, short(&machine.host, 80)));
            }
        }
    }

    /// The groups: errors first, those of most machines first.
    pub(super) fn sorted(&self) -> Vec<(&Key, &Group)> {
        let mut all: Vec<_> = self.groups.iter().collect();
        all.sort_by_key(|(key, group)| (key.severity, std::cmp::Reverse(group.machines)));
        all
    }
}

impl Key {
    fn of(problem: &Problem) -> Self {
        let word = |text: &Option<String>| text.as_ref().map(|text| short(text, 80));
        Self {
            severity: Severity::from_word(&problem.severity),
            cause: short(&problem.cause, 40),
            package: word(&problem.package),
            version: word(&problem.version),
            kernel: word(&problem.kernel),
        }
    }
}
