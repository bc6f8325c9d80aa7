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
    /// It must not be registered. A source that is in its place is replaced.
    Directory,
    /// If it is registered, --force is necessary. A source that is in its place is replaced.
    Archive,
    /// A tarball of mktarball. As [`Kind::Archive`], but a source that is in its place stays unless --force
    /// is given.
    Mktarball,
    /// A tarball of mktarball without the source. A source that is in its place stays; if there is none,
    /// --force is necessary.
    BinariesOnly,
}
