//! Adds modules to the tree from directories, tarballs and packages: their origins.
//!
//! [`Origin::of_file`] detects the type of a file from its content, not from its name. Each origin has one
//! staging function, which finds the source and the built modules and changes nothing outside a temporary
//! directory. [`admit`] adds the staged files to the tree, in the same way for every origin. A new origin
//! needs one variant and one staging function.

mod builds;
pub(crate) mod error;
mod package;
mod source;
mod staged;
mod tarball;

use crate::add;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::package::PackageError;
use crate::request::Overrides;
use crate::system::System;
use dkms_sys::fs::{self, Limit};
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::state::{self, Registration};
use staged::{Kind, Staged};
use std::path::{Path, PathBuf};

pub use error::OriginError;
pub use package::{install_with_rpm, is_installed_by_rpm};
pub(crate) use source::is_place_of;

/// The origin of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A package that is named by MODULE/VERSION: its source is in `/usr/src/M-V`.
    Registered(PackageId),
    /// A directory with a dkms.conf.
    Directory(PathBuf),
    /// A tar archive, compressed or not: from mktarball, or any other archive of a source.
    Tarball(PathBuf),
    /// A Debian binary package.
    Deb(PathBuf),
    /// An rpm package.
    Rpm(PathBuf),
}

/// Enough bytes to distinguish the formats: tar's magic number is at offset 257.
const START: Limit = Limit::bytes(512);

impl Origin {
    /// Detects the type of a file or directory. A file in an unknown format is treated as a tarball, because
    /// the error of unpacking it names the format that was detected.
    ///
    /// # Errors
    /// It does not exist, or cannot be read; its name ends in `.rpm`, but it has an unknown format
    /// ([`OriginError::RpmFailed`]).
    pub fn of_file(path: &Path) -> Result<Self> {
        if !fs::exists_followed(path) {
            return Err(OriginError::ArchiveMissing(path.to_owned()).into());
        }
        if fs::is_dir(path) {
            return Ok(Self::Directory(path.to_owned()));
        }
        let start = if fs::is_file(path) { fs::read_start(path, START)? } else { Vec::new() };
        match Format::detect(&start) {
            Some(Format::Deb) => Ok(Self::Deb(path.to_owned())),
            Some(Format::Rpm) => Ok(Self::Rpm(path.to_owned())),
            None if path.extension().is_some_and(|end| end == "rpm") => Err(OriginError::RpmFailed {
                path: path.to_owned(),
                cause: "it is not an rpm package (its first bytes are different)".into(),
            }
            .into()),
            Some(Format::Tar) | None => Ok(Self::Tarball(path.to_owned())),
        }
    }
}

/// The format of a file.
#[derive(Debug, PartialEq, Eq)]
enum Format {
    Tar,
    Deb,
    Rpm,
}

impl Format {
    /// Detects the format from the first bytes of a file; `None` if dkms does not support the format.
    fn detect(start: &[u8]) -> Option<Self> {
        match start {
            [0xed, 0xab, 0xee, 0xdb, ..] => Some(Self::Rpm),
            _ if start.starts_with(b"!<arch>\ndebian-binary") => Some(Self::Deb),
            // gzip, xz, zstd, bzip2
            [0x1f, 0x8b, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [b'B', b'Z', b'h', ..] => Some(Self::Tar),
            _ => (start.get(257..262) == Some(b"ustar")).then_some(Self::Tar),
        }
    }
}

/// Adds a module to the tree: its source to `/usr/src/M-V`, and its built modules in the state *built*. Its
/// dkms.conf is checked for `kernel`.
///
/// # Errors
/// The file does not exist, or contains nothing for dkms; dkms.conf is missing or invalid; the package is
/// registered already.
pub fn admit(
    system: &System,
    sink: &dyn Sink,
    origin: &Origin,
    kernel: &Kernel,
    overrides: Overrides,
) -> Result<PackageId> {
    let staged = match origin {
        Origin::Registered(package) => {
            return add::add(system, sink, package, kernel, overrides).map(|()| package.clone());
        }
        Origin::Directory(directory) => source::stage(system, sink, directory, kernel)?,
        Origin::Tarball(file) => tarball::stage(system, sink, file, kernel)?,
        Origin::Deb(file) => package::stage_deb(system, sink, file, kernel)?,
        Origin::Rpm(file) => package::stage_rpm(system, sink, file, kernel)?,
    };
    source::provide(system, sink, &staged, overrides.force)?;
    let package = &staged.package;
    match (staged.kind, state::registration(&system.layout, package)) {
        (Kind::Directory, Registration::Added) => {
            return Err(PackageError::AlreadyAdded(package.clone()).into());
        }
        (_, Registration::Added) => {}
        _ => add::add(system, sink, package, kernel, overrides)?,
    }
    if staged.kind != Kind::Directory {
        let mut kernels = Vec::new();
        for directory in &staged.builds {
            kernels.extend(builds::load(system, sink, package, directory, overrides.force)?);
        }
        sink.event(Event::ArchiveLoaded { package: package.clone(), kernels });
    }
    Ok(staged.package)
}

/// Copies a source tree to the source directory of its package, unless it is there already. This is the first
/// of two steps in which a directory is added to the tree. The second step is [`add::add`].
///
/// # Errors
/// The package is registered already, and `force` is not set; copying failed.
pub(crate) fn copy_source(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    from: &Path,
    force: bool,
) -> Result<()> {
    source::provide(system, sink, &Staged::directory(package.clone(), from.to_owned()), force)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = vec![b'x'; 512];
        tar[257..263].copy_from_slice(b"ustar\0");
        type Case<'a> = (&'a str, &'a [u8], fn(PathBuf) -> Origin);
        let cases: [Case<'_>; 9] = [
            ("a.zip", b"!<arch>\ndebian-binary   1700000000", Origin::Deb),
            ("a.tar.gz", b"\xed\xab\xee\xdb\x03\x00", Origin::Rpm),
            ("no-suffix", b"\x1f\x8b\x08\x00", Origin::Tarball),
            ("a.deb", b"\xfd7zXZ\x00\x00", Origin::Tarball),
            ("a.rpm", b"\x28\xb5\x2f\xfd", Origin::Tarball),
            ("b.rpm", b"BZh91AY", Origin::Tarball),
            ("c.rpm", &tar, Origin::Tarball),
            ("text.tar.gz", b"some text", Origin::Tarball),
            ("empty", b"", Origin::Tarball),
        ];
        for (name, content, origin) in cases {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert_eq!(Origin::of_file(&path).unwrap(), origin(path), "{name}");
        }
        let directory = dir.path().to_owned();
        assert_eq!(Origin::of_file(&directory).unwrap(), Origin::Directory(directory));
        assert!(matches!(
            Origin::of_file(&dir.path().join("none")),
            Err(crate::Error::Origin(OriginError::ArchiveMissing(_)))
        ));
        std::fs::write(dir.path().join("text.rpm"), "some text").unwrap();
        assert!(matches!(
            Origin::of_file(&dir.path().join("text.rpm")),
            Err(crate::Error::Origin(OriginError::RpmFailed { .. }))
        ));
    }
}
