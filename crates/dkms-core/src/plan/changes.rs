//! Plans of `build`, `install`, `match` and `autoinstall`. All functions are pure.

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

/// The plan of `dkms build`: builds the package for each kernel for which it is not built; with `force` for
/// every kernel.
#[must_use]
pub fn builds(state: &State, package: &PackageId, kernels: &[Kernel], force: bool) -> Plan {
    let mut planner = Planner::new(state, force, Vec::new());
    for kernel in unique(kernels) {
        let build = Build::new(package, kernel);
        let Some(facts) = state.builds.get(&build) else { continue };
        let is_built = facts.state != BuildState::NotBuilt;
        if is_built && !force {
            planner.push_nothing(build.to_string(), "is already built");
            continue;
        }
        let reason = if is_built { format!("it is built already, {FORCED}") } else { NOT_BUILT.to_owned() };
        let work = Work { replace: is_built, build_reason: Some(reason), ..Work::new(build, facts) };
        planner.push_work(work, &[]);
    }
    planner.finish()
}

/// The plan of `dkms install` and `dkms match`. It first builds the packages that are not built yet. Packages
/// follow the packages that they depend on.
#[must_use]
pub fn installs(state: &State, requested: &[Build], force: bool) -> Plan {
    let mut planner = Planner::new(state, force, requested.to_vec());
    for (build, predecessors) in in_order(state, requested) {
        planner.push_install(&build, &predecessors);
    }
    planner.finish()
}

/// The plan of `dkms autoinstall`: installs the newest version of every package with AUTOINSTALL for each
/// kernel. Each kernel is one transaction.
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
    let requested: Vec<Build> = order.installs.iter().map(|install| build(&install.package)).collect();
    let mut planner = Planner::new(state, force, requested);
    for (package, error) in &facts.unclear {
        planner.push_failure(&build(package), error.clone(), false);
    }
    for (package, missing) in order.blocked {
        let build = build(&package);
        let error = Error::from(BuildError::DependsNever { build: build.clone(), missing });
        planner.push_failure(&build, Arc::new(error), false);
    }
    for install in &order.installs {
        let predecessors: Vec<Build> = install.after.iter().map(build).collect();
        let newest = build(&install.package);
        planner.push_install(&newest, &predecessors);
        planner.push_fallbacks(&newest, &predecessors);
    }
    for (package, missing) in order.deferred {
        let reason = format!("waits for {}, which dkms does not know yet", missing.join(", "));
        let operation = Operation::Defer { build: build(&package), missing };
        planner.plan.push(Step::new(operation, reason), []);
    }
    if planner.plan.operations().all(|operation| matches!(operation, Operation::Nothing(_))) {
        let reason = match order.present.len() {
            0 => "needs nothing: there is no package with AUTOINSTALL=yes".to_owned(),
            n => format!("has all it needs: {n} installed"),
        };
        planner.push_nothing(format!("kernel {}", kernel.release), reason);
    }
    planner.plan
}

/// Returns each build once, with the builds for the same kernel that it depends on. They come before it.
fn in_order(state: &State, requested: &[Build]) -> Vec<(Build, Vec<Build>)> {
    let mut open = unique(requested);
    let depends = |build: &Build, on: &Build| {
        let facts = state.builds.get(build);
        build.kernel == on.kernel
            && build != on
            && facts.is_some_and(|f| f.depends.contains(&on.package.name))
    };
    let mut sorted: Vec<(Build, Vec<Build>)> = Vec::new();
    while !open.is_empty() {
        let free = open.iter().position(|build| !open.iter().any(|other| depends(build, other)));
        // In a dependency cycle, one of the builds fails because of a missing dependency.
        let build = open.remove(free.unwrap_or(0));
        let dependencies = sorted.iter().map(|(other, _)| other).filter(|other| depends(build, other));
        let dependencies = dependencies.cloned().collect();
        sorted.push((build.clone(), dependencies));
    }
    sorted
}

/// Returns the items without repetitions, in the same order.
pub(super) fn unique<T: PartialEq>(items: &[T]) -> Vec<&T> {
    let mut unique: Vec<&T> = Vec::new();
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

/// The work for one build.
pub(super) struct Work<'a> {
    pub(super) build: Build,
    pub(super) facts: &'a BuildFacts,
    /// The step that determines whether the work is done.
    pub(super) follows: Option<StepId>,
    /// The reason why it is built; `None` if it is not built.
    pub(super) build_reason: Option<String>,
    /// Whether an earlier build is replaced.
    pub(super) replace: bool,
    /// The reason why it is installed; `None` if it is not installed.
    pub(super) install_reason: Option<String>,
    /// It is installed already, and is uninstalled first.
    pub(super) reinstall: bool,
    /// A failure is not a failure of the command.
    pub(super) optional: bool,
}

impl<'a> Work<'a> {
    pub(super) fn new(build: Build, facts: &'a BuildFacts) -> Self {
        Self {
            build,
            facts,
            follows: None,
            build_reason: None,
            replace: false,
            install_reason: None,
            reinstall: false,
            optional: false,
        }
    }
}

/// The result of planning one build.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The last step of the build.
    Step(StepId),
    /// The build fails. Its dependents report this reason.
    Failed(DependencyFailure),
}

/// A plan under construction.
pub(super) struct Planner<'a> {
    pub(super) state: &'a State,
    force: bool,
    requested: Vec<Build>,
    pub(super) plan: Plan,
    /// The results of the builds that are in the plan.
    pub(super) ends: BTreeMap<Build, End>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a State, force: bool, requested: Vec<Build>) -> Self {
        Self { state, force, requested, plan: Plan::default(), ends: BTreeMap::new() }
    }

    fn finish(mut self) -> Plan {
        finish(&mut self.plan, self.state);
        self.plan
    }

    fn push_nothing(&mut self, about: String, reason: impl Into<String>) {
        self.plan.push(Step::new(Operation::Nothing(about), reason), []);
    }

    fn push_failure(&mut self, build: &Build, error: Arc<Error>, optional: bool) {
        let reason = error.to_string();
        let operation = Operation::Fail { build: build.clone(), error };
        self.plan.push(Step { optional, ..Step::new(operation, reason) }, []);
    }

    /// Adds the steps that install a requested build, and those that rebuild the packages that were built
    /// against another version of it.
    fn push_install(&mut self, build: &Build, predecessors: &[Build]) {
        let Some(facts) = self.state.builds.get(build) else { return };
        let kernel = self.state.kernels.get(&build.kernel);
        if facts.state == BuildState::Installed && !self.force {
            return self.push_nothing(build.to_string(), "is already installed");
        }
        if let Some(kernel) = kernel.filter(|k| facts.state != BuildState::NotBuilt && !k.exists) {
            let error = InstallError::KernelDirMissing(kernel.directory.clone());
            return self.push_failure(build, Arc::new(error.into()), false);
        }
        let planned = self.planned(predecessors);
        let new = Work::new(build.clone(), facts);
        let work = if facts.state == BuildState::Installed {
            let reason = format!("it is installed already, {FORCED}");
            Work { install_reason: Some(reason), reinstall: true, ..new }
        } else {
            let build_reason = match facts.state {
                BuildState::NotBuilt => Some(NOT_BUILT.to_owned()),
                _ => planned.iter().find_map(|p| outdated(facts, p)),
            };
            let active = kernel.and_then(|k| k.installed.get(&build.package.name));
            let install_reason = match active.filter(|version| **version != build.package.version) {
                Some(version) => format!("it replaces version {version}"),
                None => "it is not installed for this kernel".to_owned(),
            };
            let replace = facts.state != BuildState::NotBuilt && build_reason.is_some();
            Work { build_reason, replace, install_reason: Some(install_reason), ..new }
        };
        self.push_work(work, &planned);
        self.push_rebuilds(build);
    }

    /// Returns those of these builds that are in the plan.
    pub(super) fn planned(&self, builds: &[Build]) -> Vec<Build> {
        builds.iter().filter(|build| self.ends.contains_key(build)).cloned().collect()
    }

    /// Adds the steps that rebuild the packages that were built against another version of this package,
    /// unless they were requested themselves.
    fn push_rebuilds(&mut self, build: &Build) {
        let state = self.state;
        let of_kernel = state.builds.iter().filter(|(other, _)| other.kernel == build.kernel);
        for (dependent, facts) in of_kernel {
            let Some(reason) = outdated(facts, build) else { continue };
            let is_planned = self.requested.contains(dependent) || self.ends.contains_key(dependent);
            if is_planned || !facts.is_added {
                continue;
            }
            let active = facts.is_active;
            let work = Work {
                build_reason: Some(reason),
                replace: true,
                install_reason: active.then(|| "it was installed before".to_owned()),
                reinstall: active,
                optional: true,
                ..Work::new(dependent.clone(), facts)
            };
            self.push_work(work, std::slice::from_ref(build));
            if active {
                self.push_rebuilds(dependent);
            }
        }
    }

    /// Adds the steps of a build. They follow the steps of `predecessors`.
    pub(super) fn push_work(&mut self, work: Work<'_>, predecessors: &[Build]) {
        let end = self.push_steps(&work, predecessors);
        self.ends.insert(work.build, end);
    }

    fn push_steps(&mut self, work: &Work<'_>, predecessors: &[Build]) -> End {
        let (build, facts) = (&work.build, work.facts);
        if work.build_reason.is_some() {
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
        if let Some(reason) = &work.build_reason {
            let is_planned = |name: &String| predecessors.iter().any(|p| p.package.name == *name);
            let missing: Vec<String> = facts.missing.iter().filter(|n| !is_planned(n)).cloned().collect();
            if !missing.is_empty() && !self.force {
                let error = Error::Build(BuildError::DependsMissing { build: build.clone(), missing });
                return self.give_up(work, Some(Arc::new(error)));
            }
            self.push_key_creation(&build.kernel);
            let (replace, weight) = (work.replace, facts.weight);
            let operation = Operation::Build { build: build.clone(), replace, weight };
            let is_recompiled = replace && self.force;
            let step = Step {
                last: facts.last,
                optional: work.optional,
                reusable: !facts.no_cache && !is_recompiled,
                ..Step::new(operation, reason)
            };
            let id = self.plan.push(step, std::mem::take(&mut after));
            after.push(id);
            last = Some(id);
        }
        if let Some(reason) = &work.install_reason {
            last = match self.push_install_steps(work, reason, after) {
                Ok(id) => Some(id),
                Err(error) => return self.give_up(work, Some(error)),
            };
        }
        last.map_or(End::Failed(DependencyFailure::Failed), End::Step)
    }

    fn push_install_steps(
        &mut self,
        work: &Work<'_>,
        reason: &str,
        mut after: Vec<StepId>,
    ) -> Result<StepId, Arc<Error>> {
        let (build, facts) = (&work.build, work.facts);
        let optional = work.optional;
        if work.reinstall {
            let files = facts.uninstalls.clone()?;
            let step = Step::new(Operation::Uninstall(build.clone()), "to be installed again");
            after = vec![self.plan.push(Step { files, optional, ..step }, after)];
        }
        // The result is only known for a build that exists and is not installed.
        let known = work.build_reason.is_none() && !work.reinstall;
        let outlook = if known { facts.outlook.clone() } else { Outlook::Changes };
        let files = if known { facts.installs.clone() } else { Vec::new() };
        let reason = match &outlook {
            Outlook::Changes => reason.to_owned(),
            Outlook::Same(reason) => reason.clone(),
            Outlook::Refused(error) => error.to_string(),
        };
        let step = Step::new(Operation::Install { build: build.clone(), outlook }, reason);
        Ok(self.plan.push(Step { files, optional, ..step }, after))
    }

    /// Adds the error, if any, and returns that the build fails.
    fn give_up(&mut self, work: &Work<'_>, error: Option<Arc<Error>>) -> End {
        if let Some(error) = error {
            self.push_failure(&work.build, error, work.optional);
        }
        End::Failed(DependencyFailure::Failed)
    }

    /// Adds the step that creates the signing key of a kernel, if it is missing and not in the plan yet.
    fn push_key_creation(&mut self, kernel: &Kernel) {
        let missing = self.state.kernels.get(kernel).and_then(|facts| facts.missing_key.clone());
        let Some((key, certificate)) = missing else { return };
        let is_same = |o: &Operation| matches!(o, Operation::MakeKey { key: other, .. } if *other == key);
        if !self.plan.operations().any(is_same) {
            let reason = "modules of this kernel are signed, and there is no key";
            self.plan.push(Step::new(Operation::MakeKey { key, certificate }, reason), []);
        }
    }
}

/// Returns the reason why a build has to be rebuilt when a dependency is installed, if it was built against
/// another version of the dependency.
fn outdated(facts: &BuildFacts, dependency: &Build) -> Option<String> {
    let name = &dependency.package.name;
    let version = facts.built_against.get(name)?;
    (*version != dependency.package.version).then(|| format!("it was built against {name} {version}"))
}
