//! `add`, `build`, `install`, `uninstall`, `unbuild`, `remove`: the actions on one package.

use super::Call;
use crate::cli::Action;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::plan::removal::Depth;
use dkms_core::plan::{Plan, gather};
use dkms_core::remove;
use dkms_core::{actions, add as registry, finally, rpm_upgrade};

/// `dkms add`, `dkms build`, `dkms install`
pub fn bring_in(call: &Call<'_>, action: Action) -> Result<()> {
    call.ban_all()?;
    match action {
        Action::Add => call.require_writable_tree()?,
        Action::Install => call.require_root()?,
        _ => {}
    }
    let kernels = request::kernels(call.s, call.words, None)?;
    let subject = Subject::of(call)?;
    let plan = match plan(call, action, &subject, &kernels) {
        Ok(plan) => plan,
        Err(e) => {
            remember_upgrade(call, action, &subject)?;
            return Err(e);
        }
    };
    call.print_or_execute(plan, |plan| match subject {
        Subject::Archive(archive) => {
            let Some(package) = super::tarball::bring(call, &archive, first(&kernels)?)? else {
                return Ok(());
            };
            actions::execute(call.s, changes(call, action, &package, &kernels, None))
        }
        _ => actions::execute(call.s, plan),
    })
}

/// Records an add for the RPM transaction also where nothing can be added: an upgrade to another release of the same version
/// adds what is there already.
fn remember_upgrade(call: &Call<'_>, action: Action, subject: &Subject) -> Result<()> {
    let is_recorded = action == Action::Add && call.s.options.rpm_safe_upgrade && !call.arguments.dry_run;
    match subject {
        Subject::Named(package) if is_recorded => rpm_upgrade::remember(call.s, package),
        _ => Ok(()),
    }
}

fn plan(call: &Call<'_>, action: Action, subject: &Subject, kernels: &[Kernel]) -> Result<Plan> {
    let kernel = first(kernels)?;
    let (mut plan, package) = match subject {
        Subject::Archive(archive) => return super::tarball::plan_loading(archive),
        Subject::Directory(directory) => gather::add_directory(call.s, directory, kernel)?,
        Subject::Named(package) => {
            if action == Action::Add {
                registry::refuse_unless_addable(call.s, package)?;
            } else {
                registry::refuse_broken(call.s, package)?;
            }
            if !gather::is_added(call.s, package) {
                call.require_writable_tree()?;
            }
            (gather::add(call.s, package, kernel)?, package.clone())
        }
    };
    let conf = match subject {
        Subject::Directory(directory) => Some(directory.join("dkms.conf")),
        _ if plan.is_empty() => None,
        _ => Some(call.s.layout.source_dir(&package).join("dkms.conf")),
    };
    plan.append(changes(call, action, &package, kernels, conf.as_deref()));
    Ok(plan)
}

/// What is built and installed once the package is in the tree.
fn changes(
    call: &Call<'_>,
    action: Action,
    package: &PackageId,
    kernels: &[Kernel],
    added_first: Option<&std::path::Path>,
) -> Plan {
    match action {
        Action::Build => gather::builds(call.s, package, kernels, added_first),
        Action::Install => gather::installs(call.s, package, kernels, added_first),
        _ => Plan::default(),
    }
}

/// `dkms uninstall`, `dkms unbuild`, `dkms remove`
pub fn take_back(call: &Call<'_>, action: Action) -> Result<()> {
    let package = call.subject.package(action.word())?;
    registry::require_added(call.s, &package)?;
    let depth = depth(action);
    if depth == Depth::Uninstall {
        call.require_root()?;
    }
    let kernels = match call.arguments.all {
        true => None,
        false => Some(request::kernels(call.s, call.words, None)?),
    };
    let request =
        remove::Request { package: &package, kernels: kernels.as_deref(), depth, action: action.word() };
    call.print_or_execute(remove::plan(call.s, &request)?, |plan| {
        let changed = remove::execute(call.s, &request, plan)?;
        finally::once_per_command(call.s, &changed, false);
        Ok(())
    })
}

/// How far an action takes a package back.
fn depth(action: Action) -> Depth {
    match action {
        Action::Uninstall => Depth::Uninstall,
        Action::Unbuild => Depth::Unbuild,
        _ => Depth::Remove,
    }
}

/// What `add`, `build` and `install` are about.
enum Subject {
    /// A package version.
    Named(PackageId),
    /// A source tree, which is added first.
    Directory(std::path::PathBuf),
    /// An archive or a package, which is loaded first.
    Archive(std::path::PathBuf),
}

impl Subject {
    /// A directory or archive counts only where no package version is named.
    fn of(call: &Call<'_>) -> Result<Self> {
        let subject = call.subject;
        if subject.name.is_none() && subject.version.is_none() {
            let brought = match (&subject.archive, &subject.directory) {
                (Some(archive), _) => Some(Self::Archive(archive.clone())),
                (None, Some(directory)) => Some(Self::Directory(directory.clone())),
                (None, None) => None,
            };
            if let Some(brought) = brought {
                call.require_writable_tree()?;
                return Ok(brought);
            }
        }
        call.subject.package(call.arguments.action_word()).map(Self::Named)
    }
}

fn first(kernels: &[Kernel]) -> Result<&Kernel> {
    kernels.first().ok_or_else(|| Error::KernelCount("no kernel is given".into()))
}
