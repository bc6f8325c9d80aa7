//! Selects and orders the packages of an autoinstall.

use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::PackageId;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The facts about a package that planning an autoinstall needs.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The newest version.
    pub package: PackageId,
    /// That version is installed, or weakly linked, for the kernel.
    pub installed: bool,
    /// Some version of the package is installed for the kernel.
    pub some_version_installed: bool,
    /// AUTOINSTALL=yes
    pub autoinstall: bool,
    /// BUILD_DEPENDS
    pub depends: Vec<String>,
    /// BUILD_EXCLUSIVE does not allow it for the kernel: it is skipped, whether or not its dependencies are
    /// installed.
    pub excluded: bool,
}

impl Candidate {
    /// The dependencies that have to be installed first.
    fn needs(&self) -> &[String] {
        if self.excluded { &[] } else { &self.depends }
    }
}

/// A package version to install, and to build first if it is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The package version.
    pub package: PackageId,
    /// The package versions that it follows.
    pub after: Vec<PackageId>,
}

/// The order of an autoinstall for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The packages to install, each after those on which it depends.
    pub wanted: Vec<Wanted>,
    /// Already installed.
    pub present: Vec<PackageId>,
    /// They depend on packages that are not in the tree. This is not a failure, because these packages may be
    /// added later.
    pub deferred: Vec<(PackageId, Vec<String>)>,
    /// They depend on packages in the tree that will not be installed, or on each other.
    pub blocked: Vec<(PackageId, Vec<String>)>,
}

/// The newest version of every package, in dkms's order of versions; the input may have any order.
pub fn newest(packages: &[PackageId]) -> Vec<PackageId> {
    let mut best: BTreeMap<&str, &PackageId> = BTreeMap::new();
    for package in packages {
        best.entry(&package.name)
            .and_modify(|b| {
                if compare_versions(&package.version, &b.version) == Ordering::Greater {
                    *b = package;
                }
            })
            .or_insert(package);
    }
    best.into_values().cloned().collect()
}

/// Orders an autoinstall. `known` are the names of all packages in the tree.
pub fn autoinstall(candidates: &[Candidate], known: &[String]) -> Order {
    let mut plan = Order::default();
    let mut available: Vec<&str> = Vec::new();
    let mut open: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        if candidate.installed {
            plan.present.push(candidate.package.clone());
        }
        if candidate.installed || candidate.some_version_installed {
            available.push(&candidate.package.name);
        }
        if !candidate.installed && candidate.autoinstall {
            open.push(candidate);
        }
    }
    let mut ordered: BTreeMap<&str, &PackageId> = BTreeMap::new();
    loop {
        let mut rest: Vec<&Candidate> = Vec::new();
        let count = plan.wanted.len();
        for candidate in open {
            // A package that is about to be installed comes first, even if an older version of it is
            // installed. An excluded version is never installed, but an installed older version satisfies the
            // dependency.
            let replaced = |d: &str| {
                available.contains(&d) && candidates.iter().any(|o| o.excluded && o.package.name == d)
            };
            let needs = |d: &String| ordered.get(d.as_str()).copied().filter(|_| !replaced(d));
            let waiting = |d: &&String| {
                needs(d).is_none() && (is_open(candidates, &ordered, d) || !available.contains(&d.as_str()))
            };
            if candidate.needs().iter().any(|d| waiting(&d)) {
                rest.push(candidate);
                continue;
            }
            let after = candidate.needs().iter().filter_map(needs).cloned().collect();
            ordered.insert(&candidate.package.name, &candidate.package);
            plan.wanted.push(Wanted { package: candidate.package.clone(), after });
        }
        open = rest;
        if plan.wanted.len() == count {
            break;
        }
    }
    let unknown = lacking_unknown(&open, known);
    for candidate in open {
        let missing: Vec<String> = candidate
            .depends
            .iter()
            .filter(|d| !available.contains(&d.as_str()) && !ordered.contains_key(d.as_str()))
            .cloned()
            .collect();
        let entry = (candidate.package.clone(), missing);
        if unknown.contains(&candidate.package.name.as_str()) {
            plan.deferred.push(entry)
        } else {
            plan.blocked.push(entry)
        }
    }
    plan
}

/// The packages that need a package which is unknown, directly or indirectly.
fn lacking_unknown<'a>(open: &[&'a Candidate], known: &[String]) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    loop {
        let before = found.len();
        for candidate in open {
            let name = candidate.package.name.as_str();
            let lacks = |needed: &String| !known.contains(needed) || found.contains(&needed.as_str());
            if !found.contains(&name) && candidate.depends.iter().any(lacks) {
                found.push(name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Returns whether a dependency still has to be ordered.
fn is_open(candidates: &[Candidate], ordered: &BTreeMap<&str, &PackageId>, name: &str) -> bool {
    candidates
        .iter()
        .any(|c| c.package.name == name && !c.installed && c.autoinstall && !ordered.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> PackageId {
        PackageId { name: name.into(), version: version.into() }
    }

    fn candidate(name: &str, depends: &[&str]) -> Candidate {
        Candidate {
            package: id(name, "1"),
            installed: false,
            some_version_installed: false,
            autoinstall: true,
            depends: depends.iter().map(|d| (*d).to_owned()).collect(),
            excluded: false,
        }
    }

    fn run(candidates: &[Candidate]) -> Order {
        let known: Vec<String> = candidates.iter().map(|c| c.package.name.clone()).collect();
        autoinstall(candidates, &known)
    }

    fn names(plan: &Order) -> Vec<&str> {
        plan.wanted.iter().map(|t| t.package.name.as_str()).collect()
    }

    #[test]
    fn newest_by_dkms_order() {
        let all = [id("a", "1.9"), id("a", "1.10"), id("b", "2"), id("a", "1.2")];
        assert_eq!(newest(&all), [id("a", "1.10"), id("b", "2")]);
    }

    #[test]
    fn dependencies_come_first() {
        let plan = run(&[candidate("a", &["c"]), candidate("b", &[]), candidate("c", &["b"])]);
        assert_eq!(names(&plan), ["b", "c", "a"]);
        assert_eq!(plan.wanted.last().map(|t| t.after.clone()), Some(vec![id("c", "1")]));
    }

    #[test]
    fn circles_and_refusals_block() {
        let mut never = candidate("n", &[]);
        never.autoinstall = false;
        let plan = run(&[
            candidate("a", &["b"]),
            candidate("b", &["a"]),
            candidate("c", &["n"]),
            never,
            candidate("d", &[]),
        ]);
        assert_eq!(names(&plan), ["d"]);
        assert_eq!(plan.blocked.iter().map(|b| b.0.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(plan.deferred.is_empty());
    }

    #[test]
    fn unknown_dependencies_defer_also_through_others() {
        let plan = run(&[candidate("a", &["ghost"]), candidate("b", &["a"]), candidate("c", &[])]);
        assert_eq!(names(&plan), ["c"]);
        assert_eq!(plan.deferred.iter().map(|d| d.0.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(plan.blocked.is_empty());
    }

    #[test]
    fn what_is_excluded_waits_for_nothing_and_blocks_only_what_needs_it() {
        let excluded =
            |name: &str, depends: &[&str]| Candidate { excluded: true, ..candidate(name, depends) };
        // Dependencies that have no effect: an unknown package, a package that is never installed, a cycle.
        let mut never = candidate("never", &[]);
        never.autoinstall = false;
        let plan = run(&[
            excluded("a", &["ghost"]),
            excluded("b", &["never"]),
            excluded("c", &["c2"]),
            candidate("c2", &["c"]),
            never,
        ]);
        assert_eq!(names(&plan), ["a", "b", "c", "c2"]);
        assert!(plan.deferred.is_empty() && plan.blocked.is_empty());
        assert_eq!(
            plan.wanted.iter().map(|w| w.after.clone()).collect::<Vec<_>>(),
            [vec![], vec![], vec![], vec![id("c", "1")]]
        );
        // An installed older version satisfies dependents, even if the newest version is excluded.
        let older = Candidate { some_version_installed: true, ..excluded("o", &[]) };
        let plan = run(&[older, candidate("d", &["o"])]);
        assert_eq!(plan.wanted.iter().map(|w| w.after.len()).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn installed_ones_satisfy_others() {
        let mut there = candidate("t", &[]);
        there.installed = true;
        let mut older = candidate("o", &[]);
        (older.autoinstall, older.some_version_installed) = (false, true);
        let plan = run(&[candidate("a", &["t", "o"]), there, older]);
        assert_eq!(names(&plan), ["a"]);
        assert_eq!(plan.present, [id("t", "1")]);
    }
}
