//! Plans of `uninstall`, `unbuild`, `remove`, `kernel_preinst` and `kernel_prerm`. Pure.

use super::ending::finish;
use super::state::State;
use super::steps::{Operation, Plan, Step};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::BuildState;

/// The part of a package version that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It is removed from `/lib/modules`.
    Uninstall,
    /// Its built files are deleted as well.
    Unbuild,
    /// It is also removed from the tree, if it is not built for any other kernel.
    Remove,
}

/// Removes a package version for some kernels.
#[must_use]
pub fn plan(state: &State, package: &PackageId, kernels: &[Kernel], depth: Depth, why: &str) -> Plan {
    let mut plan = Plan::default();
    let mut seen: Vec<&Kernel> = Vec::new();
    for kernel in kernels {
        if seen.contains(&kernel) {
            continue;
        }
        seen.push(kernel);
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
        take_back_build(state, &mut plan, &build, depth != Depth::Uninstall, why);
    }
    if depth == Depth::Remove {
        if state.kept.contains(package) {
            let reason =
                "stays in the tree: it is built for other kernels (--all takes it out of those as well)";
            plan.push(Step::new(Operation::Nothing(package.to_string()), reason), []);
        } else {
            let reason = "it is built for no other kernel";
            plan.push(Step::new(Operation::Remove(package.clone()), reason), []);
        }
    }
    finish(&mut plan, state);
    plan
}

/// Removes everything that the state has for a kernel.
#[must_use]
pub fn clear_kernel(state: &State, kernel: &Kernel, why: &str) -> Plan {
    let mut plan = Plan::default();
    for (package, error) in state.kernels.get(kernel).map(|k| k.unclear.as_slice()).unwrap_or_default() {
        let operation = Operation::Fail { build: Build::new(package, kernel), error: error.clone() };
        plan.push(Step::new(operation, error.to_string()), []);
    }
    for build in state.builds.keys().filter(|build| build.kernel == *kernel) {
        take_back_build(state, &mut plan, build, true, why);
    }
    finish(&mut plan, state);
    plan
}

fn take_back_build(state: &State, plan: &mut Plan, build: &Build, unbuild: bool, why: &str) {
    let Some(facts) = state.builds.get(build) else { return };
    let mut after = None;
    if facts.is_active {
        match &facts.uninstalls {
            Ok(files) => {
                let step = Step::new(Operation::Uninstall(build.clone()), why);
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
        plan.push(Step::new(Operation::Unbuild(build.clone()), why), after);
    }
}
