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
    /// Unpacked directories of built modules. Each contains `KERNEL/ARCH/{module,log}`.
    pub(super) builds: Vec<PathBuf>,
    /// The directory with the unpacked files, which is removed when this is dropped.
    pub(super) _scratch: Option<TempDir>,
}

impl Staged {
    /// Stages a source directory, which stays where it is.
    pub(super) fn directory(package: PackageId, source: PathBuf) -> Self {
        Self { package, kind: Kind::Directory, source, builds: Vec::new(), _scratch: None }
    }
}

/// The kinds of origins, for which dkms 3.x has different rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It must not be registered. An existing source directory is replaced.
    Directory,
    /// If it is registered, `--force` is required. An existing source directory is replaced.
    Archive,
    /// A tarball of mktarball. Like [`Kind::Archive`], but an existing source directory is kept without
    /// `--force`.
    Mktarball,
    /// A tarball of mktarball without the source. An existing source directory is kept. If there is none,
    /// `--force` is required.
    BinariesOnly,
}
