//! The request for an extension.

use crate::error::Result;
use crate::request::UsageError;
use dkms_tree::ids::{Kernel, PackageId};
use std::path::Path;

/// The format of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A directory.
    Directory,
    /// A file system image of mksquashfs(1).
    Squashfs,
    /// A file system image of mkfs.erofs(1).
    Erofs,
}

impl Format {
    /// Parses the name of a format.
    ///
    /// # Errors
    /// The format is unknown.
    pub fn from_word(word: &str) -> Result<Self> {
        match word {
            "directory" => Ok(Self::Directory),
            "squashfs" => Ok(Self::Squashfs),
            "erofs" => Ok(Self::Erofs),
            _ => Err(UsageError::BadValue {
                option: "--format",
                value: word.to_owned(),
                expected: "directory, squashfs or erofs",
            }
            .into()),
        }
    }

    /// Returns the suffix of the file name.
    pub(super) fn suffix(self) -> &'static str {
        if self == Self::Directory { "" } else { ".raw" }
    }
}

/// An extension to be written.
#[derive(Clone, Debug)]
pub struct SysextRequest<'a> {
    /// The packages whose modules are included.
    pub packages: &'a [PackageId],
    /// The kernels, all of one architecture.
    pub kernels: &'a [Kernel],
    /// The file or directory to write. Its name, without `.raw`, is the name of the extension.
    pub output: Option<&'a Path>,
    /// The format.
    pub format: Format,
    /// The systems that may merge it, instead of this one: `ID`, `ID:VERSION_ID` or `_any`.
    pub os: Option<&'a str>,
    /// SYSEXT_LEVEL, which replaces VERSION_ID.
    pub level: Option<&'a str>,
    /// Whether the modules are loaded at boot.
    pub load: bool,
    /// Whether existing output is replaced.
    pub force: bool,
    /// SOURCE_DATE_EPOCH; if unset, the time of the newest module.
    pub epoch: Option<u64>,
}
