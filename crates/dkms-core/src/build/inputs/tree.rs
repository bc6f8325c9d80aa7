//! The files that kernel headers consist of.

use dkms_sys::fs::Scanned;
use std::path::PathBuf;

/// The values of a kernel's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The headers.
    pub headers: String,
    /// The programs and makefiles of the build, where they are a package of their own.
    pub kbuild: Option<String>,
}

/// A directory that the headers consist of, or a file to which they link.
pub(super) struct Tree {
    pub(super) path: PathBuf,
    pub(super) entries: Vec<Scanned>,
}
