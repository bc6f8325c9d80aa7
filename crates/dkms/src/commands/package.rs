//! `add`, `build`, `install`, `uninstall`, `unbuild`, `remove`: what is about one package.

use super::Call;
use crate::actions::Action;
use crate::exit;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::remove::{self, Depth};
use dkms_core::{actions, add as registry, finally};

/// `dkms add`
pub fn add(call: &Call<'_>) -> Result<()> {
    call.s.require_writable_tree()?;
    let kernels = request::kernels(call.s, call.words, None)?;
    let kernel = first(&kernels)?;
    match named_or_brought(call, kernel)? {
        Subject::Named(package) => registry::add(call.s, &package, kernel),
        Subject::Brought(_) | Subject::ByRpm => Ok(()),
    }
}

/// `dkms build`
pub fn build(call: &Call<'_>) -> Result<()> {
    let kernels = request::kernels(call.s, call.words, None)?;
    match named_or_brought(call, first(&kernels)?)?.package() {
        Some(package) => actions::build_all(call.s, &package, &kernels, &exit::code),
        None => Ok(()),
    }
}

/// `dkms install`
pub fn install(call: &Call<'_>) -> Result<()> {
    let kernels = request::kernels(call.s, call.words, None)?;
    match named_or_brought(call, first(&kernels)?)?.package() {
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

/// How the package came to be known.
enum Subject {
    /// By MODULE/VERSION.
    Named(PackageId),
    /// By a directory or archive, which is in the tree now.
    Brought(PackageId),
    /// By a package of rpm, whose scriptlets have done everything.
    ByRpm,
}

impl Subject {
    fn package(self) -> Option<PackageId> {
        match self {
            Self::Named(p) | Self::Brought(p) => Some(p),
            Self::ByRpm => None,
        }
    }
}

/// A directory or archive goes into the tree first, unless MODULE/VERSION is named as well.
fn named_or_brought(call: &Call<'_>, kernel: &Kernel) -> Result<Subject> {
    if call.subject.name.is_none() && call.subject.version.is_none() {
        if let Some(archive) = &call.subject.archive {
            call.s.require_writable_tree()?;
            let brought = super::tarball::bring(call, archive, kernel)?;
            return Ok(brought.map_or(Subject::ByRpm, Subject::Brought));
        }
        if let Some(directory) = &call.subject.directory {
            call.s.require_writable_tree()?;
            return registry::add_directory(call.s, directory, kernel).map(Subject::Brought);
        }
    }
    call.subject.package(call.arguments.action_word()).map(Subject::Named)
}

fn first(kernels: &[Kernel]) -> Result<&Kernel> {
    kernels.first().ok_or_else(|| Error::KernelCount("no kernel is given".into()))
}
