//! Executes the plans of `uninstall`, `unbuild`, `remove`, `kernel_preinst` and `kernel_prerm`. A command is
//! one transaction.

use crate::actions::report_nothing;
use crate::add;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::install::{Change, Ending};
use crate::lock;
use crate::package::PackageError;
use crate::plan::removal::Depth;
use crate::plan::{Operation, Plan, gather};
use crate::session::Session;
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state;
use std::sync::Arc;

/// A request of `uninstall`, `unbuild` or `remove`.
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
}

/// The plan of `uninstall`, `unbuild` or `remove`.
///
/// # Errors
/// [`PackageError::NotAdded`], [`PackageError::Broken`].
pub fn plan(s: &Session<'_>, request: &Request<'_>) -> Result<Plan> {
    add::require_added(s.layout, request.package)?;
    let built = || state::builds(s.layout, request.package).into_iter().map(|b| b.kernel).collect();
    let kernels = request.kernels.map_or_else(built, <[Kernel]>::to_vec);
    let why = format!("'{}' asks for it", request.action);
    Ok(gather::removal(s, request.package, &kernels, request.depth, &why))
}

/// Executes such a plan as a single transaction. Returns the kernels whose modules changed.
///
/// # Errors
/// [`PackageError::RemoveCancelled`] if an `add` in the same RPM transaction cancels the removal; otherwise
/// the first failure.
pub fn execute(s: &Session<'_>, request: &Request<'_>, plan: Plan) -> Result<Vec<Kernel>> {
    if request.depth == Depth::Remove
        && s.options.rpm_safe_upgrade
        && crate::rpm_upgrade::added_in_this_transaction(s.options, request.package)
    {
        return Err(PackageError::RemoveCancelled(request.package.clone()).into());
    }
    // If there is nothing to do, this neither waits for the lock nor needs a writable tree.
    let held = if changes_something(&plan) { Some(lock::build(s, request.package)?) } else { None };
    // While this dkms waited for the lock, another one may have built or removed the package.
    let plan = if held.is_some() { self::plan(s, request)? } else { plan };
    report_nothing(s.sink, &plan);
    transact(s, plan)
}

fn changes_something(plan: &Plan) -> bool {
    plan.operations().any(|operation| !matches!(operation, Operation::Nothing(_)))
}

fn transact(s: &Session<'_>, plan: Plan) -> Result<Vec<Kernel>> {
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
        // Only the tree changes, but a transaction needs a kernel. An image may have none.
        kernels.push(s.host.kernel()?);
    }
    let mut change = Change::begin(s, &kernels)?;
    let done = plan.operations().try_for_each(|operation| execute_step(s, &mut change, operation));
    if let Err(e) = done {
        return Err(change.abandon_because(s, e));
    }
    let finished = change.finish(s, Ending::Whole)?;
    let is_uninstalled = |kernel: &Kernel| {
        plan.operations().any(|o| matches!(o, Operation::Uninstall(build) if build.kernel == *kernel))
    };
    Ok(finished.changed.into_iter().filter(is_uninstalled).collect())
}

/// Executes one step.
fn execute_step(s: &Session<'_>, change: &mut Change, operation: &Operation) -> Result<()> {
    if let Some(signal) = dkms_sys::signal::interrupted() {
        return Err(Error::Interrupted(signal));
    }
    match operation {
        // Before this dkms had the lock, another one may have uninstalled or installed it.
        Operation::Uninstall(build) if state::is_active(s.layout, build) => change.uninstall(s, build),
        Operation::Unbuild(build) => {
            if state::is_active(s.layout, build) {
                change.uninstall(s, build)?;
            }
            if s.layout.built_dir(build).is_dir() {
                change.unbuild(s, build)?;
            }
            Ok(())
        }
        Operation::Remove(package) => change.forget(s, package),
        _ => Ok(()),
    }
}

/// Executes the plan of `kernel_prerm` or `kernel_preinst`: removes packages from one kernel, with one
/// depmod, and leaves no empty directories. A package that fails is rolled back, and the others are removed.
/// Returns whether modules of the kernel changed.
///
/// # Errors
/// [`Error::KernelHookFailed`] with the packages that failed.
pub fn clear_kernel(s: &Session<'_>, kernel: &Kernel, action: &str, plan: &Plan) -> Result<bool> {
    let mut failed: Vec<String> = Vec::new();
    let mut fail = |build: &Build, error: Arc<Error>| {
        failed.push(build.package.to_string());
        s.report(Event::Failed { build: build.clone(), error });
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
        let _held = packages.into_iter().map(|p| lock::build(s, p)).collect::<Result<Vec<_>>>()?;
        let mut change = Change::begin(s, std::slice::from_ref(kernel))?;
        let mut given_up: Option<&Build> = None;
        for operation in steps {
            let Some(build) = operation.build().filter(|build| given_up != Some(*build)) else { continue };
            match execute_step(s, &mut change, operation) {
                Ok(()) => changed |= matches!(operation, Operation::Uninstall(_)),
                Err(e @ Error::Interrupted(_)) => return Err(change.abandon_because(s, e)),
                Err(e) => {
                    fail(build, Arc::new(e));
                    given_up = Some(build);
                }
            }
        }
        change.finish(s, Ending::Regardless)?;
    }
    let modules = s.layout.kernel_modules(&kernel.release);
    if modules.is_dir() {
        // An empty directory that cannot be removed is not a failure of the request.
        if let Err(e) = fs::remove_empty_below(&modules) {
            s.report(Event::Detail { text: e.to_string() });
        }
        let _ = std::fs::remove_dir(&modules);
    }
    if failed.is_empty() {
        Ok(changed)
    } else {
        Err(Error::KernelHookFailed { action: action.to_owned(), kernel: kernel.clone(), failed })
    }
}
