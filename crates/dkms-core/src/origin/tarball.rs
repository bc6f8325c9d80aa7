//! Stages tarballs: those of mktarball, and others that contain a dkms.conf.

use super::staged::{Kind, Staged};
use crate::add;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::origin::OriginError;
use crate::pack::tarball::archive_error;
use crate::system::System;
use dkms_archive::{self, Limits, Unpacked};
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::Kernel;
use std::path::{Path, PathBuf};

/// Unpacks a tarball and finds the source and the built modules in it.
///
/// # Errors
/// It is not a tar archive, or contains something that must not be unpacked; dkms.conf is missing or invalid.
pub(super) fn stage(system: &System, sink: &dyn Sink, file: &Path, kernel: &Kernel) -> Result<Staged> {
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-ldtarball")?;
    let root = scratch.path().join("content");
    let unpacked =
        dkms_archive::unpack(file, &root, &Limits::default()).map_err(|e| archive_error(file, e))?;
    let main = root.join("dkms_main_tree");
    let (kind, source, builds) = if fs::is_dir(&main) {
        let (kind, source) = source_of_mktarball(file, &root)?;
        (kind, source, vec![main])
    } else {
        let source = shallowest_source(&root)
            .ok_or_else(|| Error::Origin(OriginError::ArchiveWithoutConf(file.to_owned())))?;
        (Kind::Archive, source, Vec::new())
    };
    for directory in builds.iter().chain([&source]) {
        refuse_leaving_links(file, &unpacked, &root, directory)?;
    }
    let package = add::identify(system, sink, &source, kernel)?;
    Ok(Staged { package, kind, source, builds, _scratch: Some(scratch) })
}

/// Finds the source in a tarball of mktarball.
fn source_of_mktarball(file: &Path, root: &Path) -> Result<(Kind, PathBuf)> {
    let places = [("dkms_source_tree", Kind::Mktarball), ("dkms_binaries_only", Kind::BinariesOnly)];
    for (name, kind) in places {
        let source = root.join(name);
        if fs::is_file(source.join("dkms.conf")) {
            return Ok((kind, source));
        }
    }
    Err(OriginError::BadArchive {
        path: file.to_owned(),
        cause: "neither dkms_source_tree nor dkms_binaries_only in it has a dkms.conf".into(),
    }
    .into())
}

/// Refuses a link that points out of a directory that is used, but not out of the archive.
fn refuse_leaving_links(file: &Path, unpacked: &Unpacked, root: &Path, directory: &Path) -> Result<()> {
    let inside = directory.strip_prefix(root).unwrap_or(directory).to_string_lossy().into_owned();
    match unpacked.link_leaving(&inside) {
        Some(entry) => Err(OriginError::BadArchive {
            path: file.to_owned(),
            cause: format!("its link {} points out of {inside}", entry.name).into(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Finds the directory with a dkms.conf that is nearest to the root.
fn shallowest_source(root: &Path) -> Option<PathBuf> {
    let mut level = vec![root.to_path_buf()];
    while !level.is_empty() {
        if let Some(dir) = level.iter().find(|dir| fs::is_file(dir.join("dkms.conf"))) {
            return Some(dir.clone());
        }
        let mut deeper = Vec::new();
        for dir in &level {
            let names = fs::list_dir(dir).unwrap_or_default();
            deeper.extend(names.into_iter().map(|name| dir.join(name)).filter(|path| fs::is_real_dir(path)));
        }
        deeper.sort();
        level = deeper;
    }
    None
}
