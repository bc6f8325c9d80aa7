//! Selects the packages of an autoinstall, and determines their order.

use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::PackageId;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The facts about a package that planning an autoinstall needs.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The newest version.
    pub package: PackageId,
    /// Whether this version is installed, or weakly linked, for the kernel.
    pub installed: bool,
    /// Whether any version of the package is installed for the kernel.
    pub some_version_installed: bool,
    /// AUTOINSTALL=yes
    pub autoinstall: bool,
    /// BUILD_DEPENDS
    pub depends: Vec<String>,
    /// BUILD_EXCLUSIVE does not allow it for the kernel. It is skipped, even if its dependencies are missing.
    pub excluded: bool,
}

impl Candidate {
    /// The names of the packages that have to be installed first.
    fn needs(&self) -> &[String] {
        if self.excluded { &[] } else { &self.depends }
    }
}

/// A package version to install, and to build first if it is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The package version.
    pub package: PackageId,
    /// The package versions that are installed before it.
    pub after: Vec<PackageId>,
}

/// The order of an autoinstall for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The packages to install. Each package comes after those that it depends on.
    pub installs: Vec<Install>,
    /// The packages that are already installed.
    pub present: Vec<PackageId>,
    /// The packages that depend on packages that are not in the tree, with the names of those. This is not a
    /// failure, because they may be added later.
    pub deferred: Vec<(PackageId, Vec<String>)>,
    /// The packages that depend on packages that will not be installed, with the names of those, or on each
    /// other.
    pub blocked: Vec<(PackageId, Vec<String>)>,
}

/// Returns the newest version of every package, sorted by name. The packages may be in any order.
pub fn newest(packages: &[PackageId]) -> Vec<PackageId> {
    let mut newest: BTreeMap<&str, &PackageId> = BTreeMap::new();
    for package in packages {
        let best = newest.entry(&package.name).or_insert(package);
        if compare_versions(&package.version, &best.version) == Ordering::Greater {
            *best = package;
        }
    }
    newest.into_values().cloned().collect()
}

/// Determines the order of an autoinstall. `known` are the names of all packages in the tree.
pub fn autoinstall(candidates: &[Candidate], known: &[String]) -> Order {
    let installed = candidates.iter().filter(|candidate| candidate.installed);
    let present = installed.map(|candidate| candidate.package.clone()).collect();
    let mut order = Order { present, ..Order::default() };
    // The names of the packages of which a version is installed.
    let available =
        candidates.iter().filter(|candidate| candidate.installed || candidate.some_version_installed);
    let available: Vec<&str> = available.map(|candidate| candidate.package.name.as_str()).collect();
    // The packages that are not ordered yet.
    let mut open: Vec<&Candidate> =
        candidates.iter().filter(|candidate| !candidate.installed && candidate.autoinstall).collect();
    let mut ordered: BTreeMap<&str, &PackageId> = BTreeMap::new();
    loop {
        let mut rest: Vec<&Candidate> = Vec::new();
        let count = order.installs.len();
        for candidate in open {
            // A dependency that will be installed comes first, even if an older version of it is installed.
            // An excluded version is never installed, but an installed older version satisfies the
            // dependency.
            let stays_older = |name: &str| {
                available.contains(&name) && candidates.iter().any(|o| o.excluded && o.package.name == name)
            };
            let predecessor =
                |name: &String| ordered.get(name.as_str()).copied().filter(|_| !stays_older(name));
            let is_missing = |name: &String| {
                predecessor(name).is_none()
                    && (is_open(candidates, &ordered, name) || !available.contains(&name.as_str()))
            };
            if candidate.needs().iter().any(is_missing) {
                rest.push(candidate);
                continue;
            }
            let after = candidate.needs().iter().filter_map(predecessor).cloned().collect();
            ordered.insert(&candidate.package.name, &candidate.package);
            order.installs.push(Install { package: candidate.package.clone(), after });
        }
        open = rest;
        if order.installs.len() == count {
            break;
        }
    }
    let unknown = with_unknown_dependency(&open, known);
    for candidate in open {
        let missing: Vec<String> = candidate
            .depends
            .iter()
            .filter(|d| !available.contains(&d.as_str()) && !ordered.contains_key(d.as_str()))
            .cloned()
            .collect();
        let entry = (candidate.package.clone(), missing);
        if unknown.contains(&candidate.package.name.as_str()) {
            order.deferred.push(entry)
        } else {
            order.blocked.push(entry)
        }
    }
    order
}

/// Returns the names of the packages that depend on an unknown package, directly or indirectly.
fn with_unknown_dependency<'a>(open: &[&'a Candidate], known: &[String]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    loop {
        let before = names.len();
        for candidate in open {
            let name = candidate.package.name.as_str();
            let lacks = |needed: &String| !known.contains(needed) || names.contains(&needed.as_str());
            if !names.contains(&name) && candidate.depends.iter().any(lacks) {
                names.push(name);
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

/// Returns whether a dependency is to be installed and is not ordered yet.
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
        plan.installs.iter().map(|t| t.package.name.as_str()).collect()
    }

    #[test]
    fn newest_version_in_the_order_of_dkms() {
        let all = [id("a", "1.9"), id("a", "1.10"), id("b", "2"), id("a", "1.2")];
        assert_eq!(newest(&all), [id("a", "1.10"), id("b", "2")]);
    }

    #[test]
    fn dependencies_come_first() {
        let plan = run(&[candidate("a", &["c"]), candidate("b", &[]), candidate("c", &["b"])]);
        assert_eq!(names(&plan), ["b", "c", "a"]);
        assert_eq!(plan.installs.last().map(|t| t.after.clone()), Some(vec![id("c", "1")]));
    }

    #[test]
    fn cycles_and_packages_without_autoinstall_block_dependents() {
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
    fn unknown_dependencies_defer_direct_and_indirect_dependents() {
        let plan = run(&[candidate("a", &["ghost"]), candidate("b", &["a"]), candidate("c", &[])]);
        assert_eq!(names(&plan), ["c"]);
        assert_eq!(plan.deferred.iter().map(|d| d.0.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(plan.blocked.is_empty());
    }

    #[test]
    fn excluded_packages_do_not_wait_and_block_only_their_dependents() {
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
            plan.installs.iter().map(|w| w.after.clone()).collect::<Vec<_>>(),
            [vec![], vec![], vec![], vec![id("c", "1")]]
        );
        // An installed older version satisfies dependents, even if the newest version is excluded.
        let older = Candidate { some_version_installed: true, ..excluded("o", &[]) };
        let plan = run(&[older, candidate("d", &["o"])]);
        assert_eq!(plan.installs.iter().map(|w| w.after.len()).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn installed_packages_satisfy_dependencies() {
        let mut there = candidate("t", &[]);
        there.installed = true;
        let mut older = candidate("o", &[]);
        (older.autoinstall, older.some_version_installed) = (false, true);
        let plan = run(&[candidate("a", &["t", "o"]), there, older]);
        assert_eq!(names(&plan), ["a"]);
        assert_eq!(plan.present, [id("t", "1")]);
    }
}
