//! Groups the problems of a fleet: a group is the same cause, package and kernel on many machines.

use super::super::data::{Problem, Severity};
use super::super::words::short;
use super::document::Machine;
use std::collections::BTreeMap;

/// The most groups. Problems of further groups are only counted.
const GROUPS: usize = 1_000;

/// The most machines of a group that are named. Further ones are only counted.
const NAMES: usize = 200;

/// What the problems of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Sorted first, because `Ord` compares it first.
    pub severity: Severity,
    pub cause: String,
    pub package: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
}

/// The machines of a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The description of the problem on the first machine, then its help or the error of the compiler.
    pub texts: Vec<String>,
    /// The commands that fix it on the first machine.
    pub fix: Vec<String>,
    /// The number of machines.
    pub machines: usize,
    /// The numbers and names of the first machines.
    pub names: Vec<(usize, String)>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Causes {
    groups: BTreeMap<Key, Group>,
    /// The number of problems that are in no group.
    pub others: usize,
}

impl Causes {
    /// Adds the problems of the machine with this number on the page.
    pub(super) fn add(&mut self, machine: &Machine, number: usize) {
        for problem in &machine.problems {
            let key = Key::new(problem);
            let is_full = self.groups.len() >= GROUPS && !self.groups.contains_key(&key);
            if is_full {
                self.others += 1;
                continue;
            }
            let group = self.groups.entry(key).or_default();
            if group.machines == 0 {
                let help = problem.help.iter().take(2).map(|text| short(text, 300));
                group.texts = std::iter::once(short(&problem.what, 400)).chain(help).collect();
                group.fix = problem.fix.iter().take(8).map(|command| short(command, 200)).collect();
            } else if group.names.last().is_some_and(|(last, _)| *last == number) {
                // Another module of the package has the same problem.
                continue;
            }
            group.machines += 1;
            if group.names.len() < NAMES {
                group.names.push((number, short(&machine.host, 80)));
            }
        }
    }

    /// The groups, sorted by severity, then by the number of machines, largest first.
    pub(super) fn sorted(&self) -> Vec<(&Key, &Group)> {
        let mut all: Vec<_> = self.groups.iter().collect();
        all.sort_by_key(|(key, group)| (key.severity, std::cmp::Reverse(group.machines)));
        all
    }
}

impl Key {
    fn new(problem: &Problem) -> Self {
        let word = |text: &Option<String>| text.as_ref().map(|text| short(text, 80));
        Self {
            severity: problem.severity,
            cause: short(&problem.cause, 40),
            package: word(&problem.package),
            version: word(&problem.version),
            kernel: word(&problem.kernel),
        }
    }
}
