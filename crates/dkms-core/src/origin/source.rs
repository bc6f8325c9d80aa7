//! Stages a source tree, and copies it to `/usr/src/M-V`.

use super::staged::{Kind, Staged};
use crate::add;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::origin::OriginError;
use crate::package::PackageError;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, Registration};
use std::path::{Path, PathBuf};

/// Stages a directory.
///
/// # Errors
/// [`OriginError::DirectoryWithoutConf`], or an invalid dkms.conf.
pub(super) fn stage(system: &System, sink: &dyn Sink, directory: &Path, kernel: &Kernel) -> Result<Staged> {
    let Ok(source) = fs::canonicalize(directory) else {
        return Err(OriginError::DirectoryWithoutConf(directory.to_owned()).into());
    };
    let package = add::identify(system, sink, &source, kernel)?;
    Ok(Staged::directory(package, source))
}

/// Copies the staged source to its directory `/usr/src/M-V`, if the rules of its origin require it.
///
/// # Errors
/// The package is already registered, and `force` is not set; copying failed.
pub(super) fn provide(system: &System, sink: &dyn Sink, staged: &Staged, force: bool) -> Result<()> {
    let package = &staged.package;
    let to = system.layout.source_dir(package);
    let is_added = state::registration(&system.layout, package) == Registration::Added;
    match staged.kind {
        Kind::Directory | Kind::Archive => {
            if is_place_of(&system.layout, package, &staged.source) {
                return Ok(());
            }
            if is_added && !force {
                return Err(PackageError::AlreadyAdded(package.clone()).into());
            }
            copy(system, sink, package, &staged.source)
        }
        Kind::Mktarball | Kind::BinariesOnly if is_added && !force => {
            Err(PackageError::WouldBeReplaced(package.clone()).into())
        }
        Kind::Mktarball if fs::is_dir(&to) && !force => {
            sink.warn(format!("{} exists and is kept (--force replaces it)", to.display()));
            Ok(())
        }
        Kind::Mktarball => copy(system, sink, package, &staged.source),
        Kind::BinariesOnly if fs::is_dir(&to) => Ok(()),
        Kind::BinariesOnly if !force => Err(OriginError::SourceMissing(to).into()),
        Kind::BinariesOnly => copy_conf(system, sink, package, &staged.source),
    }
}

/// Returns whether a directory is the source directory of this package, or the directory in which it is
/// built.
pub(crate) fn is_place_of(layout: &Layout, package: &PackageId, source: &Path) -> bool {
    let places = [layout.source_dir(package), layout.source_link(package), layout.build_dir(package)];
    places.iter().any(|place| fs::canonicalize(place).is_ok_and(|place| place == source))
}

/// Copies a source tree to `/usr/src/M-V`, completely or not at all.
fn copy(system: &System, sink: &dyn Sink, package: &PackageId, from: &Path) -> Result<()> {
    let to = system.layout.source_dir(package);
    // Fail with an error that names the directory instead of a temporary file in it.
    fs::require_writable_below(&system.layout.source_tree)?;
    let _held = crate::lock::build(system, sink, package)?;
    let staged = new_staging(&system.layout, package)?;
    dkms_tree::layers::recover(&to)?;
    let copied = fs::copy_tree(from, &staged).and_then(|left_out| {
        sink.warn_left_out(&left_out);
        if fs::exists(&to) { dkms_tree::layers::exchange(&staged, &to) } else { fs::rename(&staged, &to) }
    });
    // After an exchange, this is the old tree; after a failure, the unfinished copy.
    let cleaned = fs::remove_tree(&staged);
    copied.and(cleaned)?;
    sink.event(Event::SourceCopied { package: package.clone(), from: from.to_owned(), to });
    Ok(())
}

/// Creates a `/usr/src/M-V` that contains only a dkms.conf.
fn copy_conf(system: &System, sink: &dyn Sink, package: &PackageId, from: &Path) -> Result<()> {
    let _held = crate::lock::build(system, sink, package)?;
    let staged = new_staging(&system.layout, package)?;
    fs::create_dir_all(&staged)?;
    let done = fs::copy_file(from.join("dkms.conf"), staged.join("dkms.conf"))
        .and_then(|_| fs::rename(&staged, system.layout.source_dir(package)));
    if done.is_err() {
        fs::remove_tree(&staged)?;
    }
    Ok(done?)
}

/// Returns a temporary path next to `/usr/src/M-V`, where nothing exists.
fn new_staging(layout: &Layout, package: &PackageId) -> Result<PathBuf> {
    fs::create_dir_all(&layout.source_tree)?;
    let staged = layout.source_tree.join(format!(".{}-{}.adding", package.name, package.version));
    fs::remove_tree(&staged)?;
    Ok(staged)
}
