//! `mkkmp`: the source package of a SUSE kernel module package, from the module's own spec file.

use super::build::{Make, Rpmbuild};
use super::{names, patched, take};
use crate::add;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::pack::tarball::{self, archive_error};
use crate::pack::{PackError, Request};
use crate::system::System;
use dkms_archive::{self, Member};
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The spec file: `--spec FILE`, relative to the source tree or any path; otherwise `M-kmp.spec` or `M.spec`
/// in the source tree.
///
/// # Errors
/// [`PackError::SpecMissing`].
pub fn find(layout: &Layout, request: &Request<'_>, named: Option<&Path>) -> Result<PathBuf> {
    let source = layout.source_link(request.package);
    let m = &request.package.name;
    let places = match named {
        Some(named) => vec![source.join(named), named.to_owned()],
        None => vec![source.join(format!("{m}-kmp.spec")), source.join(format!("{m}.spec"))],
    };
    let missing = || {
        let list: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        Error::Pack(PackError::SpecMissing { action: "mkkmp".into(), places: list.join(", ") })
    };
    places.iter().find(|p| p.exists()).cloned().ok_or_else(missing)
}

/// Where [`mkkmp`] writes: a directory, unless a file is given; the spec file decides the name.
pub fn mkkmp_place(layout: &Layout, request: &Request<'_>) -> PathBuf {
    let (directory, name) = request.place(layout, "rpm", String::new());
    if request.named.is_some() { directory.join(name) } else { directory }
}

/// Writes the source package (`.src.rpm`) from which SUSE's build service, or `rpmbuild --rebuild` on SUSE,
/// builds the packages. It contains the unchanged spec file and, as `M-V.tar.bz2`, the source with the
/// patches of dkms.conf for the first kernel. The spec file gets the macros `module_name` and
/// `module_version`, and for named kernels `kernel_versions` and `flavors` (the last part of each release).
///
/// # Errors
/// The package is not in the tree, there is no spec file, a patch does not apply, rpmbuild is missing or
/// fails, or the destination is not writable.
pub fn mkkmp(
    system: &System,
    sink: &dyn Sink,
    request: &Request<'_>,
    named: Option<&Path>,
    kernel: &Kernel,
) -> Result<Vec<PathBuf>> {
    add::require_added(&system.layout, request.package)?;
    let spec = find(&system.layout, request, named)?;
    let (directory, name) = request.place(&system.layout, "rpm", String::new());
    let epoch = request.time(&system.layout)?;
    let mut rpmbuild = Rpmbuild::new(&system.host, &system.settings, "make a kernel module package", epoch)?;
    tarball::require_writable(&directory)?;
    let (m, v) = (&request.package.name, &request.package.version);
    let b = Build::new(request.package, kernel);
    source_archive(system, sink, &b, &rpmbuild, epoch)?;
    let file = rpmbuild.path().join("SPECS").join(format!("{m}.spec"));
    fs::write_atomic(&file, &fs::read_bounded(&spec, fs::Limit::CONFIG)?, 0o644)?;
    rpmbuild.define("module_name", &names::plain(m));
    rpmbuild.define("module_version", &names::plain(v));
    if !request.kernels.is_empty() {
        let all = |part: &dyn Fn(&Kernel) -> String| {
            let mut list: Vec<String> = request.kernels.iter().map(part).collect();
            list.dedup();
            names::plain(&list.join(" "))
        };
        rpmbuild.define("kernel_versions", &all(&|k| k.release.to_string()));
        rpmbuild.define("flavors", &all(&|k| k.release.rsplit('-').next().unwrap_or_default().to_owned()));
    }
    let made = rpmbuild.run(system, sink, &file, Make::Source, Some(names::architecture(kernel)))?;
    take(sink, &made, &directory, request.named.map(|_| name))
}

/// Adds `M-V.tar.bz2` to the sources; its top directory is `M-V/`. It contains the source, patched for a
/// kernel.
///
/// # Errors
/// A patch does not apply; a file cannot be read or written.
pub(super) fn source_archive(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    rpmbuild: &Rpmbuild,
    epoch: u64,
) -> Result<()> {
    let top = format!("{}-{}", build.package.name, build.package.version);
    let loaded = load::load(system, sink, &build.package, &build.kernel)?.strict()?;
    let dir = rpmbuild.path().join("tree");
    patched(system, sink, build, &loaded, &dir)?;
    let archive = rpmbuild.source(format!("{top}.tar.bz2"));
    dkms_archive::write(&archive, &[Member::path(top, &dir)], Some(epoch))
        .map_err(|e| archive_error(&archive, e))?;
    Ok(())
}
