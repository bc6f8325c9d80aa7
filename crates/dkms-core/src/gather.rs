//! From a request and the state of the tree to a plan. Only looks: nothing is changed, no script of a package runs.

use crate::add;
use crate::build;
use crate::build::BuildError;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::install::InstallError;
use crate::kernel::headers;
use crate::plan::{self, AutoinstallPlan, Candidate, Task, Work};
use crate::session::Session;
use crate::status;
use crate::tree::manifest::Manifest;
use crate::tree::state::{self, BuildState, Registration};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// What is known before anything is done.
#[derive(Debug, Default)]
pub struct Gathered {
    /// What is to be done.
    pub work: Work,
    /// Nothing has to be done about these, and why.
    pub nothing: Vec<(String, String)>,
    /// These cannot be done, and why.
    pub wrong: Vec<(Build, Error)>,
    /// They wait for packages that dkms does not know.
    pub deferred: Vec<(Build, Vec<String>)>,
}

impl Gathered {
    fn nothing(&mut self, b: &Build, reason: &str) {
        self.nothing.push((b.to_string(), reason.into()));
    }

    /// Tells what there is nothing to do about.
    pub fn tell_nothing(&self, s: &Session<'_>) {
        for (about, reason) in &self.nothing {
            s.tell(Event::Nothing { about: about.clone(), reason: reason.clone() });
        }
    }
}

/// `dkms build`: each kernel once, unless it is built or `--force` wants it anew.
pub fn builds(s: &Session<'_>, package: &PackageId, kernels: &[Kernel]) -> Gathered {
    let mut g = Gathered::default();
    for kernel in unique(kernels) {
        let b = Build::new(package, kernel);
        match state::build_state(s.layout, &b) {
            BuildState::NotBuilt => g.work.tasks.push(Task::new(b, Some(NOT_BUILT), None)),
            _ if s.options.force => {
                let task = Task::new(b, Some("it is built already, and --force is given"), None);
                g.work.tasks.push(Task { replace: true, ..task });
            }
            _ => g.nothing(&b, "is already built"),
        }
    }
    g.work.groups = vec![(0..g.work.tasks.len()).collect()];
    estimate(s, &mut g.work);
    g
}

const NOT_BUILT: &str = "it is not built for this kernel";

/// `dkms install` and `match`: what is not built is built first; all of it is one transaction. Packages come after those
/// they depend on.
pub fn installs(s: &Session<'_>, wanted: &[Build]) -> Gathered {
    let mut g = Gathered::default();
    let mut positions: Vec<(Build, Option<usize>)> = Vec::new();
    for (b, depends) in in_order(s, wanted) {
        let place = |name: &String| {
            let found = positions.iter().find(|(o, _)| o.kernel == b.kernel && o.package.name == *name);
            found.and_then(|(_, n)| *n)
        };
        let after = depends.iter().filter_map(place).collect();
        let at = install(s, &b, after, wanted, &mut g);
        positions.push((b, at));
    }
    g.work.groups = vec![(0..g.work.tasks.len()).collect()];
    estimate(s, &mut g.work);
    g
}

/// Each once, with its BUILD_DEPENDS, and after those.
fn in_order(s: &Session<'_>, wanted: &[Build]) -> Vec<(Build, Vec<String>)> {
    let mut open: Vec<(Build, Vec<String>)> = Vec::new();
    let several = wanted.iter().zip(wanted.iter().skip(1)).any(|(a, b)| a.package != b.package);
    for b in wanted {
        if open.iter().any(|(o, _)| o == b) {
            continue;
        }
        // One package alone depends on nothing here. What is wrong with a dkms.conf its build will say.
        let conf = several.then(|| load::load(s, &b.package, &b.kernel).ok()).flatten();
        open.push((b.clone(), conf.map(|l| l.conf.build_depends).unwrap_or_default()));
    }
    let mut sorted = Vec::new();
    while !open.is_empty() {
        let free = open.iter().position(|(b, depends)| {
            !open.iter().any(|(o, _)| o.kernel == b.kernel && o != b && depends.contains(&o.package.name))
        });
        // In a circle: one of them will say what it lacks.
        sorted.push(open.remove(free.unwrap_or(0)));
    }
    sorted
}

/// Adds one of those that are `wanted` installed, and what has to be built anew because of it. Its position, if there is
/// something to do.
fn install(
    s: &Session<'_>,
    b: &Build,
    after: Vec<usize>,
    wanted: &[Build],
    g: &mut Gathered,
) -> Option<usize> {
    let at = state::build_state(s.layout, b);
    let active = state::active_version(s.layout, &b.package.name, &b.kernel);
    let directory = s.layout.kernel_modules(&b.kernel.release);
    let task = match at {
        BuildState::Installed if !s.options.force => {
            g.nothing(b, "is already installed");
            return None;
        }
        _ if at != BuildState::NotBuilt && !directory.exists() => {
            g.wrong.push((b.clone(), Error::Install(InstallError::KernelDirMissing(directory))));
            return None;
        }
        BuildState::Installed => {
            let task = Task::new(b.clone(), None, Some("it is installed already, and --force is given"));
            Task { reinstall: true, ..task }
        }
        _ => {
            let make = match at {
                BuildState::NotBuilt => Some(NOT_BUILT.to_owned()),
                _ => after.iter().filter_map(|n| g.work.tasks.get(*n)).find_map(|t| outdated(s, b, &t.build)),
            };
            let why = match &active {
                Some(v) if *v != b.package.version => format!("it takes the place of version {v}"),
                _ => "it is not installed for this kernel".into(),
            };
            let task = Task::new(b.clone(), make.as_deref(), Some(&why));
            Task { replace: at != BuildState::NotBuilt && make.is_some(), ..task }
        }
    };
    g.work.tasks.push(Task { after, ..task });
    let n = g.work.tasks.len() - 1;
    rebuild_dependents(s, b, n, wanted, g);
    Some(n)
}

/// Why `b` has to be built anew when `dependency` is installed: BUILD_DEPENDS_REBUILD, and it was built against another
/// version.
fn outdated(s: &Session<'_>, b: &Build, dependency: &Build) -> Option<String> {
    let noted = s.layout.built_dir(b).join(format!(".dep_{}", dependency.package.name));
    let version = dkms_sys::fs::read_text(noted, dkms_sys::fs::Limit::CONFIG).ok()?;
    let version = version.trim();
    (version != dependency.package.version)
        .then(|| format!("it was built against {} {version}", dependency.package.name))
}

/// What is built already and outdated by task `n`, unless it is wanted itself.
fn rebuild_dependents(s: &Session<'_>, b: &Build, n: usize, wanted: &[Build], g: &mut Gathered) {
    for package in state::all_packages(s.layout) {
        let dependent = Build::new(&package, &b.kernel);
        let Some(why) = outdated(s, &dependent, b) else { continue };
        let there = wanted.contains(&dependent) || g.work.tasks.iter().any(|t| t.build == dependent);
        if there || state::registration(s.layout, &package) != Registration::Added {
            continue;
        }
        let active = state::is_active(s.layout, &dependent);
        let task = Task::new(dependent.clone(), Some(&why), active.then_some("it was installed before"));
        g.work.tasks.push(Task { replace: true, reinstall: active, optional: true, after: vec![n], ..task });
        if active {
            rebuild_dependents(s, &dependent, g.work.tasks.len() - 1, wanted, g);
        }
    }
}

/// What an autoinstall for a kernel would do, as a graph.
///
/// A package whose dkms.conf is wrong is in the second part, with the reason.
pub fn plan_autoinstall(s: &Session<'_>, kernel: &Kernel) -> (AutoinstallPlan, Vec<(PackageId, Error)>) {
    let mut sound = Vec::new();
    let mut failed = Vec::new();
    let mut known = Vec::new();
    for p in state::all_packages(s.layout) {
        known.push(p.name.clone());
        match add::refuse_broken(s, &p) {
            Ok(()) => sound.push(p),
            Err(e) => s.warn(e.to_string()),
        }
    }
    known.dedup();
    let mut candidates = Vec::new();
    let config = headers::KernelConfig::read(&headers::config_path(s, &kernel.release));
    for package in plan::newest(&sound) {
        let active = state::installed_version(s.layout, &package.name, kernel);
        let installed = active.as_ref() == Some(&package) || status::is_weak(s.layout, &package, kernel);
        let (mut autoinstall, mut depends, mut excluded) = (false, Vec::new(), false);
        if !installed {
            match load::load(s, &package, kernel).and_then(load::Loaded::lenient) {
                Ok(loaded) => {
                    let built = s.layout.built_dir(&Build::new(&package, kernel)).is_dir();
                    excluded = loaded.conf.autoinstall
                        && !built
                        && load::exclusion(&loaded, kernel, config.as_ref()).is_ok_and(|e| e.whole.is_some());
                    (autoinstall, depends) = (loaded.conf.autoinstall, loaded.conf.build_depends);
                }
                Err(e) => {
                    failed.push((package, e));
                    continue;
                }
            }
        }
        candidates.push(Candidate {
            package,
            installed,
            some_version_installed: active.is_some(),
            autoinstall,
            depends,
            excluded,
        });
    }
    (plan::autoinstall(&candidates, &known), failed)
}

/// `dkms autoinstall`: for each kernel the newest version of every package with AUTOINSTALL; each kernel is a
/// transaction of its own. The number of packages that are installed already is told for each kernel with nothing to do.
pub fn autoinstall(s: &Session<'_>, kernels: &[Kernel]) -> Gathered {
    let mut g = Gathered::default();
    for kernel in unique(kernels) {
        let first = g.work.tasks.len();
        let before = (g.wrong.len(), g.deferred.len());
        let (plan, wrong) = plan_autoinstall(s, kernel);
        let build = |p: &PackageId| Build::new(p, kernel);
        g.wrong.extend(wrong.into_iter().map(|(p, e)| (build(&p), e)));
        // Positions in the plan and positions here: what has nothing to do is in the way of nobody.
        let mut positions: Vec<Option<usize>> = Vec::new();
        let all: Vec<Build> = plan.wanted.iter().map(|w| build(&w.package)).collect();
        for (wanted, b) in plan.wanted.iter().zip(&all) {
            let after = wanted.after.iter().filter_map(|n| positions.get(*n).copied().flatten()).collect();
            positions.push(install(s, b, after, &all, &mut g));
        }
        for (package, missing) in plan.blocked {
            let b = build(&package);
            g.wrong.push((b.clone(), Error::Build(BuildError::DependsNever { build: b, missing })));
        }
        g.deferred.extend(plan.deferred.into_iter().map(|(p, missing)| (build(&p), missing)));
        if (g.wrong.len(), g.deferred.len()) == before && g.work.tasks.len() == first {
            let reason = match plan.present.len() {
                0 => "needs nothing: there is no package with AUTOINSTALL=yes".into(),
                n => format!("has all it needs: {n} installed"),
            };
            g.nothing.push((format!("kernel {}", kernel.release), reason));
        }
        g.work.groups.push((first..g.work.tasks.len()).collect());
    }
    estimate(s, &mut g.work);
    g
}

/// Every kernel with headers, sorted as dkms orders versions, for this architecture.
pub fn kernels_with_headers(s: &Session<'_>, arch: &str) -> Vec<Kernel> {
    let mut found: Vec<String> = state::subdirectories(&s.layout.install_tree);
    found.retain(|release| headers::present(s, release));
    found.sort_by(|a, b| dkms_conf::kernel_match::compare_versions(a, b).then_with(|| a.cmp(b)));
    found.iter().filter_map(|release| Kernel::new(release, arch).ok()).collect()
}

fn unique(kernels: &[Kernel]) -> Vec<&Kernel> {
    let mut seen: Vec<&Kernel> = Vec::new();
    for k in kernels {
        if !seen.contains(&k) {
            seen.push(k);
        }
    }
    seen
}

/// How long each build takes: as long as the last one of the package that left a record, of this version rather than of
/// another; else, for the order alone, by the size of its sources.
fn estimate(s: &Session<'_>, work: &mut Work) {
    if work.tasks.iter().filter(|t| t.make.is_some()).count() < 1 {
        return;
    }
    let mut known: HashMap<PackageId, (Option<Duration>, f64)> = HashMap::new();
    for task in work.tasks.iter_mut().filter(|t| t.make.is_some()) {
        let package = &task.build.package;
        let (expected, weight) = known.entry(package.clone()).or_insert_with(|| {
            let expected = last_build(s, package);
            let weight = expected.map_or_else(|| source_weight(s, package), |d| d.as_secs_f64());
            (expected, weight)
        });
        (task.expected, task.weight) = (*expected, *weight);
    }
}

fn last_build(s: &Session<'_>, package: &PackageId) -> Option<Duration> {
    let of = |p: &PackageId| {
        let manifests = state::builds(s.layout, p).into_iter().filter_map(|b| Manifest::load(s.layout, &b));
        manifests.filter(|m| m.build_seconds > 0.0).max_by_key(|m| m.built_at)
    };
    let others = || {
        let versions = state::versions(s.layout, &package.name).into_iter().filter(|p| p != package);
        versions.filter_map(|p| of(&p)).max_by_key(|m| m.built_at)
    };
    let seconds = of(package).or_else(others)?.build_seconds;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A compiler reads some 50 kB of a driver's C in a second, and a build takes a second anyway.
fn source_weight(s: &Session<'_>, package: &PackageId) -> f64 {
    let link = s.layout.source_link(package);
    let root = if link.is_dir() { link } else { s.layout.source_dir(package) };
    1.0 + c_bytes(&root, 0) as f64 / 50_000.0
}

fn c_bytes(dir: &Path, depth: usize) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of = |e: std::fs::DirEntry| {
        let path = e.path();
        match e.file_type() {
            Ok(t) if t.is_dir() && depth < 8 => c_bytes(&path, depth + 1),
            Ok(t) if t.is_file() && path.extension().is_some_and(|x| x == "c") => {
                e.metadata().map_or(0, |m| m.len())
            }
            _ => 0,
        }
    };
    entries.flatten().map(of).sum()
}

/// Whether a build that is to be made can be: its configuration, its headers, what it depends on among what is installed
/// and what is made before it. For `--dry-run`; a build looks for itself.
///
/// # Errors
/// What the build would end with.
pub fn foresee(s: &Session<'_>, work: &Work, n: usize) -> Result<()> {
    let Some(task) = work.tasks.get(n) else { return Ok(()) };
    let (loaded, _) = build::configuration(s, &task.build)?;
    headers::find(s, &task.build.kernel)?;
    let made: Vec<&str> =
        task.after.iter().filter_map(|n| work.tasks.get(*n).map(|t| t.build.package.name.as_str())).collect();
    let mut missing = build::missing_dependencies(s, &task.build, &loaded);
    missing.retain(|d| !made.contains(&d.as_str()));
    if missing.is_empty() || s.options.force {
        return Ok(());
    }
    Err(BuildError::DependsMissing { build: task.build.clone(), missing }.into())
}
