//! Executes the plans of `uninstall`, `unbuild`, `remove`, `kernel_preinst` and `kernel_prerm`. A command is
//! one transaction.

use crate::actions::report_nothing;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::install::{Change, Ending};
use crate::package::PackageError;
use crate::plan::removal::{Depth, Removal};
use crate::plan::{Operation, Plan, gather};
use crate::request::Overrides;
use crate::system::System;
use crate::{add, lock};
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state;
use std::sync::Arc;

/// A request for `uninstall`, `unbuild` or `remove`.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The package version.
    pub package: &'a PackageId,
    /// The kernels; `None` for all kernels for which it is built.
    pub kernels: Option<&'a [Kernel]>,
    /// How much is removed.
    pub depth: Depth,
    /// The action, for the reasons in the plan.
    pub action: &'a str,
    /// The safety checks that it overrides.
    pub overrides: Overrides,
}

/// Plans `uninstall`, `unbuild` or `remove`.
///
/// # Errors
/// [`PackageError::NotAdded`], [`PackageError::Broken`].
pub fn plan(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<Plan> {
    add::require_added(&system.layout, request.package)?;
    let built = || state::builds(&system.layout, request.package).into_iter().map(|b| b.kernel).collect();
    let kernels = request.kernels.map_or_else(built, <[Kernel]>::to_vec);
    let reason = &format!("requested by '{}'", request.action);
    let removal = Removal { package: request.package, kernels: &kernels, depth: request.depth, reason };
    Ok(gather::removal(system, sink, &removal, request.overrides))
}

/// Executes the plan of such a request as a single transaction. Returns the kernels whose modules changed.
///
/// # Errors
/// [`PackageError::RemoveCancelled`] if an `add` in the same RPM transaction cancels the removal; otherwise
/// the first failure.
pub fn execute(system: &System, sink: &dyn Sink, request: &Request<'_>, plan: Plan) -> Result<Vec<Kernel>> {
    if request.depth == Depth::Remove
        && request.overrides.rpm_safe_upgrade
        && crate::rpm_upgrade::added_in_this_transaction(&system.settings, request.package)
    {
        return Err(PackageError::RemoveCancelled(request.package.clone()).into());
    }
    // If there is nothing to do, this neither waits for the lock nor needs a writable tree.
    let lock = changes_something(&plan).then(|| lock::build(system, sink, request.package)).transpose()?;
    // While this dkms waited for the lock, another dkms may have built or removed the package.
    let plan = if lock.is_some() { self::plan(system, sink, request)? } else { plan };
    report_nothing(sink, &plan);
    transact(system, sink, plan)
}

fn changes_something(plan: &Plan) -> bool {
    plan.operations().any(|operation| !matches!(operation, Operation::Nothing(_)))
}

fn transact(system: &System, sink: &dyn Sink, plan: Plan) -> Result<Vec<Kernel>> {
    if !changes_something(&plan) {
        return Ok(Vec::new());
    }
    let failure = plan.operations().find_map(|operation| match operation {
        Operation::Fail { error, .. } => Some(error.clone()),
        _ => None,
    });
    if let Some(error) = failure {
        drop(plan);
        return Err(Error::unshared(error));
    }
    let mut kernels: Vec<Kernel> =
        plan.operations().filter_map(Operation::build).map(|b| b.kernel.clone()).collect();
    if kernels.is_empty() {
        // Only the tree changes, but a transaction needs a kernel. This fails in an image without kernels.
        kernels.push(system.host.kernel()?);
    }
    let mut change = Change::begin(system, sink, &kernels, plan.overrides)?;
    let done = plan.operations().try_for_each(|operation| execute_step(system, &mut change, operation));
    if let Err(e) = done {
        return Err(change.abandon_because(e));
    }
    let finished = change.finish(Ending::Whole)?;
    let is_uninstalled = |kernel: &Kernel| {
        plan.operations().any(|o| matches!(o, Operation::Uninstall(build) if build.kernel == *kernel))
    };
    Ok(finished.changed.into_iter().filter(is_uninstalled).collect())
}

/// Executes one step.
fn execute_step(system: &System, change: &mut Change<'_>, operation: &Operation) -> Result<()> {
    if let Some(signal) = dkms_sys::signal::interrupted() {
        return Err(Error::Interrupted(signal));
    }
    match operation {
        // Another dkms may have uninstalled the build before this one had the lock.
        Operation::Uninstall(build) if state::is_active(&system.layout, build) => change.uninstall(build),
        Operation::Unbuild(build) => {
            if state::is_active(&system.layout, build) {
                change.uninstall(build)?;
            }
            if system.layout.built_dir(build).is_dir() {
                change.unbuild(build)?;
            }
            Ok(())
        }
        Operation::Remove(package) => change.forget(package),
        _ => Ok(()),
    }
}

/// Executes the plan of `kernel_prerm` or `kernel_preinst`: removes packages from one kernel, with one
/// depmod, and removes empty directories. If a package fails, it is rolled back, and the others are removed.
/// Returns whether modules of the kernel changed.
///
/// # Errors
/// [`Error::KernelHookFailed`] with the packages that failed.
pub fn clear_kernel(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    action: &str,
    plan: &Plan,
) -> Result<bool> {
    let mut failed: Vec<String> = Vec::new();
    let mut fail = |build: &Build, error: Arc<Error>| {
        failed.push(build.package.to_string());
        sink.event(Event::Failed { build: build.clone(), error });
    };
    for operation in plan.operations() {
        if let Operation::Fail { build, error } = operation {
            fail(build, error.clone());
        }
    }
    let is_change = |o: &&Operation| matches!(o, Operation::Uninstall(_) | Operation::Unbuild(_));
    let steps: Vec<&Operation> = plan.operations().filter(is_change).collect();
    let mut changed = false;
    if !steps.is_empty() {
        let mut packages: Vec<&PackageId> =
            steps.iter().filter_map(|o| o.build()).map(|build| &build.package).collect();
        packages.sort();
        packages.dedup();
        let _locks =
            packages.into_iter().map(|p| lock::build(system, sink, p)).collect::<Result<Vec<_>>>()?;
        let mut change = Change::begin(system, sink, std::slice::from_ref(kernel), plan.overrides)?;
        let mut failed_build: Option<&Build> = None;
        for operation in steps {
            let Some(build) = operation.build().filter(|build| failed_build != Some(*build)) else {
                continue;
            };
            match execute_step(system, &mut change, operation) {
                Ok(()) => changed |= matches!(operation, Operation::Uninstall(_)),
                Err(e @ Error::Interrupted(_)) => return Err(change.abandon_because(e)),
                Err(e) => {
                    fail(build, Arc::new(e));
                    failed_build = Some(build);
                }
            }
        }
        change.finish(Ending::Regardless)?;
    }
    let modules = system.layout.kernel_modules(&kernel.release);
    if modules.is_dir() {
        // The request succeeds even if an empty directory cannot be removed.
        if let Err(e) = fs::remove_empty_below(&modules) {
            sink.event(Event::Detail { text: e.to_string() });
        }
        let _ = fs::remove_dir(&modules);
    }
    if failed.is_empty() {
        Ok(changed)
    } else {
        Err(Error::KernelHookFailed { action: action.to_owned(), kernel: kernel.clone(), failed })
    }
}
