//! Plans of `build`, `install`, `match` and `autoinstall`. Pure.

use super::ending::finish;
use super::state::{BuildFacts, KernelFacts, State};
use super::steps::{Operation, Outlook, Plan, Step, StepId, Transactions};
use crate::build::{BuildError, DependencyFailure};
use crate::error::Error;
use crate::install::InstallError;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::BuildState;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const NOT_BUILT: &str = "it is not built for this kernel";
const FORCED: &str = "and --force is given";

/// `dkms build`: builds once for each kernel for which it is not built; with `force` for every kernel.
#[must_use]
pub fn builds(state: &State, package: &PackageId, kernels: &[Kernel], force: bool) -> Plan {
    let mut planner = Planner::new(state, force, Vec::new());
    for kernel in unique(kernels) {
        let build = Build::new(package, kernel);
        let Some(facts) = state.builds.get(&build) else { continue };
        let is_built = facts.state != BuildState::NotBuilt;
        if is_built && !force {
            planner.nothing(build.to_string(), "is already built");
            continue;
        }
        let why = if is_built { format!("it is built already, {FORCED}") } else { NOT_BUILT.to_owned() };
        planner.work(Work { replace: is_built, make: Some(why), ..Work::new(build, facts) }, &[]);
    }
    planner.finish()
}

/// `dkms install` and `dkms match`: first builds the packages that are not built yet. Packages follow the
/// packages on which they depend.
#[must_use]
pub fn installs(state: &State, wanted: &[Build], force: bool) -> Plan {
    let mut planner = Planner::new(state, force, wanted.to_vec());
    for (build, predecessors) in in_order(state, wanted) {
        planner.install(&build, &predecessors);
    }
    planner.finish()
}

/// `dkms autoinstall`: for each kernel the newest version of every package with AUTOINSTALL. Each kernel is
/// one transaction.
#[must_use]
pub fn autoinstall(state: &State, kernels: &[Kernel], force: bool) -> Plan {
    let mut all = Plan::default();
    for kernel in unique(kernels) {
        let Some(facts) = state.kernels.get(kernel) else { continue };
        all.append(autoinstall_kernel(state, kernel, facts, force));
    }
    finish(&mut all, state);
    all.transactions = Transactions::PerKernel;
    all
}

fn autoinstall_kernel(state: &State, kernel: &Kernel, facts: &KernelFacts, force: bool) -> Plan {
    let order = facts.order();
    let build = |package: &PackageId| Build::new(package, kernel);
    let wanted: Vec<Build> = order.wanted.iter().map(|w| build(&w.package)).collect();
    let mut planner = Planner::new(state, force, wanted);
    for (package, error) in &facts.unclear {
        planner.fail(&build(package), error.clone(), false);
    }
    for (package, missing) in order.blocked {
        let build = build(&package);
        planner.fail(
            &build.clone(),
            Arc::new(Error::Build(BuildError::DependsNever { build, missing })),
            false,
        );
    }
    for wanted in &order.wanted {
        let predecessors: Vec<Build> = wanted.after.iter().map(build).collect();
        let newest = build(&wanted.package);
        planner.install(&newest, &predecessors);
        planner.plan_fallbacks(&newest, &predecessors);
    }
    for (package, missing) in order.deferred {
        let reason = format!("waits for {}, which dkms does not know yet", missing.join(", "));
        let operation = Operation::Defer { build: build(&package), missing };
        planner.plan.push(Step::new(operation, reason), []);
    }
    let does_something = |operation: &Operation| !matches!(operation, Operation::Nothing(_));
    if !planner.plan.operations().any(does_something) {
        let reason = match order.present.len() {
            0 => "needs nothing: there is no package with AUTOINSTALL=yes".to_owned(),
            n => format!("has all it needs: {n} installed"),
        };
        planner.nothing(format!("kernel {}", kernel.release), reason);
    }
    planner.plan
}

/// Returns each build once, after the builds for the same kernel on which it depends, together with those.
fn in_order(state: &State, wanted: &[Build]) -> Vec<(Build, Vec<Build>)> {
    let mut open: Vec<&Build> = Vec::new();
    for build in wanted {
        if !open.contains(&build) {
            open.push(build);
        }
    }
    let depends = |build: &Build, on: &Build| {
        let facts = state.builds.get(build);
        build.kernel == on.kernel
            && build != on
            && facts.is_some_and(|f| f.depends.contains(&on.package.name))
    };
    let mut sorted: Vec<(Build, Vec<Build>)> = Vec::new();
    while !open.is_empty() {
        let free = open.iter().position(|build| !open.iter().any(|other| depends(build, other)));
        // In a dependency cycle, one of the builds reports the missing dependency.
        let build = open.remove(free.unwrap_or(0));
        let before = sorted.iter().map(|(other, _)| other).filter(|other| depends(build, other)).cloned();
        let before = before.collect();
        sorted.push((build.clone(), before));
    }
    sorted
}

fn unique(kernels: &[Kernel]) -> Vec<&Kernel> {
    let mut seen: Vec<&Kernel> = Vec::new();
    for kernel in kernels {
        if !seen.contains(&kernel) {
            seen.push(kernel);
        }
    }
    seen
}

/// The work for one build.
pub(super) struct Work<'a> {
    pub(super) build: Build,
    pub(super) facts: &'a BuildFacts,
    /// The step that decides whether it is done at all.
    pub(super) follows: Option<StepId>,
    /// The reason why it is built.
    pub(super) make: Option<String>,
    /// An earlier build is replaced.
    pub(super) replace: bool,
    /// The reason why it is installed.
    pub(super) install: Option<String>,
    /// It is installed already, and is uninstalled first.
    pub(super) reinstall: bool,
    pub(super) optional: bool,
}

impl<'a> Work<'a> {
    pub(super) fn new(build: Build, facts: &'a BuildFacts) -> Self {
        Self {
            build,
            facts,
            follows: None,
            make: None,
            replace: false,
            install: None,
            reinstall: false,
            optional: false,
        }
    }
}

/// The result of planning one build.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// This step is its last one.
    Step(StepId),
    /// It cannot be done; this is the reason that its dependents report.
    Failed(DependencyFailure),
}

/// A plan under construction.
pub(super) struct Planner<'a> {
    pub(super) state: &'a State,
    force: bool,
    wanted: Vec<Build>,
    pub(super) plan: Plan,
    /// The builds for which the plan has steps.
    pub(super) ends: BTreeMap<Build, End>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a State, force: bool, wanted: Vec<Build>) -> Self {
        Self { state, force, wanted, plan: Plan::default(), ends: BTreeMap::new() }
    }

    fn finish(mut self) -> Plan {
        finish(&mut self.plan, self.state);
        self.plan
    }

    fn nothing(&mut self, about: String, reason: impl Into<String>) {
        self.plan.push(Step::new(Operation::Nothing(about), reason), []);
    }

    fn fail(&mut self, build: &Build, error: Arc<Error>, optional: bool) {
        let reason = error.to_string();
        let operation = Operation::Fail { build: build.clone(), error };
        self.plan.push(Step { optional, ..Step::new(operation, reason) }, []);
    }

    /// Installs a requested build, and rebuilds packages that were built against another version of it.
    fn install(&mut self, build: &Build, predecessors: &[Build]) {
        let Some(facts) = self.state.builds.get(build) else { return };
        let kernel = self.state.kernels.get(&build.kernel);
        if facts.state == BuildState::Installed && !self.force {
            return self.nothing(build.to_string(), "is already installed");
        }
        if let Some(k) = kernel.filter(|k| facts.state != BuildState::NotBuilt && !k.exists) {
            return self.fail(
                build,
                Arc::new(InstallError::KernelDirMissing(k.directory.clone()).into()),
                false,
            );
        }
        let planned: Vec<Build> =
            predecessors.iter().filter(|p| self.ends.contains_key(p)).cloned().collect();
        let new = Work::new(build.clone(), facts);
        let work = if facts.state == BuildState::Installed {
            let why = format!("it is installed already, {FORCED}");
            Work { install: Some(why), reinstall: true, ..new }
        } else {
            let make = match facts.state {
                BuildState::NotBuilt => Some(NOT_BUILT.to_owned()),
                _ => planned.iter().find_map(|p| outdated(facts, p)),
            };
            let active = kernel.and_then(|k| k.installed.get(&build.package.name));
            let why = match active.filter(|version| **version != build.package.version) {
                Some(version) => format!("it replaces version {version}"),
                None => "it is not installed for this kernel".to_owned(),
            };
            let replace = facts.state != BuildState::NotBuilt && make.is_some();
            Work { make, replace, install: Some(why), ..new }
        };
        self.work(work, &planned);
        self.rebuild_dependents(build);
    }

    /// Rebuilds packages that were built against another version of an installed build, unless the build was
    /// requested itself.
    fn rebuild_dependents(&mut self, build: &Build) {
        let state = self.state;
        let of_kernel = state.builds.iter().filter(|(other, _)| other.kernel == build.kernel);
        for (dependent, facts) in of_kernel {
            let Some(why) = outdated(facts, build) else { continue };
            let is_planned = self.wanted.contains(dependent) || self.ends.contains_key(dependent);
            if is_planned || !facts.is_added {
                continue;
            }
            let active = facts.is_active;
            let install = active.then(|| "it was installed before".to_owned());
            let new = Work::new(dependent.clone(), facts);
            let work =
                Work { make: Some(why), replace: true, install, reinstall: active, optional: true, ..new };
            self.work(work, std::slice::from_ref(build));
            if active {
                self.rebuild_dependents(dependent);
            }
        }
    }

    /// Adds the steps of one build, after those of the builds that it follows.
    pub(super) fn work(&mut self, work: Work<'_>, predecessors: &[Build]) {
        let end = self.steps(&work, predecessors);
        self.ends.insert(work.build, end);
    }

    fn steps(&mut self, work: &Work<'_>, predecessors: &[Build]) -> End {
        let (build, facts) = (&work.build, work.facts);
        if work.make.is_some() {
            match facts.obstacle.as_deref() {
                None => {}
                Some(Error::Build(BuildError::Excluded { reason, .. })) => {
                    let step = Step::new(Operation::Skip(build.clone()), reason);
                    self.plan.push(Step { optional: work.optional, ..step }, []);
                    return End::Failed(DependencyFailure::Excluded);
                }
                Some(_) => return self.give_up(work, facts.obstacle.clone()),
            }
        }
        let mut after: Vec<StepId> = work.follows.into_iter().collect();
        for predecessor in predecessors {
            match self.ends.get(predecessor) {
                Some(End::Step(id)) => after.push(*id),
                Some(End::Failed(reason)) => {
                    let (build, dependency, reason) = (build.clone(), predecessor.package.clone(), *reason);
                    let error = Error::Build(BuildError::DependencyFailed { build, dependency, reason });
                    // If this was only a rebuild, the old build stays.
                    return self.give_up(work, (!work.optional).then(|| Arc::new(error)));
                }
                None => {}
            }
        }
        let mut last = None;
        if let Some(why) = &work.make {
            let is_made = |name: &String| predecessors.iter().any(|p| p.package.name == *name);
            let missing: Vec<String> = facts.missing.iter().filter(|name| !is_made(name)).cloned().collect();
            if !missing.is_empty() && !self.force {
                let error = Error::Build(BuildError::DependsMissing { build: build.clone(), missing });
                return self.give_up(work, Some(Arc::new(error)));
            }
            self.make_key(&build.kernel);
            let (replace, weight) = (work.replace, facts.weight);
            let step = Step::new(Operation::Build { build: build.clone(), replace, weight }, why);
            let compiled_again = replace && self.force;
            let reusable = !facts.no_cache && !compiled_again;
            let step = Step { last: facts.last, optional: work.optional, reusable, ..step };
            let id = self.plan.push(step, std::mem::take(&mut after));
            after.push(id);
            last = Some(id);
        }
        if let Some(why) = &work.install {
            last = match self.install_steps(work, why, after) {
                Ok(id) => Some(id),
                Err(error) => return self.give_up(work, Some(error)),
            };
        }
        last.map_or(End::Failed(DependencyFailure::Failed), End::Step)
    }

    fn install_steps(
        &mut self,
        work: &Work<'_>,
        why: &str,
        mut after: Vec<StepId>,
    ) -> Result<StepId, Arc<Error>> {
        let (build, facts) = (&work.build, work.facts);
        let optional = work.optional;
        if work.reinstall {
            let files = facts.uninstalls.clone()?;
            let step = Step::new(Operation::Uninstall(build.clone()), "to be installed again");
            after = vec![self.plan.push(Step { files, optional, ..step }, after)];
        }
        // The changes of the installation can only be determined for a build that is built and not installed.
        let known = work.make.is_none() && !work.reinstall;
        let outlook = if known { facts.outlook.clone() } else { Outlook::Changes };
        let files = if known { facts.installs.clone() } else { Vec::new() };
        let reason = match &outlook {
            Outlook::Changes => why.to_owned(),
            Outlook::Same(reason) => reason.clone(),
            Outlook::Refused(error) => error.to_string(),
        };
        let step = Step::new(Operation::Install { build: build.clone(), outlook }, reason);
        Ok(self.plan.push(Step { files, optional, ..step }, after))
    }

    fn give_up(&mut self, work: &Work<'_>, error: Option<Arc<Error>>) -> End {
        if let Some(error) = error {
            self.fail(&work.build, error, work.optional);
        }
        End::Failed(DependencyFailure::Failed)
    }

    /// Adds the step that creates the signing key, before the first build of a kernel that needs it.
    fn make_key(&mut self, kernel: &Kernel) {
        let missing = self.state.kernels.get(kernel).and_then(|facts| facts.missing_key.clone());
        let Some((key, certificate)) = missing else { return };
        let makes_it = |o: &Operation| matches!(o, Operation::MakeKey { key: other, .. } if *other == key);
        if !self.plan.operations().any(makes_it) {
            let reason = "modules of this kernel are signed, and there is no key";
            self.plan.push(Step::new(Operation::MakeKey { key, certificate }, reason), []);
        }
    }
}

/// Returns the reason why a build has to be rebuilt when a dependency is installed: it was built against
/// another version.
fn outdated(facts: &BuildFacts, dependency: &Build) -> Option<String> {
    let name = &dependency.package.name;
    let version = facts.built_against.get(name)?;
    (*version != dependency.package.version).then(|| format!("it was built against {name} {version}"))
}
