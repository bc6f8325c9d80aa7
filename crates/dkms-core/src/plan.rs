//! What a command is going to do. Pure: it can be shown (`--dry-run`) and tested without a kernel; who looks at the tree
//! to make a plan is `gather.rs`, who carries it out `schedule.rs` and `remove.rs`.

use crate::ids::{Build, Kernel, PackageId};
use dkms_conf::kernel_match::compare_versions;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One build that is made, installed, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Which.
    pub build: Build,
    /// Why it is to be made; `None`: it is there.
    pub make: Option<String>,
    /// An earlier build gives way.
    pub replace: bool,
    /// Why it is to be installed; `None`: it is only made.
    pub install: Option<String>,
    /// It is installed already, and is taken out first.
    pub reinstall: bool,
    /// Tasks, by position, that have to be done before it is made.
    pub after: Vec<usize>,
    /// Its failure is told, and no failure of the command.
    pub optional: bool,
    /// How long it took the last time.
    pub expected: Option<Duration>,
    /// How much work it seems to be, in seconds; only for the order.
    pub weight: f64,
}

impl Task {
    /// A build that has to be made, and installed if there is a reason for it.
    pub fn new(build: Build, make: Option<&str>, install: Option<&str>) -> Self {
        Self {
            build,
            make: make.map(str::to_owned),
            replace: false,
            install: install.map(str::to_owned),
            reinstall: false,
            after: Vec::new(),
            optional: false,
            expected: None,
            weight: 0.0,
        }
    }
}

/// Builds to make and to install.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Every task comes after those it needs.
    pub tasks: Vec<Task>,
    /// What is installed together, as one transaction: positions of tasks.
    pub groups: Vec<Vec<usize>>,
}

impl Work {
    /// Tasks that others wait for before they can be made: they are installed as soon as they are made.
    pub fn is_awaited(&self, n: usize) -> bool {
        self.tasks.iter().any(|t| t.make.is_some() && t.after.contains(&n))
    }

    /// For each task how long it takes until everything that waits for it is made, in seconds: who has the longest way
    /// begins first.
    pub fn ways(&self) -> Vec<f64> {
        let mut ways: Vec<f64> =
            self.tasks.iter().map(|t| if t.make.is_some() { t.weight } else { 0.0 }).collect();
        // Those behind come later in the list.
        for n in (0..self.tasks.len()).rev() {
            let (own, after) = (ways.get(n).copied().unwrap_or(0.0), self.tasks.get(n).map(|t| &t.after));
            for before in after.into_iter().flatten() {
                let weight = self.tasks.get(*before).map_or(0.0, |t| t.weight);
                if let Some(way) = ways.get_mut(*before) {
                    *way = way.max(weight + own);
                }
            }
        }
        ways
    }
}

/// One thing that a command would do, for people and programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What.
    pub what: What,
    /// Why, or why not.
    pub reason: String,
    /// Steps, by position, that come before it.
    pub after: Vec<usize>,
    /// How long it took the last time.
    pub expected: Option<Duration>,
    /// Files it puts into place, takes away, or moves, as far as that can be known before.
    pub files: Vec<PathBuf>,
}

impl Step {
    /// A step without particulars.
    pub fn new(what: What, reason: impl Into<String>) -> Self {
        Self { what, reason: reason.into(), after: Vec::new(), expected: None, files: Vec::new() }
    }
}

/// Kinds of steps.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum What {
    /// A source tree is copied to `/usr/src`.
    CopySource {
        package: PackageId,
        from: PathBuf,
        to: PathBuf,
    },
    /// A package version is registered.
    Add(PackageId),
    Build(Build),
    Install(Build),
    Uninstall(Build),
    /// What was built is deleted.
    Unbuild(Build),
    /// A package version leaves the tree.
    Remove(PackageId),
    Depmod(Kernel),
    /// `post_transaction` of framework.conf.
    PostTransaction(String),
    /// A signing key is made.
    MakeKey {
        key: String,
        certificate: PathBuf,
    },
    /// The modules of a build are signed anew.
    Resign(Build),
    /// The enrolment of a certificate is asked for.
    Enroll(PathBuf),
    /// An archive is written, or loaded.
    WriteArchive(PathBuf),
    LoadArchive(PathBuf),
    /// Left out on purpose.
    Skip(Build),
    /// Waits for something that is not there yet.
    Defer(Build),
    /// It is known already that it cannot be done.
    Fail(Build),
    /// There is nothing to do about this.
    Nothing(String),
}

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
    /// BUILD_EXCLUSIVE leaves it out for the kernel: it is skipped, whatever its dependencies come to.
    pub excluded: bool,
}

impl Candidate {
    /// The dependencies that have to come first.
    fn needs(&self) -> &[String] {
        if self.excluded { &[] } else { &self.depends }
    }
}

/// One package version to be built (unless it is) and installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub package: PackageId,
    /// Those that come before it, by position.
    pub after: Vec<usize>,
}

/// An autoinstall for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoinstallPlan {
    /// In an order in which everything comes after what it needs.
    pub wanted: Vec<Wanted>,
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
        let count = plan.wanted.len();
        for c in open {
            // What will be installed anew comes first, even when an older version of it is there.
            // An excluded version never comes, but an older one that is there will do.
            let replaced =
                |d: &str| there.contains(&d) && candidates.iter().any(|o| o.excluded && o.package.name == d);
            let needs = |d: &String| position.get(d.as_str()).copied().filter(|_| !replaced(d));
            let waiting = |d: &&String| {
                needs(d).is_none() && (rest_or_open(candidates, &position, d) || !there.contains(&d.as_str()))
            };
            if c.needs().iter().any(|d| waiting(&d)) {
                rest.push(c);
                continue;
            }
            let after = c.needs().iter().filter_map(needs).collect();
            position.insert(&c.package.name, plan.wanted.len());
            plan.wanted.push(Wanted { package: c.package.clone(), after });
        }
        open = rest;
        if plan.wanted.len() == count {
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
            excluded: false,
        }
    }

    fn run(candidates: &[Candidate]) -> AutoinstallPlan {
        let known: Vec<String> = candidates.iter().map(|c| c.package.name.clone()).collect();
        autoinstall(candidates, &known)
    }

    fn names(plan: &AutoinstallPlan) -> Vec<&str> {
        plan.wanted.iter().map(|t| t.package.name.as_str()).collect()
    }

    #[test]
    fn newest_by_dkms_order() {
        let all = [id("a", "1.9"), id("a", "1.10"), id("b", "2"), id("a", "1.2")];
        assert_eq!(newest(&all), [id("a", "1.10"), id("b", "2")]);
    }

    #[test]
    fn the_longest_way_begins() {
        let kernel = Kernel { release: "6.1".into(), arch: "x86_64".into() };
        let task = |name: &str, weight: f64, after: &[usize]| Task {
            weight,
            after: after.to_vec(),
            ..Task::new(Build::new(&id(name, "1"), &kernel), Some("new"), Some("new"))
        };
        // a, 2 s, before b, 5 s, before c, 1 s; d alone takes 7 s.
        let tasks =
            vec![task("a", 2.0, &[]), task("b", 5.0, &[0]), task("c", 1.0, &[1]), task("d", 7.0, &[])];
        let work = Work { tasks, groups: vec![vec![0, 1, 2, 3]] };
        assert_eq!(work.ways(), [8.0, 6.0, 1.0, 7.0]);
        assert_eq!([0, 1, 2, 3].map(|n| work.is_awaited(n)), [true, true, false, false]);
    }

    #[test]
    fn dependencies_come_first() {
        let plan = run(&[candidate("a", &["c"]), candidate("b", &[]), candidate("c", &["b"])]);
        assert_eq!(names(&plan), ["b", "c", "a"]);
        assert_eq!(plan.wanted.last().map(|t| t.after.clone()), Some(vec![1]));
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
        // Whatever it depends on: something unknown, something that never comes, itself in a circle.
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
            [vec![], vec![], vec![], vec![2]]
        );
        // An older version that is there satisfies others although the newest one is left out.
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
