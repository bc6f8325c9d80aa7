//! `add`, `build`, `install`, `uninstall`, `unbuild`, `remove`: what is about one package.

use super::Call;
use crate::actions::Action;
use crate::exit;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::origin::Origin;
use dkms_core::remove::{self, Depth};
use dkms_core::request::RequestError;
use dkms_core::{actions, add as registry, finally};

/// `dkms add`
pub fn add(call: &Call<'_>) -> Result<()> {
    call.s.require_writable_tree()?;
    let kernels = request::kernels(call.s, call.words, None)?;
    let kernel = first(&kernels)?;
    super::tarball::admit(call, &origin(call)?, kernel).map(|_| ())
}

/// `dkms build`
pub fn build(call: &Call<'_>) -> Result<()> {
    let kernels = request::kernels(call.s, call.words, None)?;
    match admitted(call, first(&kernels)?)? {
        Some(package) => actions::build_all(call.s, &package, &kernels, &exit::code),
        None => Ok(()),
    }
}

/// `dkms install`
pub fn install(call: &Call<'_>) -> Result<()> {
    let kernels = request::kernels(call.s, call.words, None)?;
    match admitted(call, first(&kernels)?)? {
        Some(package) => actions::install_all(call.s, &package, &kernels, &exit::code),
        None => Ok(()),
    }
}

/// `dkms uninstall`, `dkms unbuild`, `dkms remove`
pub fn take_back(call: &Call<'_>, action: Action) -> Result<()> {
    let package = call.subject.package(action.word())?;
    registry::require_added(call.s, &package)?;
    let depth = depth(action);
    let kernels = match call.arguments.all {
        true => None,
        false => Some(request::kernels(call.s, call.words, None)?),
    };
    let changed = remove::take_back(call.s, &package, kernels.as_deref(), depth)?;
    finally::once_per_command(call.s, &changed, false);
    Ok(())
}

/// How far an action takes a package back.
pub fn depth(action: Action) -> Depth {
    match action {
        Action::Uninstall => Depth::Uninstall,
        Action::Unbuild => Depth::Unbuild,
        _ => Depth::Remove,
    }
}

/// The package to build or install: the one that is named, or the one in a directory or archive, which goes into the tree
/// first. `None`: rpm has done everything.
fn admitted(call: &Call<'_>, kernel: &Kernel) -> Result<Option<PackageId>> {
    match origin(call)? {
        Origin::Registered(package) => Ok(Some(package)),
        origin => {
            call.s.require_writable_tree()?;
            super::tarball::admit(call, &origin, kernel)
        }
    }
}

/// What the operands name. MODULE/VERSION comes before a directory or archive that is named as well.
fn origin(call: &Call<'_>) -> Result<Origin> {
    let subject = call.subject;
    let path = subject.archive.as_ref().or(subject.directory.as_ref());
    match path.filter(|_| subject.name.is_none() && subject.version.is_none()) {
        Some(path) => Origin::of_file(path),
        None => subject.package(call.arguments.action_word()).map(Origin::Registered),
    }
}

fn first(kernels: &[Kernel]) -> Result<&Kernel> {
    kernels.first().ok_or_else(|| Error::Request(RequestError::KernelCount("no kernel is given".into())))
}
