//! `fallback=yes`: an older version of a package is installed where the newest one cannot be built.
//!
//! The plan has the steps of both. Those of the older version come after a step [`Operation::Fallback`], and
//! the scheduler executes them only if the newer version cannot be built.

use super::changes::{End, NOT_BUILT, Planner, Work};
use super::state::BuildFacts;
use super::steps::{Operation, Step};
use dkms_tree::ids::Build;
use dkms_tree::state::BuildState;

/// The number of older versions that are tried.
pub(super) const VERSIONS: usize = 3;

impl Planner<'_> {
    /// Plans the older versions of a package, after the steps of its newest version.
    pub(super) fn plan_fallbacks(&mut self, newest: &Build, predecessors: &[Build]) {
        let state = self.state;
        let Some(kernel) = state.kernels.get(&newest.kernel) else { return };
        let is_built =
            |build: &Build| state.builds.get(build).is_none_or(|f| f.state != BuildState::NotBuilt);
        // An existing build does not have to be replaced, and a package without steps has nothing to do.
        if is_built(newest) || !self.ends.contains_key(newest) {
            return;
        }
        let mut tried = newest.clone();
        for package in kernel.older.get(&newest.package.name).into_iter().flatten() {
            let build = Build::new(package, &newest.kernel);
            let Some(facts) = state.builds.get(&build).filter(|f| is_possible(f, predecessors)) else {
                continue;
            };
            let is_last = is_built(&build);
            self.plan_fallback(build.clone(), facts, &tried, predecessors);
            // If the newest version cannot be built, dependents follow the older one.
            if let (Some(End::Failed(_)), Some(end)) = (self.ends.get(newest), self.ends.get(&build).copied())
            {
                self.ends.insert(newest.clone(), end);
            }
            if is_last {
                return;
            }
            tried = build;
        }
    }

    fn plan_fallback(&mut self, build: Build, facts: &BuildFacts, tried: &Build, predecessors: &[Build]) {
        let instead_of = tried.package.clone();
        let reason = match (self.ends.get(tried), facts.state) {
            (Some(End::Failed(_)), _) => {
                format!("{instead_of} cannot be built for this kernel (fallback=yes)")
            }
            (_, BuildState::Installed) => {
                format!("it stays installed if {instead_of} cannot be built (fallback=yes)")
            }
            _ => format!("only if {instead_of} cannot be built (fallback=yes)"),
        };
        let after = match self.ends.get(tried) {
            Some(End::Step(id)) => Some(*id),
            _ => None,
        };
        let step = Step::new(Operation::Fallback { build: build.clone(), instead_of }, reason);
        let id = self.plan.push(step, after);
        if facts.state == BuildState::Installed {
            self.ends.insert(build, End::Step(id));
            return;
        }
        let make = (facts.state == BuildState::NotBuilt).then(|| NOT_BUILT.to_owned());
        let install = Some("it is the version that builds".to_owned());
        let work = Work { follows: Some(id), make, install, ..Work::new(build, facts) };
        let planned: Vec<Build> =
            predecessors.iter().filter(|p| self.ends.contains_key(p)).cloned().collect();
        self.work(work, &planned);
    }
}

/// Returns whether no known obstacle prevents a version from being built.
fn is_possible(facts: &BuildFacts, predecessors: &[Build]) -> bool {
    let is_made = |name: &String| predecessors.iter().any(|p| p.package.name == *name);
    facts.state != BuildState::NotBuilt || facts.obstacle.is_none() && facts.missing.iter().all(is_made)
}
