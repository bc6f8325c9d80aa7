//! Executes the plans of `add`, `build`, `install`, `match` and `autoinstall`, and decides how the command
//! ends.

use crate::build::BuildError;
use crate::conf::load;
use crate::error::{Error, FailedKernel, Result};
use crate::event::{Event, FailedPackage, Fallback, Sink, Sources};
use crate::package::PackageError;
use crate::plan::{Operation, Plan};
use crate::schedule::{Done, Finished, Results, Telling, run};
use crate::system::System;
use crate::{add, origin};
use dkms_tree::ids::{Build, Kernel, PackageId};
use kmodule::ModuleName;
use std::sync::Arc;

/// Executes a plan of `add`, `build`, `install` or `match`. After a failure, it continues with the other
/// tasks.
///
/// # Errors
/// A source tree cannot be copied or added: then nothing else is done. Otherwise the first failure, in the
/// order of the plan.
pub fn execute(system: &System, sink: &dyn Sink, plan: Plan) -> Result<()> {
    add_sources(system, sink, &plan)?;
    report_nothing(sink, &plan);
    let mut failing: Vec<&Build> = plan
        .steps()
        .filter(|(_, step)| !step.optional)
        .filter_map(|(_, step)| step.operation.build())
        .collect();
    failing.sort();
    failing.dedup();
    let of = failing.len();
    let telling = if of == 1 { Telling::Nothing } else { Telling::Each };
    let results = run(system, sink, &plan, telling);
    // Releases the plan's references to its errors.
    drop(plan);
    crate::finally::once_per_command(system, sink, &results.changed, true);
    conclude(results, of)
}

/// Copies and registers the sources of a plan.
fn add_sources(system: &System, sink: &dyn Sink, plan: &Plan) -> Result<()> {
    let is_for_more = plan.operations().any(|operation| operation.build().is_some());
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
                    // Another dkms registered it first, and the later steps are needed in any case.
                    Err(Error::Package(PackageError::AlreadyAdded(_))) if is_for_more && !copied => {}
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

/// The result of a command: with one task, its own failure; with several, the exit code of the first failure.
fn conclude(results: Results, of: usize) -> Result<()> {
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
    // A build excluded for its kernel counts as the failure only if there is no other failure.
    let is_excluded = |e: &Arc<Error>| matches!(**e, Error::Build(BuildError::Excluded { .. }));
    let other = failures.iter().position(|e| !is_excluded(e));
    let Some(at) = other.or((failed > 0).then_some(0)) else { return Ok(()) };
    let first = failures.swap_remove(at);
    if of > 1 {
        return Err(Error::SeveralFailed { first, failed, of });
    }
    Err(Error::unshared(first))
}

/// Executes a plan of `dkms autoinstall`.
///
/// [`BuildError::HeadersMissing`] if something has to be built and the headers are missing;
/// [`Error::AutoinstallFailed`] if packages failed, after all others are installed.
pub fn autoinstall(system: &System, sink: &dyn Sink, plan: Plan, kernels: &[Kernel]) -> Result<()> {
    report_nothing(sink, &plan);
    let results = run(system, sink, &plan, Telling::AllButHeaders);
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
        let of = results.finished.iter().filter(|f| f.build.kernel == *kernel).count();
        let summary = Summary::of(kernel, &results.finished, &deferred);
        if of == 0 && summary.deferred.is_empty() {
            continue;
        }
        let headers = headers_missing(kernel, &results.finished);
        let is_known = |f: &FailedPackage| matches!(*f.error, Error::Build(BuildError::FailedBefore { .. }));
        let known = summary.failed.iter().all(is_known);
        let failed: Vec<PackageId> = summary.failed.iter().map(|f| f.package.clone()).collect();
        if headers.is_none() || summary.says_something() {
            sink.event(summary.event());
        }
        match headers {
            // The first error decides the exit code.
            Some(e) if failures.is_empty() => {
                first.get_or_insert(e);
            }
            None if !failed.is_empty() => {
                failures.push(FailedKernel { kernel: kernel.clone(), failed, of, known });
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

/// Executes a plan of `dkms kernel_postinst`: autoinstall, for the hook of a package manager. A module that
/// fails is reported. It is a failure of the hook only if the administrator wants that: `hook_failure=fail`,
/// or the module is one of `required_modules`. A package manager should not stop at a kernel whose Wi-Fi
/// module does not build yet.
///
/// # Errors
/// As [`autoinstall`].
pub fn kernel_postinst(system: &System, sink: &dyn Sink, plan: Plan, kernels: &[Kernel]) -> Result<()> {
    let failures = match autoinstall(system, sink, plan, kernels) {
        Err(Error::AutoinstallFailed(failures)) => failures,
        other => return other,
    };
    let framework = &system.settings.framework;
    let required = framework.required_modules.as_deref().unwrap_or_default();
    let required: Vec<&str> = required.split_whitespace().collect();
    let is_required = |of: &FailedKernel| {
        of.failed.iter().any(|package| is_one_of(system, sink, package, &of.kernel, &required))
    };
    if framework.hook_failure == Some(true) || failures.iter().any(is_required) {
        return Err(Error::AutoinstallFailed(failures));
    }
    // The hook that built them has reported the known ones.
    for FailedKernel { kernel, failed, .. } in failures.iter().filter(|of| !of.known) {
        let names: Vec<String> = failed.iter().map(ToString::to_string).collect();
        sink.warn(format!(
            "kernel {release} will start without {names}, unless that is fixed; its installation goes on\n\
             'dkms pending -k {release}' says what is missing; hook_failure=fail in framework.conf stops here instead",
            release = kernel.release,
            names = names.join(", "),
        ));
    }
    Ok(())
}

/// Whether a package or one of its modules has one of these names.
fn is_one_of(system: &System, sink: &dyn Sink, package: &PackageId, kernel: &Kernel, names: &[&str]) -> bool {
    if names.is_empty() || names.contains(&package.name.as_str()) {
        return !names.is_empty();
    }
    let conf = load::load(system, sink, package, kernel).and_then(load::Loaded::lenient);
    // A package whose dkms.conf cannot be read may have any of them.
    conf.map_or(true, |loaded| {
        let wanted: Vec<ModuleName> = names.iter().map(|name| ModuleName::new(name)).collect();
        loaded.conf.modules.iter().any(|m| wanted.contains(&ModuleName::new(&m.dest_name)))
    })
}

/// The summary of an autoinstall for one kernel.
struct Summary {
    kernel: Kernel,
    installed: Vec<PackageId>,
    sources: Sources,
    skipped: Vec<PackageId>,
    failed: Vec<FailedPackage>,
    deferred: Vec<PackageId>,
    fallbacks: Vec<Fallback>,
}

impl Summary {
    fn of(kernel: &Kernel, finished: &[Finished], deferred: &[Build]) -> Self {
        let deferred = deferred.iter().filter(|b| b.kernel == *kernel).map(|b| b.package.clone()).collect();
        let (installed, skipped, failed) = (Vec::new(), Vec::new(), Vec::new());
        let sources = Sources::default();
        let fallbacks = Vec::new();
        let mut sum =
            Self { kernel: kernel.clone(), installed, sources, skipped, failed, deferred, fallbacks };
        for one in finished.iter().filter(|f| f.build.kernel == *kernel) {
            let package = one.build.package.clone();
            sum.sources.count(one.origin.as_ref());
            match &one.done {
                Done::Installed => sum.installed.push(package),
                Done::Skipped(_) => sum.skipped.push(package),
                Done::Replaced(older) => {
                    sum.fallbacks.push(Fallback { package: older.clone(), instead_of: package });
                }
                Done::Failed(e)
                    if !one.optional && !matches!(**e, Error::Build(BuildError::HeadersMissing { .. })) =>
                {
                    sum.failed.push(FailedPackage { package, error: e.clone() });
                }
                _ => {}
            }
        }
        sum
    }

    fn says_something(&self) -> bool {
        let quiet = self.installed.is_empty() && self.skipped.is_empty() && self.failed.is_empty();
        !quiet || !self.fallbacks.is_empty()
    }

    fn event(self) -> Event {
        Event::Summary {
            kernel: self.kernel,
            installed: self.installed,
            sources: self.sources,
            skipped: self.skipped,
            failed: self.failed,
            deferred: self.deferred,
            fallbacks: self.fallbacks,
        }
    }
}

fn headers_missing(kernel: &Kernel, finished: &[Finished]) -> Option<Error> {
    let of_kernel = finished.iter().filter(|f| f.build.kernel == *kernel);
    of_kernel.into_iter().find_map(|f| match &f.done {
        Done::Failed(e) => match &**e {
            Error::Build(BuildError::HeadersMissing { release, path, package, others }) => {
                Some(Error::Build(BuildError::HeadersMissing {
                    release: release.clone(),
                    path: path.clone(),
                    package: package.clone(),
                    others: others.clone(),
                }))
            }
            _ => None,
        },
        _ => None,
    })
}
