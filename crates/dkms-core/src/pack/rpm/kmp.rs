//! `mkkmp`: the source package of a SUSE kernel module package, from the module's own spec file.

use super::build::{Kind, Rpmbuild};
use super::{copy_packages, copy_patched, names};
use crate::add;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::pack::output::require_writable;
use crate::pack::packer::Packer;
use crate::pack::{PackError, Request};
use crate::system::System;
use dkms_archive::Member;
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Finds the spec file of [`mkkmp`]: `--spec FILE`, where FILE is relative to the source tree or any path;
/// otherwise `M-kmp.spec` or `M.spec` in the source tree.
///
/// # Errors
/// [`PackError::SpecMissing`].
pub fn mkkmp_spec(layout: &Layout, request: &Request<'_>, spec: Option<&Path>) -> Result<PathBuf> {
    find_spec(layout, request, spec, "mkkmp")
}

/// Like [`mkkmp_spec`], for any action.
pub(super) fn find_spec(
    layout: &Layout,
    request: &Request<'_>,
    spec: Option<&Path>,
    action: &'static str,
) -> Result<PathBuf> {
    let source = layout.source_link(request.package);
    let module = &request.package.name;
    let places = match spec {
        Some(spec) => vec![source.join(spec), spec.to_owned()],
        None => vec![source.join(format!("{module}-kmp.spec")), source.join(format!("{module}.spec"))],
    };
    let missing = || {
        let list: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        Error::Pack(PackError::SpecMissing { action, places: list.join(", ") })
    };
    places.iter().find(|p| p.exists()).cloned().ok_or_else(missing)
}

/// Returns the output path of [`mkkmp`]: that of `--archive`, otherwise a directory, because the spec file
/// determines the file name.
pub fn mkkmp_place(layout: &Layout, request: &Request<'_>) -> PathBuf {
    archive_path(layout, request).unwrap_or_else(|| request.output_dir(layout, "rpm"))
}

fn archive_path(layout: &Layout, request: &Request<'_>) -> Option<PathBuf> {
    request.archive.map(|_| request.output(layout, "rpm", String::new()))
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
    spec: Option<&Path>,
    kernel: &Kernel,
) -> Result<Vec<PathBuf>> {
    add::require_added(&system.layout, request.package)?;
    let spec = mkkmp_spec(&system.layout, request, spec)?;
    let directory = request.output_dir(&system.layout, "rpm");
    let packer = Packer { system, sink, epoch: request.time(&system.layout)? };
    let mut rpmbuild = Rpmbuild::new(&packer, "make a kernel module package")?;
    require_writable(&directory)?;
    let (module, version) = (&request.package.name, &request.package.version);
    write_source_archive(&rpmbuild, &Build::new(request.package, kernel))?;
    rpmbuild.define("module_name", &names::plain(module));
    rpmbuild.define("module_version", &names::plain(version));
    if !request.kernels.is_empty() {
        let list = |part: &dyn Fn(&Kernel) -> String| {
            let mut parts: Vec<String> = request.kernels.iter().map(part).collect();
            parts.dedup();
            names::plain(&parts.join(" "))
        };
        rpmbuild.define("kernel_versions", &list(&|k| k.release.to_string()));
        rpmbuild.define("flavors", &list(&|k| k.release.rsplit('-').next().unwrap_or_default().to_owned()));
    }
    let (text, target) = (fs::read_bounded(&spec, fs::Limit::CONFIG)?, names::architecture(kernel));
    let packages = rpmbuild.run(&format!("{module}.spec"), &text, Kind::Source, Some(target))?;
    copy_packages(&packer, &packages, &directory, archive_path(&system.layout, request))
}

/// Adds `M-V.tar.bz2` to the sources; its top directory is `M-V/`. It contains the source, patched for a
/// kernel.
///
/// # Errors
/// A patch does not apply; a file cannot be read or written.
pub(super) fn write_source_archive(rpmbuild: &Rpmbuild<'_>, build: &Build) -> Result<()> {
    let Packer { system, sink, .. } = *rpmbuild.packer;
    let name = format!("{}-{}", build.package.name, build.package.version);
    let loaded = load::load(system, sink, &build.package, &build.kernel)?.strict()?;
    let dir = rpmbuild.path().join("tree");
    copy_patched(rpmbuild.packer, build, &loaded, &dir)?;
    rpmbuild.write_archive(&format!("{name}.tar.bz2"), &[Member::path(name, &dir)])
}
