//! Plans of `uninstall`, `unbuild`, `remove`, `kernel_preinst` and `kernel_prerm`. All functions are pure.

use super::changes::unique;
use super::ending::finish;
use super::state::State;
use super::steps::{Operation, Plan, Step};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::BuildState;

/// How much of a package version is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its modules are removed from `/lib/modules`.
    Uninstall,
    /// Its built files are deleted as well.
    Unbuild,
    /// It is also removed from the tree, if it is not built for any other kernel.
    Remove,
}

/// The removal of a package version for some kernels.
#[derive(Clone, Copy, Debug)]
pub struct Removal<'a> {
    /// The package version.
    pub package: &'a PackageId,
    /// The kernels.
    pub kernels: &'a [Kernel],
    /// How much is removed.
    pub depth: Depth,
    /// The reason of the steps.
    pub reason: &'a str,
}

/// The plan of a removal.
#[must_use]
pub fn plan(state: &State, removal: &Removal<'_>) -> Plan {
    let Removal { package, kernels, depth, reason } = *removal;
    let mut plan = Plan::default();
    for kernel in unique(kernels) {
        let build = Build::new(package, kernel);
        let Some(facts) = state.builds.get(&build) else { continue };
        let nothing = match (facts.is_active, facts.state) {
            (true, _) => None,
            (false, BuildState::NotBuilt) => Some("is neither built nor installed"),
            (false, _) if depth == Depth::Uninstall => Some("is not installed"),
            (false, _) => None,
        };
        if let Some(reason) = nothing {
            plan.push(Step::new(Operation::Nothing(build.to_string()), reason), []);
        }
        push_build_removal(state, &mut plan, &build, depth != Depth::Uninstall, reason);
    }
    if depth == Depth::Remove {
        if state.kept.contains(package) {
            let reason =
                "stays in the tree: it is built for other kernels (--all removes it for those as well)";
            plan.push(Step::new(Operation::Nothing(package.to_string()), reason), []);
        } else {
            let reason = "it is built for no other kernel";
            plan.push(Step::new(Operation::Remove(package.clone()), reason), []);
        }
    }
    finish(&mut plan, state);
    plan
}

/// The plan that removes all builds for a kernel.
#[must_use]
pub fn clear_kernel(state: &State, kernel: &Kernel, reason: &str) -> Plan {
    let mut plan = Plan::default();
    for (package, error) in state.kernels.get(kernel).map(|k| k.unclear.as_slice()).unwrap_or_default() {
        let operation = Operation::Fail { build: Build::new(package, kernel), error: error.clone() };
        plan.push(Step::new(operation, error.to_string()), []);
    }
    for build in state.builds.keys().filter(|build| build.kernel == *kernel) {
        push_build_removal(state, &mut plan, build, true, reason);
    }
    finish(&mut plan, state);
    plan
}

/// Adds the steps that uninstall a build and, with `unbuild`, delete its files.
fn push_build_removal(state: &State, plan: &mut Plan, build: &Build, unbuild: bool, reason: &str) {
    let Some(facts) = state.builds.get(build) else { return };
    let mut after = None;
    if facts.is_active {
        match &facts.uninstalls {
            Ok(files) => {
                let step = Step::new(Operation::Uninstall(build.clone()), reason);
                after = Some(plan.push(Step { files: files.clone(), ..step }, []));
            }
            Err(error) => {
                let operation = Operation::Fail { build: build.clone(), error: error.clone() };
                plan.push(Step::new(operation, error.to_string()), []);
                return;
            }
        }
    }
    if unbuild && facts.has_files {
        plan.push(Step::new(Operation::Unbuild(build.clone()), reason), after);
    }
}
