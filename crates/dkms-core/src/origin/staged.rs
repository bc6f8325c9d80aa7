//! The result of staging an origin.

use dkms_sys::fs::TempDir;
use dkms_tree::ids::PackageId;
use std::path::PathBuf;

/// The contents of an origin, ready to be added to the tree.
pub(super) struct Staged {
    /// The package that its dkms.conf names.
    pub(super) package: PackageId,
    /// The kind of origin, which decides which rules apply.
    pub(super) kind: Kind,
    /// The directory with its dkms.conf.
    pub(super) source: PathBuf,
    /// Unpacked directories of built modules: `KERNEL/ARCH/{module,log}` in each.
    pub(super) builds: Vec<PathBuf>,
    /// Removed when dropped.
    pub(super) _scratch: Option<TempDir>,
}

/// The rules that differ between origins, as dkms 3.x has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It must not be registered. An existing source directory is replaced.
    Directory,
    /// If it is registered, --force is necessary. An existing source directory is replaced.
    Archive,
    /// A tarball of mktarball. As [`Kind::Archive`], but an existing source directory is kept unless --force
    /// is given.
    Mktarball,
    /// A tarball of mktarball without the source. An existing source directory is kept; if it does not exist,
    /// --force is necessary.
    BinariesOnly,
}
