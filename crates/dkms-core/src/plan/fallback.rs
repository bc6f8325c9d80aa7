//! `fallback=yes`: an older version of a package is installed if the newest version cannot be built.
//!
//! The plan contains the steps of both versions. Those of the older version follow a step
//! [`Operation::Fallback`], and the scheduler executes them only if the newer version cannot be built.

use super::changes::{End, NOT_BUILT, Planner, Work};
use super::state::BuildFacts;
use super::steps::{Operation, Step};
use dkms_tree::ids::Build;
use dkms_tree::state::BuildState;

/// The maximum number of older versions that are tried.
pub(super) const MAX_VERSIONS: usize = 3;

impl Planner<'_> {
    /// Adds the steps of the older versions of a package, after the steps of its newest version.
    pub(super) fn push_fallbacks(&mut self, newest: &Build, predecessors: &[Build]) {
        let state = self.state;
        let Some(kernel) = state.kernels.get(&newest.kernel) else { return };
        let is_built =
            |build: &Build| state.builds.get(build).is_none_or(|f| f.state != BuildState::NotBuilt);
        // No older version is needed if the newest version is built, or if the package is not in the plan.
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
            self.push_fallback(build.clone(), facts, &tried, predecessors);
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

    fn push_fallback(&mut self, build: Build, facts: &BuildFacts, tried: &Build, predecessors: &[Build]) {
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
        let build_reason = (facts.state == BuildState::NotBuilt).then(|| NOT_BUILT.to_owned());
        let install_reason = Some("it is the version that builds".to_owned());
        let work = Work { follows: Some(id), build_reason, install_reason, ..Work::new(build, facts) };
        let planned = self.planned(predecessors);
        self.push_work(work, &planned);
    }
}

/// Returns whether a version is built, or can be built as far as this is known in advance.
fn is_possible(facts: &BuildFacts, predecessors: &[Build]) -> bool {
    let is_planned = |name: &String| predecessors.iter().any(|p| p.package.name == *name);
    facts.state != BuildState::NotBuilt || facts.obstacle.is_none() && facts.missing.iter().all(is_planned)
}
