//! Checks that paths from records, and links in the trees, stay beneath the tree that they belong to.

use crate::error::{Error, Result};
use crate::ids::{Build, PackageId};
use crate::layout::Layout;
use dkms_sys::fs::{self, Escape, Last, find_escape};
use std::path::{Path, PathBuf};

/// The trees of one system.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a> {
    /// Their paths.
    pub layout: &'a Layout,
    /// Whether they belong to a system in another root directory (`--root`). Links there must not point
    /// outside it.
    pub other_root: bool,
}

/// Returns where a path leaves `/lib/modules/K`; `None` if it does not.
///
/// The administrator may have made that directory itself a link to another place. In another root this is not
/// accepted, because links there must not point outside it.
///
/// # Errors
/// A directory or link on the path cannot be examined.
pub fn kernel_escape(trees: Trees<'_>, release: &str, path: &Path, last: Last) -> Result<Option<Escape>> {
    let modules = trees.layout.kernel_modules(release);
    if fs::is_symlink(&modules) {
        let escape = find_escape(&trees.layout.install_tree, &modules, Last::Followed)?;
        let trusted =
            !trees.other_root && fs::symlink_metadata(&modules).is_ok_and(|link| is_of_root_or_us(&link));
        if let Some(escape) = escape.filter(|_| !trusted) {
            return Ok(Some(escape));
        }
    }
    Ok(find_escape(modules, path, last)?)
}

fn is_of_root_or_us(link: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    link.uid() == 0 || link.uid() == dkms_sys::sys::effective_uid()
}

/// Refuses a path from a record if it leaves `/lib/modules/K`.
///
/// # Errors
/// [`Error::LeavesTree`].
pub fn in_kernel(trees: Trees<'_>, build: &Build, path: &Path) -> Result<()> {
    refuse(path, kernel_escape(trees, &build.kernel.release, path, Last::Name)?)
}

/// Refuses a path that leaves the dkms tree.
///
/// # Errors
/// [`Error::LeavesTree`].
pub fn in_tree(layout: &Layout, path: &Path) -> Result<()> {
    refuse(path, find_escape(&layout.dkms_tree, path, Last::Followed)?)
}

fn refuse(path: &Path, escape: Option<Escape>) -> Result<()> {
    match escape {
        Some(escape) => Err(Error::LeavesTree { path: path.to_owned(), outside: escape.into() }),
        None => Ok(()),
    }
}

/// Refuses a tree in which a file of dkms itself is a link that points out of the tree: a write to that file
/// would follow the link.
///
/// # Errors
/// [`Error::LeavesTree`].
pub fn check_own_files(layout: &Layout) -> Result<()> {
    let own = [
        layout.lock_dir(),
        layout.journal_dir(),
        layout.building_dir(),
        layout.recovery_log(),
        layout.post_transaction_log(),
    ];
    own.iter().try_for_each(|path| in_tree(layout, path))
}

/// Refuses a package version whose directories contain a link that points out of the tree. `source` is an
/// exception, because it is only read.
///
/// # Errors
/// [`Error::LeavesTree`].
pub fn check_package(layout: &Layout, package: &PackageId) -> Result<()> {
    let version = layout.version_dir(package);
    for dir in [layout.package_dir(&package.name), version.clone(), layout.originals_root(&package.name)] {
        in_tree(layout, &dir)?;
    }
    let source = layout.source_link(package);
    // Links deeper than M/V/K/A/module do not matter.
    links_below(&version, 4)
        .into_iter()
        .filter(|link| *link != source)
        .try_for_each(|link| in_tree(layout, &link))
}

/// Returns whether this is a build directory. Links in sources may point anywhere.
fn holds_sources(name: &std::ffi::OsStr) -> bool {
    name == "build" || name.as_encoded_bytes().starts_with(b".")
}

fn links_below(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => found.push(entry.path()),
            Ok(kind) if kind.is_dir() && depth > 1 && !holds_sources(&entry.file_name()) => {
                found.extend(links_below(&entry.path(), depth - 1));
            }
            _ => {}
        }
    }
    found
}
