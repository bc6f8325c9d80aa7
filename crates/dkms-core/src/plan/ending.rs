//! The steps at the end of an action.

use super::state::State;
use super::steps::{Operation, Plan, Step, StepId};
use dkms_tree::ids::Kernel;

/// Adds the steps after the changes of modules: depmod for each kernel, and `post_transaction`.
pub(super) fn finish(plan: &mut Plan, state: &State) {
    let mut kernels: Vec<Kernel> =
        plan.operations().filter_map(Operation::changes_modules_of).cloned().collect();
    kernels.sort();
    kernels.dedup();
    for kernel in kernels.iter().filter(|k| state.kernels.get(k).is_some_and(|facts| facts.runs_depmod)) {
        let changes = |step: &Step| step.operation.changes_modules_of() == Some(kernel);
        let after: Vec<StepId> = plan.steps().filter(|(_, step)| changes(step)).map(|(id, _)| id).collect();
        plan.push(Step::new(Operation::Depmod(kernel.clone()), "its modules change"), after);
    }
    let first = kernels.first().and_then(|k| state.kernels.get(k));
    if let Some(command) = first.and_then(|facts| facts.post_transaction.clone()) {
        plan.push_post_transaction(command);
    }
}
