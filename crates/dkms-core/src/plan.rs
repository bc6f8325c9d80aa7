//! From a request and the state of the tree to an order of work. Pure: it can be shown and tested without a kernel.

use crate::ids::PackageId;
use dkms_conf::kernel_match::compare_versions;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What planning an autoinstall needs to know of one package: its newest version.
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
}

/// One package version to be built (unless it is) and installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which.
    pub package: PackageId,
    /// Tasks that come before it, by position.
    pub after: Vec<usize>,
}

/// An autoinstall for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoinstallPlan {
    /// In an order in which every task comes after those it needs.
    pub tasks: Vec<Task>,
    /// Already installed.
    pub present: Vec<PackageId>,
    /// They need packages that dkms does not know: not a failure, they may still come.
    pub deferred: Vec<(PackageId, Vec<String>)>,
    /// They need packages that dkms knows and that will not be installed, or each other.
    pub blocked: Vec<(PackageId, Vec<String>)>,
}

/// The newest version of every package, by dkms's order of versions; input in any order.
pub fn newest(packages: &[PackageId]) -> Vec<PackageId> {
    let mut best: BTreeMap<&str, &PackageId> = BTreeMap::new();
    for p in packages {
        best.entry(&p.name)
            .and_modify(|b| {
                if compare_versions(&p.version, &b.version) == Ordering::Greater {
                    *b = p;
                }
            })
            .or_insert(p);
    }
    best.into_values().cloned().collect()
}

/// Orders an autoinstall. `known` are the names of all packages in the tree.
pub fn autoinstall(candidates: &[Candidate], known: &[String]) -> AutoinstallPlan {
    let mut plan = AutoinstallPlan::default();
    let mut there: Vec<&str> = Vec::new();
    let mut open: Vec<&Candidate> = Vec::new();
    for c in candidates {
        if c.installed {
            plan.present.push(c.package.clone());
        }
        if c.installed || c.some_version_installed {
            there.push(&c.package.name);
        }
        if !c.installed && c.autoinstall {
            open.push(c);
        }
    }
    let mut position: BTreeMap<&str, usize> = BTreeMap::new();
    loop {
        let mut rest = Vec::new();
        let count = plan.tasks.len();
        for c in open {
            // What will be installed anew comes first, even when an older version of it is there.
            let needs = |d: &String| position.get(d.as_str()).copied();
            let waiting = |d: &&String| {
                needs(d).is_none() && (rest_or_open(candidates, &position, d) || !there.contains(&d.as_str()))
            };
            if c.depends.iter().any(|d| waiting(&d)) {
                rest.push(c);
                continue;
            }
            let after = c.depends.iter().filter_map(needs).collect();
            position.insert(&c.package.name, plan.tasks.len());
            plan.tasks.push(Task { package: c.package.clone(), after });
        }
        open = rest;
        if plan.tasks.len() == count {
            break;
        }
    }
    // What cannot be ordered: because of something unknown, directly or through others, or for good.
    let mut unknown: Vec<&str> = Vec::new();
    loop {
        let before = unknown.len();
        for c in &open {
            let name = c.package.name.as_str();
            let lacks = |d: &String| !known.contains(d) || unknown.contains(&d.as_str());
            if !unknown.contains(&name) && c.depends.iter().any(lacks) {
                unknown.push(name);
            }
        }
        if unknown.len() == before {
            break;
        }
    }
    for c in open {
        let missing: Vec<String> = c
            .depends
            .iter()
            .filter(|d| !there.contains(&d.as_str()) && !position.contains_key(d.as_str()))
            .cloned()
            .collect();
        let entry = (c.package.clone(), missing);
        if unknown.contains(&c.package.name.as_str()) {
            plan.deferred.push(entry)
        } else {
            plan.blocked.push(entry)
        }
    }
    plan
}

/// Whether a dependency is itself still to be ordered.
fn rest_or_open(candidates: &[Candidate], position: &BTreeMap<&str, usize>, name: &str) -> bool {
    candidates
        .iter()
        .any(|c| c.package.name == name && !c.installed && c.autoinstall && !position.contains_key(name))
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
        }
    }

    fn run(candidates: &[Candidate]) -> AutoinstallPlan {
        let known: Vec<String> = candidates.iter().map(|c| c.package.name.clone()).collect();
        autoinstall(candidates, &known)
    }

    fn names(plan: &AutoinstallPlan) -> Vec<&str> {
        plan.tasks.iter().map(|t| t.package.name.as_str()).collect()
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
        assert_eq!(plan.tasks.last().map(|t| t.after.clone()), Some(vec![1]));
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
