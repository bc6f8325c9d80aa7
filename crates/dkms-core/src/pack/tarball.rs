//! `mktarball`: a package's source, its built modules, or both in one file (CONTRACT "Tarballs"). `origin`
//! loads it.

use super::output::{directory, require_writable};
use super::packer::Packer;
use super::{Content, Request};
use crate::add;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::install::InstallError;
use crate::origin::error::OriginError;
use crate::system::System;
use dkms_archive::{self, ArchiveError, Member};
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Build, PackageId};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn archive_error(path: &Path, e: ArchiveError) -> Error {
    match e {
        ArchiveError::Io(io) => Error::Io(io),
        other => Error::Origin(OriginError::BadArchive { path: path.to_owned(), cause: other.into() }),
    }
}

/// Writes a tarball to the path that [`place`] returns.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, or the destination is not writable.
pub fn make(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<()> {
    let (layout, package) = (&system.layout, request.package);
    add::require_added(layout, package)?;
    let empty = TempDir::new_in(&system.settings.tmp_location, "dkms-tarball")?;
    let mut members = built_files(layout, request, &["module", "log"])?;
    if members.is_empty() {
        let main = Member::path("dkms_main_tree", empty.path());
        members.push(Member { mode: Some(0o755), ..main });
    }
    if request.with_source() {
        // A tarball without dkms.conf would be unusable.
        fs::open_bounded(layout.conf(package), fs::Limit::CONFIG)?;
        members.push(Member::path("dkms_source_tree", layout.source_link(package)));
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        members.extend(binaries_only(system, package, request.epoch.unwrap_or(now)));
    }
    let path = place(layout, request);
    require_writable(directory(&path))?;
    let written = dkms_archive::write(&path, &members, request.epoch).map_err(|e| archive_error(&path, e))?;
    sink.warn_left_out(&written.left_out);
    sink.event(Event::ArchiveWritten { path });
    Ok(())
}

/// Returns the built files of the requested kernels as members of a tarball. `parts` selects the directories
/// of each build.
fn built_files(layout: &Layout, request: &Request<'_>, parts: &[&str]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for kernel in request.binaries() {
        let build = Build::new(request.package, kernel);
        if !layout.module_dir(&build).is_dir() {
            return Err(InstallError::NothingBuilt(build).into());
        }
        for part in parts {
            let path = layout.built_dir(&build).join(part);
            if path.is_dir() {
                let name = format!("dkms_main_tree/{}/{}/{part}", kernel.release, kernel.arch);
                members.push(Member::path(name, path));
            }
        }
    }
    Ok(members)
}

/// Returns the files that tell `ldtarball` which package it is, for a tarball without the source.
fn binaries_only(system: &System, package: &PackageId, mtime: u64) -> [Member; 3] {
    let line = |text: &str| format!("{text}\n").into_bytes();
    let conf = system.settings.conf_file.clone().unwrap_or_else(|| system.layout.conf(package));
    [
        Member::bytes("dkms_binaries_only/PACKAGE_NAME", line(&package.name), mtime),
        Member::bytes("dkms_binaries_only/PACKAGE_VERSION", line(&package.version), mtime),
        Member::path("dkms_binaries_only/dkms.conf", conf),
    ]
}

/// Writes a tarball of the requested built modules to `path`. The logs are left out: they contain build
/// times, and the same modules must produce the same bytes.
///
/// # Errors
/// Nothing is built for a kernel; a file cannot be read or written.
pub(super) fn write_modules(packer: &Packer<'_>, request: &Request<'_>, path: &Path) -> Result<()> {
    let mut members = built_files(&packer.system.layout, request, &["module"])?;
    members.extend(binaries_only(packer.system, request.package, packer.epoch));
    dkms_archive::write(path, &members, Some(packer.epoch)).map_err(|e| archive_error(path, e))?;
    Ok(())
}

/// Returns the files of a package that dkms builds after installation: the source, or only its dkms.conf, in
/// `usr/src/M-V`; and, if kernels are requested, their built modules in `usr/share/SHARE`, as a tarball that
/// `common.postinst` loads. The tarball is created in `scratch`.
pub(super) fn members_for_dkms(
    packer: &Packer<'_>,
    request: &Request<'_>,
    share: &str,
    scratch: &Path,
) -> Result<Vec<Member>> {
    let name = format!("{}-{}", request.package.name, request.package.version);
    let source = request.source_dir(&packer.system.layout)?;
    let mut members = vec![if request.with_source() {
        Member::path(format!("usr/src/{name}"), source)
    } else {
        Member::path(format!("usr/src/{name}/dkms.conf"), source.join("dkms.conf"))
    }];
    if !request.binaries().is_empty() {
        let file = format!("{name}.dkms.tar.gz");
        let tarball = scratch.join(&file);
        write_modules(packer, request, &tarball)?;
        members.push(Member::path(format!("usr/share/{share}/{file}"), tarball));
    }
    Ok(members)
}

/// Returns the path of the tarball.
pub fn place(layout: &Layout, request: &Request<'_>) -> PathBuf {
    let kernels = request.kernels.iter().map(|kernel| format!("kernel{}-{}", kernel.release, kernel.arch));
    let list = match request.content {
        Content::SourceOnly => "source-only".to_owned(),
        _ => kernels.collect::<Vec<_>>().join("-"),
    };
    // dkms 3 counts the newline after the list.
    let list = if list.chars().count() + 1 > 200 { "manykernels" } else { &list };
    let file = format!("{}-{}-{list}.dkms.tar.gz", request.package.name, request.package.version);
    request.output(layout, "tarball", file)
}
