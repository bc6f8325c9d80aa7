//! Reads the tree and the kernels into the [`State`](super::state::State) that planning needs. Changes nothing, and runs no script
//! of a package.

use super::changes;
use super::gatherer::{Gatherer, Purpose};
use super::removal::{self, Depth};
use super::steps::{Operation, Plan, Step};
use crate::add;
use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::kernel::headers;
use crate::origin::{self, OriginError};
use crate::package::PackageError;
use crate::request::{Overrides, RequestError};
use crate::system::{Settings, System};
use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, BuildState, Registration};
use std::path::Path;

/// Returns whether a package version is registered.
#[must_use]
pub fn is_added(layout: &Layout, package: &PackageId) -> bool {
    state::registration(layout, package) == Registration::Added
}

/// The plan that registers a package version, unless it is registered already.
///
/// # Errors
/// There is no source.
pub fn add(layout: &Layout, package: &PackageId, kernel: &Kernel, overrides: Overrides) -> Result<Plan> {
    if is_added(layout, package) {
        return Ok(Plan::default());
    }
    let source = layout.source_dir(package);
    if !source.is_dir() {
        return Err(OriginError::SourceMissing(source).into());
    }
    let operation = Operation::Add { package: package.clone(), kernel: kernel.clone() };
    Ok(Plan::of(operation, NOT_ADDED).overriding(overrides))
}

const NOT_ADDED: &str = "it is not in the tree";

/// The plan that copies a source tree to `/usr/src`, unless it is there already, and registers it.
///
/// # Errors
/// No or an invalid dkms.conf; the package version is in the tree already.
pub fn add_directory(
    system: &System,
    sink: &dyn Sink,
    directory: &Path,
    kernel: &Kernel,
    overrides: Overrides,
) -> Result<(Plan, PackageId)> {
    let from =
        directory.canonicalize().map_err(|_| OriginError::DirectoryWithoutConf(directory.to_owned()))?;
    let package = add::identify(system, sink, &from, kernel)?;
    let is_in_place = origin::is_place_of(&system.layout, &package, &from);
    if is_added(&system.layout, &package) && (is_in_place || !overrides.force) {
        return Err(PackageError::AlreadyAdded(package).into());
    }
    let mut plan = Plan::default().overriding(overrides);
    let copied = (!is_in_place).then(|| {
        let to = system.layout.source_dir(&package);
        let reason = if to.exists() { "replaces the existing source" } else { "sources are kept there" };
        let package = package.clone();
        plan.push(Step::new(Operation::CopySource { package, from, to }, reason), [])
    });
    let operation = Operation::Add { package: package.clone(), kernel: kernel.clone() };
    plan.push(Step::new(operation, NOT_ADDED), copied);
    Ok((plan, package))
}

/// The plan of `dkms build` and `dkms install`. `added_first` is the dkms.conf of a package that is not
/// registered yet.
#[must_use]
pub fn bring_in(
    system: &System,
    sink: &dyn Sink,
    purpose: Purpose,
    package: &PackageId,
    kernels: &[Kernel],
    added_first: Option<&Path>,
    overrides: Overrides,
) -> Plan {
    let wanted: Vec<Build> = kernels.iter().map(|kernel| Build::new(package, kernel)).collect();
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.added_first = added_first.map(|conf| (package, conf));
    gatherer.wanted(&wanted, purpose);
    let plan = match purpose {
        Purpose::Build => changes::builds(&gatherer.state, package, kernels, overrides.force),
        Purpose::Install => changes::installs(&gatherer.state, &wanted, overrides.force),
    };
    plan.overriding(overrides)
}

/// Plans `dkms match`: installs for `kernel` the packages that are installed for `template`, either all or
/// those with one name.
///
/// # Errors
/// Template and kernel are the same; a named package is not in the tree.
pub fn matching(
    system: &System,
    sink: &dyn Sink,
    template: &Kernel,
    kernel: &Kernel,
    name: Option<&str>,
    overrides: Overrides,
) -> Result<Plan> {
    if template.release == kernel.release {
        return Err(RequestError::SameKernel(kernel.release.clone()).into());
    }
    if let Some(name) = name.filter(|name| !system.layout.package_dir(name).is_dir()) {
        return Err(PackageError::Unknown(name.to_owned()).into());
    }
    let mut wanted = Vec::new();
    for package in
        state::all_packages(&system.layout).into_iter().filter(|p| name.is_none_or(|n| n == p.name))
    {
        if state::build_state(&system.layout, &Build::new(&package, template)) != BuildState::Installed {
            continue;
        }
        match add::refuse_broken(&system.layout, &package) {
            Ok(()) => wanted.push(Build::new(&package, kernel)),
            Err(e) => sink.warn(e.to_string()),
        }
    }
    if wanted.is_empty() {
        let about = Operation::Nothing(format!("kernel {}", kernel.release));
        let reason = format!("has nothing to match: nothing is installed for {}", template.release);
        return Ok(Plan::of(about, reason));
    }
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.wanted(&wanted, Purpose::Install);
    Ok(changes::installs(&gatherer.state, &wanted, overrides.force).overriding(overrides))
}

/// The plan of `dkms autoinstall`, which `/etc/dkms/no-autoinstall` disables.
#[must_use]
pub fn autoinstall_if_enabled(
    system: &System,
    sink: &dyn Sink,
    kernels: &[Kernel],
    overrides: Overrides,
) -> Plan {
    let switch = system.layout.config_dir.join("no-autoinstall");
    if switch.exists() {
        let about = Operation::Nothing("autoinstall".into());
        return Plan::of(about, format!("is switched off by {}", switch.display()));
    }
    autoinstall(system, sink, kernels, overrides)
}

/// The plan of an autoinstall.
#[must_use]
pub fn autoinstall(system: &System, sink: &dyn Sink, kernels: &[Kernel], overrides: Overrides) -> Plan {
    let mut gatherer = Gatherer::new(system, sink, overrides);
    for kernel in kernels {
        gatherer.candidates(kernel);
    }
    changes::autoinstall(&gatherer.state, kernels, overrides.force).overriding(overrides)
}

/// The plan of `dkms uninstall`, `dkms unbuild` and `dkms remove`.
#[must_use]
pub fn removal(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    kernels: &[Kernel],
    depth: Depth,
    why: &str,
    overrides: Overrides,
) -> Plan {
    let mut gatherer = Gatherer::new(system, sink, overrides);
    for kernel in kernels {
        gatherer.changing(kernel);
        let build = Build::new(package, kernel);
        let facts = gatherer.presence(&build);
        gatherer.state.builds.insert(build, facts);
    }
    if state::builds(&system.layout, package).iter().any(|build| !kernels.contains(&build.kernel)) {
        gatherer.state.kept.insert(package.clone());
    }
    removal::plan(&gatherer.state, package, kernels, depth, why).overriding(overrides)
}

/// The plan of `dkms kernel_prerm`, which removes everything for a kernel, and of `dkms kernel_preinst`,
/// which removes what autoinstall installs again.
#[must_use]
pub fn clear_kernel(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    autoinstall_only: bool,
    overrides: Overrides,
) -> Plan {
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.changing(kernel);
    for package in state::all_packages(&system.layout) {
        let build = Build::new(&package, kernel);
        if !state::is_active(&system.layout, &build) && !system.layout.built_dir(&build).is_dir() {
            continue;
        }
        if let Err(e) = add::refuse_broken(&system.layout, &package) {
            sink.warn(format!("{e}; not changed"));
            continue;
        }
        if autoinstall_only {
            match load::load(system, sink, &package, kernel).and_then(load::Loaded::lenient) {
                Ok(loaded) if !loaded.conf.autoinstall => continue,
                Ok(_) => {}
                Err(e) => {
                    gatherer.unclear(kernel, package, e);
                    continue;
                }
            }
        }
        let facts = gatherer.presence(&build);
        gatherer.state.builds.insert(build, facts);
    }
    let why =
        if autoinstall_only { "autoinstall rebuilds it for the new files" } else { "the kernel is removed" };
    removal::clear_kernel(&gatherer.state, kernel, why).overriding(overrides)
}

/// Every kernel with headers (with `prebuilt=only`, every kernel), sorted as dkms orders versions, for this
/// architecture.
#[must_use]
pub fn kernels_with_headers(layout: &Layout, settings: &Settings, arch: &str) -> Vec<Kernel> {
    let mut found = state::releases(layout);
    found.retain(|release| headers::suffice(layout, settings, release));
    found.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
    found.into_iter().filter_map(|release| Kernel::from_release(release, arch).ok()).collect()
}
