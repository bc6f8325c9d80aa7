//! Plans of `mok rotate`. All functions are pure.

use super::steps::{Operation, Plan, Step};
use dkms_tree::ids::{Build, Kernel};
use std::path::PathBuf;

/// The plan of a key rotation. It creates the key and the certificate of `new_pair`; `None` if they exist
/// already. If `waits` names kernels that require signatures and do not trust the new key yet, the old key
/// stays in use. Otherwise it re-signs the modules of `builds`, and runs `post_transaction`.
#[must_use]
pub fn rotation(
    new_pair: Option<(String, PathBuf)>,
    waits: &[Kernel],
    builds: &[Build],
    post_transaction: Option<String>,
) -> Plan {
    let mut plan = Plan::default();
    let key_creation = new_pair.map(|(key, certificate)| {
        plan.push(Step::new(Operation::MakeKey { key, certificate }, "there is no new key yet"), [])
    });
    for kernel in waits {
        let reason =
            format!("kernel {} requires signatures, and the new key is not trusted yet", kernel.release);
        plan.push(Step::new(Operation::KeepKey(kernel.clone()), reason), []);
    }
    if waits.is_empty() {
        for build in builds {
            let reason = "its modules are signed with the old key";
            plan.push(Step::new(Operation::Resign(build.clone()), reason), key_creation);
        }
        if let Some(command) = post_transaction {
            plan.push_post_transaction(command);
        }
    }
    plan
}
