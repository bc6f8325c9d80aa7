//! Reads the tree and the kernels into the [`State`](super::state::State) that planning needs. Changes
//! nothing, and runs no script of a package.

use super::changes;
use super::gatherer::{Gatherer, Purpose};
use super::removal::{self, Removal};
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

/// The plan that registers a package version; empty if it is registered already.
///
/// # Errors
/// The source does not exist.
pub fn add(layout: &Layout, package: &PackageId, kernel: &Kernel, overrides: Overrides) -> Result<Plan> {
    if is_added(layout, package) {
        return Ok(Plan::default());
    }
    let source = layout.source_dir(package);
    if !source.is_dir() {
        return Err(OriginError::SourceMissing(source).into());
    }
    let operation = Operation::Add { package: package.clone(), kernel: kernel.clone() };
    Ok(Plan::single(operation, NOT_ADDED).overriding(overrides))
}

const NOT_ADDED: &str = "it is not in the tree";

/// The plan that copies a source tree to `/usr/src`, unless it is there already, and registers it. Also
/// returns the package version.
///
/// # Errors
/// The dkms.conf is missing or invalid; the package version is in the tree already.
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

/// A request to build, or to build and install, a package version for some kernels.
#[derive(Clone, Copy, Debug)]
pub struct BuildRequest<'a> {
    /// Whether it is installed too.
    pub purpose: Purpose,
    /// The package version.
    pub package: &'a PackageId,
    /// The kernels.
    pub kernels: &'a [Kernel],
    /// The path of the dkms.conf, if the package version is not registered yet.
    pub new_conf: Option<&'a Path>,
}

/// The plan of `dkms build` and `dkms install`.
#[must_use]
pub fn builds(system: &System, sink: &dyn Sink, request: &BuildRequest<'_>, overrides: Overrides) -> Plan {
    let BuildRequest { purpose, package, kernels, new_conf } = *request;
    let builds: Vec<Build> = kernels.iter().map(|kernel| Build::new(package, kernel)).collect();
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.new_package = new_conf.map(|conf| (package, conf));
    gatherer.gather_requested(&builds, purpose);
    let plan = match purpose {
        Purpose::Build => changes::builds(&gatherer.state, package, kernels, overrides.force),
        Purpose::Install => changes::installs(&gatherer.state, &builds, overrides.force),
    };
    plan.overriding(overrides)
}

/// The plan of `dkms match`: installs the packages that are installed for the kernel `template` for `kernel`
/// as well. With `name`, only the package with this name.
///
/// # Errors
/// `template` and `kernel` are the same; the named package is not in the tree.
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
    let mut requested = Vec::new();
    for package in state::all_packages(&system.layout) {
        if name.is_some_and(|name| name != package.name) {
            continue;
        }
        if state::build_state(&system.layout, &Build::new(&package, template)) != BuildState::Installed {
            continue;
        }
        match add::refuse_broken(&system.layout, &package) {
            Ok(()) => requested.push(Build::new(&package, kernel)),
            Err(e) => sink.warn(e.to_string()),
        }
    }
    if requested.is_empty() {
        let about = Operation::Nothing(format!("kernel {}", kernel.release));
        let reason = format!("has nothing to match: nothing is installed for {}", template.release);
        return Ok(Plan::single(about, reason));
    }
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.gather_requested(&requested, Purpose::Install);
    Ok(changes::installs(&gatherer.state, &requested, overrides.force).overriding(overrides))
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
        return Plan::single(about, format!("is switched off by {}", switch.display()));
    }
    autoinstall(system, sink, kernels, overrides)
}

/// The plan of an autoinstall.
#[must_use]
pub fn autoinstall(system: &System, sink: &dyn Sink, kernels: &[Kernel], overrides: Overrides) -> Plan {
    let mut gatherer = Gatherer::new(system, sink, overrides);
    for kernel in kernels {
        gatherer.gather_candidates(kernel);
    }
    changes::autoinstall(&gatherer.state, kernels, overrides.force).overriding(overrides)
}

/// The plan of `dkms uninstall`, `dkms unbuild` and `dkms remove`.
#[must_use]
pub fn removal(system: &System, sink: &dyn Sink, removal: &Removal<'_>, overrides: Overrides) -> Plan {
    let Removal { package, kernels, .. } = *removal;
    let mut gatherer = Gatherer::new(system, sink, overrides);
    for kernel in kernels {
        gatherer.gather_kernel(kernel);
        let build = Build::new(package, kernel);
        let facts = gatherer.presence(&build);
        gatherer.state.builds.insert(build, facts);
    }
    if state::builds(&system.layout, package).iter().any(|build| !kernels.contains(&build.kernel)) {
        gatherer.state.kept.insert(package.clone());
    }
    removal::plan(&gatherer.state, removal).overriding(overrides)
}

/// The plan of `dkms kernel_prerm`, which removes all builds for a kernel, and of `dkms kernel_preinst`,
/// which with `autoinstall_only` removes only the builds that autoinstall installs again.
#[must_use]
pub fn clear_kernel(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    autoinstall_only: bool,
    overrides: Overrides,
) -> Plan {
    let mut gatherer = Gatherer::new(system, sink, overrides);
    gatherer.gather_kernel(kernel);
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
                    gatherer.add_unclear(kernel, package, e);
                    continue;
                }
            }
        }
        let facts = gatherer.presence(&build);
        gatherer.state.builds.insert(build, facts);
    }
    let reason =
        if autoinstall_only { "autoinstall rebuilds it for the new files" } else { "the kernel is removed" };
    removal::clear_kernel(&gatherer.state, kernel, reason).overriding(overrides)
}

/// Returns all kernels that have headers, for this architecture. With `prebuilt=only`, returns all kernels.
/// They are sorted in dkms's order of versions.
#[must_use]
pub fn kernels_with_headers(layout: &Layout, settings: &Settings, arch: &str) -> Vec<Kernel> {
    let mut releases = state::releases(layout);
    releases.retain(|release| headers::suffice(layout, settings, release));
    releases.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
    releases.into_iter().filter_map(|release| Kernel::from_release(release, arch).ok()).collect()
}
