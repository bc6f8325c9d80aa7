//! Explains a cache miss: finds the most similar entry of the same package, and the inputs that differ.

use super::{Cache, Filter, Listed, Record, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// An input of a build that differs from the input of a cached build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the input.
    pub name: String,
    /// The value of the cached build; `None` if it does not have this input.
    pub cached: Option<String>,
    /// The value of the build that was not found; `None` if it does not have this input.
    pub current: Option<String>,
}

/// The entry with the fewest differences.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// The record of the entry.
    pub record: Record,
    /// The inputs that differ; empty if this is the build itself.
    pub differences: Vec<Difference>,
}

impl Cache {
    /// Finds the entry of a package whose inputs are most similar to these lines. If there are several,
    /// returns the most recently used.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn nearest(&self, package: &str, lines: &[String]) -> Result<Option<Nearest>, StoreError> {
        let filter = Filter { package: Some(package.to_owned()), ..Filter::default() };
        let records = self.entries(&filter)?.into_iter().filter_map(|listed: Listed| listed.record.ok());
        let all = records.map(|record| Nearest { differences: differences(&record.lines, lines), record });
        Ok(all.min_by_key(|nearest| nearest.differences.len()))
    }
}

/// Compares two lists of lines `name=value`. Returns the lines that are not in both, sorted by name.
fn differences(cached: &[String], current: &[String]) -> Vec<Difference> {
    let by_name = |lines: &'_ [String]| -> BTreeMap<String, String> {
        let pairs = lines.iter().map(|line| split(line));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (cached, current) = (by_name(cached), by_name(current));
    let names: BTreeSet<&String> = cached.keys().chain(current.keys()).collect();
    let compare = |name: &String| Difference {
        name: name.clone(),
        cached: cached.get(name).cloned(),
        current: current.get(name).cloned(),
    };
    names.into_iter().map(compare).filter(|input| input.cached != input.current).collect()
}

/// Returns the name and value of a line. Names such as `env=ARCH` contain an equals sign.
fn split(line: &str) -> (&str, &str) {
    let prefixes = ["depends=", "env=", "script=", "tool="];
    let start = prefixes.iter().find(|prefix| line.starts_with(*prefix)).map_or(0, |prefix| prefix.len());
    match line.get(start..).and_then(|rest| rest.find('=')) {
        Some(at) => (line.get(..start + at).unwrap_or(line), line.get(start + at + 1..).unwrap_or("")),
        None => (line, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_a_separate_input() {
        let lines =
            |arch: &str, v: &str| vec![format!("env=ARCH={arch}"), format!("env=V={v}"), "x=1=2".into()];
        let found = differences(&lines("x86", "0"), &lines("arm", "0"));
        let expected =
            Difference { name: "env=ARCH".into(), cached: Some("x86".into()), current: Some("arm".into()) };
        assert_eq!(found, [expected]);
        assert_eq!(split("x=1=2"), ("x", "1=2"));
    }
}
