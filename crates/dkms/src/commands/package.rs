//! `add`, `build`, `install`, `uninstall`, `unbuild`, `remove`: the actions on one package.

use super::call::Call;
use crate::actions::Action;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::origin::Origin;
use dkms_core::plan::gather::{self, BuildRequest};
use dkms_core::plan::removal::Depth;
use dkms_core::plan::{Plan, Purpose};
use dkms_core::request::RequestError;
use dkms_core::{actions, add as registry, finally, remove, rpm_upgrade};

/// `dkms add`, `dkms build`, `dkms install`
pub(super) fn bring_in(call: &Call<'_>, action: Action) -> Result<()> {
    if action == Action::Add {
        call.require_writable_tree()?;
    }
    let kernels = match action {
        // A kernel is needed only to evaluate dkms.conf.
        Action::Add if call.words.releases.is_empty() => vec![request::running(call.system, call.words)?],
        _ => request::kernels_to_build(call.system, call.sink, call.words)?,
    };
    let origin = origin(call)?;
    if !matches!(origin, Origin::Registered(_)) {
        call.require_writable_tree()?;
    }
    let plan = match plan(call, action, &origin, &kernels) {
        Ok(plan) => plan,
        Err(e) => {
            record_upgrade(call, action, &origin)?;
            return Err(e);
        }
    };
    call.print_or_execute(plan, |plan| match origin {
        Origin::Registered(_) | Origin::Directory(_) => actions::execute(call.system, call.sink, plan),
        // The contents of an archive are known only after it is unpacked.
        Origin::Tarball(_) | Origin::Deb(_) | Origin::Rpm(_) => {
            match super::tarball::admit(call, &origin, first(&kernels)?)? {
                Some(package) => {
                    actions::execute(call.system, call.sink, changes(call, action, &package, &kernels, None))
                }
                None => Ok(()),
            }
        }
    })
}

/// Records an `add` for the RPM transaction even if it fails because the package is already added: that is
/// the case in an upgrade to another release of the same version.
fn record_upgrade(call: &Call<'_>, action: Action, origin: &Origin) -> Result<()> {
    let must_record = action == Action::Add && call.overrides().rpm_safe_upgrade && !call.arguments.dry_run;
    match origin {
        Origin::Registered(package) if must_record => {
            rpm_upgrade::remember(&call.system.settings, call.ui, package)
        }
        _ => Ok(()),
    }
}

fn plan(call: &Call<'_>, action: Action, origin: &Origin, kernels: &[Kernel]) -> Result<Plan> {
    let kernel = first(kernels)?;
    let (mut plan, package, conf) = match origin {
        Origin::Tarball(file) | Origin::Deb(file) | Origin::Rpm(file) => {
            return Ok(super::tarball::plan_loading(file));
        }
        Origin::Directory(directory) => {
            let (plan, package) =
                gather::add_directory(call.system, call.sink, directory, kernel, call.overrides())?;
            (plan, package, Some(directory.join("dkms.conf")))
        }
        Origin::Registered(package) => {
            if action == Action::Add {
                registry::refuse_unless_addable(&call.system.layout, package)?;
            } else {
                registry::refuse_broken(&call.system.layout, package)?;
            }
            let is_added = gather::is_added(&call.system.layout, package);
            if !is_added {
                call.require_writable_tree()?;
            }
            let conf = (!is_added).then(|| call.system.layout.source_dir(package).join("dkms.conf"));
            (gather::add(&call.system.layout, package, kernel, call.overrides())?, package.clone(), conf)
        }
    };
    plan.append(changes(call, action, &package, kernels, conf.as_deref()));
    Ok(plan)
}

/// The steps that build and install a package that is in the tree. If it is not there yet, `added_first` is
/// its dkms.conf.
fn changes(
    call: &Call<'_>,
    action: Action,
    package: &PackageId,
    kernels: &[Kernel],
    new_conf: Option<&std::path::Path>,
) -> Plan {
    let purpose = match action {
        Action::Build => Purpose::Build,
        Action::Install => Purpose::Install,
        _ => return Plan::default().overriding(call.overrides()),
    };
    let request = BuildRequest { purpose, package, kernels, new_conf };
    gather::builds(call.system, call.sink, &request, call.overrides())
}

/// `dkms uninstall`, `dkms unbuild`, `dkms remove`
pub(super) fn uninstall_or_remove(call: &Call<'_>, action: Action) -> Result<()> {
    let package = call.subject.package(action.word())?;
    registry::require_added(&call.system.layout, &package)?;
    let depth = depth(action);
    let kernels = match call.arguments.all {
        true => None,
        false => Some(request::kernels(call.system, call.words, None)?),
    };
    if let Some(kernels) = &kernels {
        request::report_default(call.system, call.sink, call.words, kernels);
    }
    let request = remove::Request {
        package: &package,
        kernels: kernels.as_deref(),
        depth,
        action: action.word(),
        overrides: call.overrides(),
    };
    call.print_or_execute(remove::plan(call.system, call.sink, &request)?, |plan| {
        let changed = remove::execute(call.system, call.sink, &request, plan)?;
        finally::once_per_command(call.system, call.sink, &changed, false);
        Ok(())
    })
}

/// The part of a package that an action removes.
fn depth(action: Action) -> Depth {
    match action {
        Action::Uninstall => Depth::Uninstall,
        Action::Unbuild => Depth::Unbuild,
        _ => Depth::Remove,
    }
}

/// What the operands name. MODULE/VERSION takes precedence over a directory or archive.
fn origin(call: &Call<'_>) -> Result<Origin> {
    let subject = call.subject;
    let path = subject.archive.as_ref().or(subject.directory.as_ref());
    match path.filter(|_| subject.name.is_none() && subject.version.is_none()) {
        Some(path) => Origin::of_file(path),
        None => subject.package(call.arguments.action_word()).map(Origin::Registered),
    }
}

fn first(kernels: &[Kernel]) -> Result<&Kernel> {
    kernels.first().ok_or_else(|| Error::Request(RequestError::NoKernel))
}
