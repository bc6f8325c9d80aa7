//! Explains a miss of the cache: finds the nearest entry of the same package, and the lines that differ.

use super::{Cache, Filter, Listed, Record, StoreError};
use std::collections::BTreeMap;

/// One input that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the line.
    pub name: String,
    /// The value in the cache; `None` if the entry has no such line.
    pub cached: Option<String>,
    /// The value now; `None` if it has no such line.
    pub wanted: Option<String>,
}

/// The entry that has the fewest differing lines.
#[derive(Clone, Debug)]
pub struct Nearest {
    /// The record of the entry.
    pub record: Record,
    /// The lines that differ; empty if this is the build itself.
    pub differences: Vec<Difference>,
}

impl Cache {
    /// Finds the entry of a package whose inputs are nearest to these lines. If several are equally near,
    /// returns the most recently used.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn nearest(&self, package: &str, lines: &[String]) -> Result<Option<Nearest>, StoreError> {
        let filter = Filter { package: Some(package.to_owned()), ..Filter::default() };
        let usable = |listed: Listed| listed.record.ok();
        let all = self.entries(&filter)?.into_iter().filter_map(usable);
        let all = all.map(|record| Nearest { differences: differences(&record.lines, lines), record });
        Ok(all.min_by_key(|nearest| nearest.differences.len()))
    }
}

/// The lines `name=value` that are not in both lists, by name.
fn differences(cached: &[String], wanted: &[String]) -> Vec<Difference> {
    let by_name = |lines: &[String]| -> BTreeMap<String, String> {
        lines.iter().map(|line| split(line)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    };
    let (cached, wanted) = (by_name(cached), by_name(wanted));
    let names = cached.keys().chain(wanted.keys().filter(|name| !cached.contains_key(*name)));
    let compare = |name: &String| Difference {
        name: name.clone(),
        cached: cached.get(name).cloned(),
        wanted: wanted.get(name).cloned(),
    };
    let mut found: Vec<_> = names.map(compare).filter(|d| d.cached != d.wanted).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Name and value of a line. Names such as `env=ARCH` have an equals sign themselves.
fn split(line: &str) -> (&str, &str) {
    let prefixes = ["depends=", "env=", "script=", "tool="];
    let start = prefixes.iter().find(|p| line.starts_with(*p)).map_or(0, |p| p.len());
    match line.get(start..).and_then(|rest| rest.find('=')) {
        Some(at) => (line.get(..start + at).unwrap_or(line), line.get(start + at + 1..).unwrap_or("")),
        None => (line, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_an_input_of_its_own() {
        let lines =
            |arch: &str, v: &str| vec![format!("env=ARCH={arch}"), format!("env=V={v}"), "x=1=2".into()];
        let found = differences(&lines("x86", "0"), &lines("arm", "0"));
        let expected =
            Difference { name: "env=ARCH".into(), cached: Some("x86".into()), wanted: Some("arm".into()) };
        assert_eq!(found, [expected]);
        assert_eq!(split("x=1=2"), ("x", "1=2"));
    }
}
