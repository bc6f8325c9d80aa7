//! Plans of `mok rotate`. Pure.

use super::steps::{Operation, Plan, Step};
use dkms_tree::ids::{Build, Kernel};
use std::path::PathBuf;

/// Creates `new_pair` (`None` if a new pair exists already). Switches to the new pair, unless kernels that
/// require signatures would not accept its signatures. Then re-signs the modules of `builds`, and runs
/// `post_transaction` if that changes the modules of a kernel.
#[must_use]
pub fn rotation(
    new_pair: Option<(String, PathBuf)>,
    waits: &[Kernel],
    builds: &[Build],
    post_transaction: Option<String>,
) -> Plan {
    let mut plan = Plan::default();
    let made = new_pair.map(|(key, certificate)| {
        plan.push(Step::new(Operation::MakeKey { key, certificate }, "no new pair waits"), [])
    });
    for kernel in waits {
        let reason =
            format!("kernel {} requires signatures, and the new key is not trusted yet", kernel.release);
        plan.push(Step::new(Operation::KeepKey(kernel.clone()), reason), []);
    }
    if waits.is_empty() {
        for build in builds {
            let reason = "what the old key signed is signed with the new one";
            plan.push(Step::new(Operation::Resign(build.clone()), reason), made);
        }
        if let Some(command) = post_transaction {
            plan.push_post_transaction(command);
        }
    }
    plan
}
