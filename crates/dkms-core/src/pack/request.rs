//! The request for a package or a tarball.

use super::output::newest;
use crate::error::Result;
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The maintainer of a package if none is given, at a reserved domain (RFC 2606).
const UNNAMED_MAKER: &str = "made by dkms <dkms@example.org>";

/// What a package or a tarball contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Source and built modules.
    Both,
    /// `--source-only`
    SourceOnly,
    /// `--binaries-only`
    BinariesOnly,
}

/// A package or tarball to be created.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The package version; it must be in the tree.
    pub package: &'a PackageId,
    /// The kernels whose modules are included. If the list is empty, the package contains only the source.
    pub kernels: &'a [Kernel],
    /// What the package contains.
    pub content: Content,
    /// `--archive`: a file name in the default directory, or a path.
    pub archive: Option<&'a Path>,
    /// SOURCE_DATE_EPOCH; if unset, the time of the newest included file.
    pub epoch: Option<u64>,
    /// `NAME <ADDRESS>` of the maintainer of the package.
    pub maker: Option<&'a str>,
}

impl Request<'_> {
    pub(crate) fn with_source(&self) -> bool {
        self.content != Content::BinariesOnly
    }

    pub(crate) fn with_binaries(&self) -> bool {
        self.content != Content::SourceOnly
    }

    /// The kernels whose modules are actually included.
    pub(crate) fn binaries(&self) -> &[Kernel] {
        if self.with_binaries() { self.kernels } else { &[] }
    }

    pub(crate) fn maker(&self) -> &str {
        self.maker.unwrap_or(UNNAMED_MAKER)
    }

    /// SOURCE_DATE_EPOCH, or the time of the newest included file, in seconds since 1970.
    pub(crate) fn time(&self, layout: &Layout) -> Result<u64> {
        if let Some(epoch) = self.epoch {
            return Ok(epoch);
        }
        let source = self.source_dir(layout)?;
        let builds = self.binaries().iter().map(|kernel| Build::new(self.package, kernel));
        let mut included: Vec<PathBuf> = builds.map(|build| layout.module_dir(&build)).collect();
        included.push(if self.with_source() { source } else { source.join("dkms.conf") });
        Ok(newest(&included))
    }

    /// The directory with the package's source.
    pub(crate) fn source_dir(&self, layout: &Layout) -> Result<PathBuf> {
        Ok(fs::canonicalize(layout.source_link(self.package))?)
    }

    /// The directory that is written to: that of `--archive`, otherwise `M/V/folder`.
    pub(crate) fn output_dir(&self, layout: &Layout, folder: &str) -> PathBuf {
        let named = self.archive.and_then(Path::parent).filter(|dir| !dir.as_os_str().is_empty());
        named.map_or_else(|| layout.version_dir(self.package).join(folder), Path::to_owned)
    }

    /// The file that is written: that of `--archive`, otherwise `M/V/folder/file`.
    pub(crate) fn output(&self, layout: &Layout, folder: &str, file: String) -> PathBuf {
        let name = self.archive.map(|path| path.file_name().unwrap_or_default().to_owned());
        self.output_dir(layout, folder).join(name.unwrap_or_else(|| file.into()))
    }
}
