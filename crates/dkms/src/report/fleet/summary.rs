//! Summarises all machines, and writes their rows of the page while the documents are read.

use super::super::data::{BuildState, Severity};
use super::super::words::{self, short};
use super::causes::Causes;
use super::document::Machine;
use crate::render::numbers::count;
use dkms_core::time::utc;
use dkms_pages::{Html, Tone};
use std::collections::BTreeMap;

/// With this many bytes of rows, further machines are shown without their packages.
const WITH_PACKAGES: usize = 3 << 20;

/// With this many bytes of rows, further machines are only counted.
const ROWS: usize = 4 << 20;

/// The most kernels, packages and unreadable files that are listed.
const KERNELS: usize = 300;
const PACKAGES: usize = 1_000;
const UNREADABLE: usize = 1_000;

/// Documents that are older than this, in seconds, are marked as old.
const OLD: u64 = 3 * 86_400;

/// Everything that the page shows about the fleet.
#[derive(Default)]
pub(super) struct Summary {
    now: u64,
    pub machines: usize,
    pub ready: usize,
    pub not_ready: usize,
    pub old: usize,
    pub causes: Causes,
    pub kernels: BTreeMap<String, KernelCount>,
    /// By package and version, then by kernel.
    pub packages: BTreeMap<(String, String), BTreeMap<String, PackageCount>>,
    /// The rows of machines that are not ready, that may be ready, and that are ready.
    pub rows: [Html; 3],
    /// The number of machines without a row.
    pub without_row: usize,
    /// The number of machines whose row does not list the packages.
    pub without_packages: usize,
    /// The files that could not be read, with the reasons.
    pub unreadable: Vec<(String, String)>,
    pub unreadable_count: usize,
}

/// The numbers of machines that have a kernel.
#[derive(Debug, Default)]
pub(super) struct KernelCount {
    pub machines: usize,
    pub running: usize,
    pub ready: usize,
    pub not_ready: usize,
}

/// The numbers of machines that have a package for a kernel.
#[derive(Debug, Default)]
pub(super) struct PackageCount {
    pub machines: usize,
    pub installed: usize,
}

impl Summary {
    pub(super) fn new(now: u64) -> Self {
        Self { now, ..Self::default() }
    }

    /// Adds a file that could not be read.
    pub(super) fn add_unreadable(&mut self, file: &str, why: &str) {
        self.unreadable_count += 1;
        if self.unreadable.len() < UNREADABLE {
            self.unreadable.push((short(file, 100), short(why, 300)));
        }
    }

    /// Adds a machine.
    pub(super) fn add(&mut self, machine: &Machine, file: &str) {
        let number = self.machines;
        self.machines += 1;
        self.ready += usize::from(machine.ready() == "yes");
        self.not_ready += usize::from(machine.ready() == "no");
        self.old += usize::from(self.is_old(machine));
        self.causes.add(machine, number);
        self.count_kernels(machine);
        self.count_packages(machine);
        let size: usize = self.rows.iter().map(Html::len).sum();
        if size > ROWS {
            self.without_row += 1;
            return;
        }
        let with_packages = size <= WITH_PACKAGES;
        self.without_packages += usize::from(!with_packages);
        let mut row = Html::new();
        self.row(&mut row, machine, file, number, with_packages);
        // One machine with thousands of packages must not displace many others.
        if row.len() > ROWS / 64 {
            row = Html::new();
            self.without_packages += usize::from(with_packages);
            self.row(&mut row, machine, file, number, false);
        }
        let place = match machine.ready() {
            "no" => 0,
            "yes" => 2,
            _ => 1,
        };
        if let Some(rows) = self.rows.get_mut(place) {
            rows.append(&row);
        }
    }

    fn is_old(&self, machine: &Machine) -> bool {
        machine.generated > 0 && machine.generated.saturating_add(OLD) < self.now
    }

    fn count_kernels(&mut self, machine: &Machine) {
        for kernel in &machine.kernels {
            let name = short(&kernel.kernel, 80);
            if self.kernels.len() >= KERNELS && !self.kernels.contains_key(&name) {
                continue;
            }
            let count = self.kernels.entry(name).or_default();
            count.machines += 1;
            count.running += usize::from(kernel.running);
            count.ready += usize::from(kernel.ready.as_deref() == Some("yes"));
            count.not_ready += usize::from(kernel.ready.as_deref() == Some("no"));
        }
    }

    fn count_packages(&mut self, machine: &Machine) {
        for build in &machine.builds {
            let Some(kernel) = &build.kernel else { continue };
            let id = (short(&build.package, 80), short(&build.version, 80));
            if self.packages.len() >= PACKAGES && !self.packages.contains_key(&id) {
                continue;
            }
            let kernels = self.packages.entry(id).or_default();
            let kernel = short(kernel, 80);
            if kernels.len() >= KERNELS && !kernels.contains_key(&kernel) {
                continue;
            }
            let count = kernels.entry(kernel).or_default();
            count.machines += 1;
            count.installed += usize::from(is_good(build));
        }
    }

    /// Adds the row of a machine.
    fn row(&self, html: &mut Html, machine: &Machine, file: &str, number: usize, with_packages: bool) {
        let answer = machine.ready();
        let (word, tone) = match answer {
            "unknown" => ("not known", Tone::Warn),
            answer => words::ready(Some(answer)),
        };
        html.within("tr", &[("id", &format!("m{number}")), ("data-ready", answer)], |html| {
            html.within("th", &[("scope", "row")], |html| {
                html.text(&short(&machine.host, 80));
                let mut about: Vec<String> =
                    machine.distribution.iter().map(|name| short(name, 40)).collect();
                if machine.generated > 0 {
                    about.push(utc(machine.generated));
                }
                if file.strip_suffix(".json").unwrap_or(file) != machine.host {
                    about.push(short(file, 80));
                }
                html.element("small", &[], &about.join(", "));
                if self.is_old(machine) {
                    html.badge(Tone::Warn, "old");
                }
            });
            html.within("td", &[], |html| {
                html.badge(tone, word);
            });
            html.within("td", &[], |html| kernels(html, machine, with_packages));
            html.within("td", &[], |html| problems(html, machine));
        });
    }
}

/// Adds the kernels of a machine, with their packages.
fn kernels(html: &mut Html, machine: &Machine, with_packages: bool) {
    let mut by_kernel: BTreeMap<&str, Vec<&BuildState>> = BTreeMap::new();
    for build in &machine.builds {
        by_kernel.entry(build.kernel.as_deref().unwrap_or_default()).or_default().push(build);
    }
    let known: Vec<&str> = machine.kernels.iter().map(|kernel| kernel.kernel.as_str()).collect();
    let others = by_kernel.keys().filter(|release| !known.contains(release) && !release.is_empty());
    let all: Vec<&str> = known.iter().chain(others).take(20).copied().collect();
    for kernel in all {
        let state = machine.kernels.iter().find(|known| known.kernel == kernel);
        let builds = by_kernel.get(kernel).map_or(&[][..], Vec::as_slice);
        let bad = builds.iter().filter(|build| !is_good(build)).count();
        let mut words = vec![short(kernel, 80)];
        words.extend(state.filter(|kernel| kernel.running).map(|_| "running".to_owned()));
        words.extend(
            state.filter(|kernel| kernel.ready.as_deref() == Some("no")).map(|_| "not ready".to_owned()),
        );
        words.push(format!("{} of {} installed", builds.len() - bad, count(builds.len(), "package")));
        if !with_packages || builds.is_empty() {
            html.paragraph(&words.join(", "));
            continue;
        }
        html.within("details", &[], |html| {
            html.element("summary", &[], &words.join(", "));
            html.element("small", &[], &package_list(builds));
        });
    }
}

/// The names of packages. Those with a problem come first, with their state.
fn package_list(builds: &[&BuildState]) -> String {
    let (good, bad): (Vec<&BuildState>, Vec<&BuildState>) =
        builds.iter().copied().partition(|build| is_good(build));
    let name = |build: &BuildState| format!("{}/{}", short(&build.package, 80), short(&build.version, 80));
    let bad = bad.into_iter().map(|build| format!("{} ({})", name(build), state(build)));
    bad.chain(good.into_iter().map(name)).collect::<Vec<_>>().join(", ")
}

/// Whether a package is installed and the kernel would load its modules.
fn is_good(build: &BuildState) -> bool {
    build.state.starts_with("installed")
        && build.verdict.as_deref() != Some("refused")
        && build.failed_log.is_none()
        && !build.built_missing
}

fn state(build: &BuildState) -> String {
    if build.verdict.as_deref() == Some("refused") {
        "would not load".to_owned()
    } else if build.built_missing {
        "files are missing".to_owned()
    } else if build.failed_log.is_some() {
        "failed".to_owned()
    } else if build.differs {
        "differs".to_owned()
    } else {
        short(&build.state, 20)
    }
}

/// Adds the most important problems of a machine.
fn problems(html: &mut Html, machine: &Machine) {
    const SHOWN: usize = 5;
    let with_severity =
        |severity| machine.problems.iter().filter(move |problem| problem.severity == severity);
    let listed: Vec<_> = with_severity(Severity::Error).chain(with_severity(Severity::Warning)).collect();
    for problem in listed.iter().take(SHOWN) {
        let package = problem.package.as_ref();
        let package = package.map_or_else(String::new, |package| format!("{}: ", short(package, 80)));
        html.paragraph(&format!("{package}{} ({})", short(&problem.what, 160), short(&problem.cause, 40)));
    }
    if listed.len() > SHOWN {
        html.paragraph(&format!("and {} more", listed.len() - SHOWN));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::data::KernelState;
    use super::*;

    fn machine(packages: usize) -> Machine {
        let build = |n: usize| BuildState {
            package: format!("package-{n}"),
            version: "1.0".into(),
            kernel: Some("6.1.0-1-amd64".into()),
            state: "installed".into(),
            ..BuildState::default()
        };
        Machine {
            host: "machine".into(),
            kernels: vec![KernelState {
                kernel: "6.1.0-1-amd64".into(),
                newest: true,
                ..KernelState::default()
            }],
            builds: (0..packages).map(build).collect(),
            ..Machine::default()
        }
    }

    #[test]
    fn the_page_stays_small() {
        let mut summary = Summary::new(0);
        summary.add(&machine(20_000), "large.json");
        assert_eq!(summary.without_packages, 1, "one machine does not fill the page");
        let (few, many) = (machine(0), machine(1_500));
        (0..150).for_each(|_| summary.add(&many, "many.json"));
        assert!(summary.without_packages > 1, "{}", summary.without_packages);
        (0..6_000).for_each(|_| summary.add(&few, "few.json"));
        assert!(summary.without_row > 0);
        assert!(summary.packages.len() <= PACKAGES);
        let size = super::super::page::render(&summary, true).len();
        assert!(size < 5 << 20, "{size} bytes");
    }
}
