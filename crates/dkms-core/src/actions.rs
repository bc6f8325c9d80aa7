//! Executes the plans of `add`, `build`, `install`, `match` and `autoinstall`, and determines the result of
//! the command.

use crate::build::BuildError;
use crate::conf::load;
use crate::error::{Error, FailedKernel, Result};
use crate::event::{Event, FailedPackage, Fallback, KernelSummary, Sink};
use crate::package::PackageError;
use crate::plan::{Operation, Plan};
use crate::schedule::{Done, Finished, Reporting, Results, run};
use crate::system::System;
use crate::{add, origin};
use dkms_tree::ids::{Build, Kernel, PackageId};
use kmodule::ModuleName;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Executes a plan of `add`, `build`, `install` or `match`. If a task fails, the other tasks are still
/// executed.
///
/// # Errors
/// A source tree cannot be copied or added; then nothing else is done. Otherwise the first failure, in the
/// order of the plan.
pub fn execute(system: &System, sink: &dyn Sink, plan: Plan) -> Result<()> {
    add_sources(system, sink, &plan)?;
    report_nothing(sink, &plan);
    let required = plan.steps().filter(|(_, step)| !step.optional);
    let count = required.filter_map(|(_, step)| step.operation.build()).collect::<BTreeSet<_>>().len();
    let reporting = if count == 1 { Reporting::Nothing } else { Reporting::Each };
    let results = run(system, sink, &plan, reporting);
    // `conclude` can return an error only if no other reference to it exists.
    drop(plan);
    crate::finally::once_per_command(system, sink, &results.changed, true);
    conclude(results, count)
}

/// Copies and registers the sources of a plan.
fn add_sources(system: &System, sink: &dyn Sink, plan: &Plan) -> Result<()> {
    let has_builds = plan.operations().any(|operation| operation.build().is_some());
    let mut copied = false;
    for operation in plan.operations() {
        match operation {
            Operation::CopySource { package, from, .. } => {
                system.require_writable_tree()?;
                origin::copy_source(system, sink, package, from, plan.overrides.force)?;
                copied = true;
            }
            Operation::Add { package, kernel } => {
                system.require_writable_tree()?;
                match add::add(system, sink, package, kernel, plan.overrides) {
                    // Another dkms has registered it in the meantime, and the builds are still needed.
                    Err(Error::Package(PackageError::AlreadyAdded(_))) if has_builds && !copied => {}
                    other => other?,
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reports the steps for which there is nothing to do.
pub fn report_nothing(sink: &dyn Sink, plan: &Plan) {
    for (_, step) in plan.steps() {
        if let Operation::Nothing(about) = &step.operation {
            sink.event(Event::Nothing { about: about.clone(), reason: step.reason.clone() });
        }
    }
}

/// Determines the result of a command with `count` builds. With one build, the error is the failure of that
/// build; with several, [`Error::SeveralFailed`].
fn conclude(results: Results, count: usize) -> Result<()> {
    if let Some(e) = results.stopped {
        return Err(e);
    }
    let mut failures: Vec<Arc<Error>> = Vec::new();
    for Finished { build, optional, done, .. } in results.finished {
        match done {
            Done::Failed(e) if !optional => failures.push(e),
            Done::Skipped(reason) if !optional => {
                failures.push(Arc::new(Error::Build(BuildError::Excluded { build, reason })))
            }
            _ => {}
        }
    }
    let failed = failures.len();
    if failed == 0 {
        return Ok(());
    }
    // A build that is excluded for its kernel is returned only if there is no other failure.
    let is_excluded = |e: &Arc<Error>| matches!(**e, Error::Build(BuildError::Excluded { .. }));
    let first = failures.iter().position(|e| !is_excluded(e)).unwrap_or(0);
    let first = failures.swap_remove(first);
    if count > 1 {
        return Err(Error::SeveralFailed { first, failed, total: count });
    }
    Err(Error::unshared(first))
}

/// Executes a plan of `dkms autoinstall`.
///
/// # Errors
/// [`BuildError::HeadersMissing`] if a package has to be built and the headers are missing;
/// [`Error::AutoinstallFailed`] if packages failed, after all other packages were installed.
pub fn autoinstall(system: &System, sink: &dyn Sink, plan: Plan, kernels: &[Kernel]) -> Result<()> {
    report_nothing(sink, &plan);
    let results = run(system, sink, &plan, Reporting::AllButHeaders);
    let mut deferred = Vec::new();
    for (_, step) in plan.steps() {
        if let Operation::Defer { build, .. } = &step.operation {
            sink.event(Event::Deferred { build: build.clone(), reason: step.reason.clone() });
            deferred.push(build.clone());
        }
    }
    crate::finally::once_per_command(system, sink, &results.changed, true);
    let mut first = results.stopped;
    let mut failures: Vec<FailedKernel> = Vec::new();
    for kernel in kernels {
        let finished = || results.finished.iter().filter(|finished| finished.build.kernel == *kernel);
        let count = finished().count();
        let summary = summarize(kernel, finished(), &deferred);
        if count == 0 && summary.deferred.is_empty() {
            continue;
        }
        let headers = finished().find_map(|finished| finished.done.headers_missing());
        let is_known = |f: &FailedPackage| matches!(*f.error, Error::Build(BuildError::FailedBefore { .. }));
        let known = summary.failed.iter().all(is_known);
        let failed: Vec<PackageId> = summary.failed.iter().map(|f| f.package.clone()).collect();
        if headers.is_none() || has_content(&summary) {
            sink.event(Event::Summary(summary));
        }
        match headers {
            // The first error determines the exit code.
            Some(missing) if failures.is_empty() => {
                first.get_or_insert_with(|| BuildError::from(missing.clone()).into());
            }
            None if !failed.is_empty() => {
                failures.push(FailedKernel { kernel: kernel.clone(), failed, total: count, known });
            }
            _ => {}
        }
    }
    match first {
        Some(e) => Err(e),
        None if failures.is_empty() => Ok(()),
        None => Err(Error::AutoinstallFailed(failures)),
    }
}

/// Executes a plan of `dkms kernel_postinst`: autoinstall in the hook of a package manager. Failed modules
/// are reported as a warning, because a module that does not build yet should not stop the installation of a
/// kernel.
///
/// # Errors
/// As [`autoinstall`]. [`Error::AutoinstallFailed`] only with `hook_failure=fail`, or if a module of
/// `required_modules` failed.
pub fn kernel_postinst(system: &System, sink: &dyn Sink, plan: Plan, kernels: &[Kernel]) -> Result<()> {
    let failures = match autoinstall(system, sink, plan, kernels) {
        Err(Error::AutoinstallFailed(failures)) => failures,
        other => return other,
    };
    let framework = &system.settings.framework;
    let required = framework.required_modules.as_deref().unwrap_or_default();
    let required: Vec<&str> = required.split_whitespace().collect();
    let is_required = |FailedKernel { kernel, failed, .. }: &FailedKernel| {
        failed.iter().any(|package| has_name(system, sink, package, kernel, &required))
    };
    if framework.hook_failure == Some(true) || failures.iter().any(is_required) {
        return Err(Error::AutoinstallFailed(failures));
    }
    // Known failures were reported by the hook that built the packages.
    for FailedKernel { kernel, failed, .. } in failures.iter().filter(|failure| !failure.known) {
        let names: Vec<String> = failed.iter().map(ToString::to_string).collect();
        sink.warn(format!(
            "kernel {release} will start without {names}, unless that is fixed; its installation goes on\n\
             'dkms pending -k {release}' shows what is missing; hook_failure=fail in framework.conf stops here instead",
            release = kernel.release,
            names = names.join(", "),
        ));
    }
    Ok(())
}

/// Returns whether a package or one of its modules has one of these names.
fn has_name(system: &System, sink: &dyn Sink, package: &PackageId, kernel: &Kernel, names: &[&str]) -> bool {
    if names.is_empty() || names.contains(&package.name.as_str()) {
        return !names.is_empty();
    }
    let conf = load::load(system, sink, package, kernel).and_then(load::Loaded::lenient);
    // If dkms.conf cannot be read, the package may contain one of these modules.
    conf.map_or(true, |loaded| {
        let names: Vec<ModuleName> = names.iter().map(|name| ModuleName::new(name)).collect();
        loaded.conf.modules.iter().any(|module| names.contains(&ModuleName::new(&module.dest_name)))
    })
}

/// Summarizes the results for a kernel. `deferred` are the deferred builds of all kernels.
fn summarize<'a>(
    kernel: &Kernel,
    finished: impl Iterator<Item = &'a Finished>,
    deferred: &[Build],
) -> KernelSummary {
    let deferred = deferred.iter().filter(|b| b.kernel == *kernel).map(|b| b.package.clone()).collect();
    let mut summary = KernelSummary { deferred, ..KernelSummary::new(kernel.clone()) };
    for Finished { build, optional, origin, done } in finished {
        let package = build.package.clone();
        summary.sources.count(origin.as_ref());
        match done {
            Done::Installed => summary.installed.push(package),
            Done::Skipped(_) => summary.skipped.push(package),
            Done::Replaced(older) => {
                summary.fallbacks.push(Fallback { package: older.clone(), instead_of: package });
            }
            Done::Failed(error) if !optional && done.headers_missing().is_none() => {
                summary.failed.push(FailedPackage { package, error: error.clone() });
            }
            _ => {}
        }
    }
    summary
}

/// Returns whether a package was installed, skipped or failed.
fn has_content(summary: &KernelSummary) -> bool {
    let KernelSummary { installed, skipped, failed, fallbacks, .. } = summary;
    !(installed.is_empty() && skipped.is_empty() && failed.is_empty() && fallbacks.is_empty())
}
