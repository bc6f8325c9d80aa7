//! `mkrpm`, `mkkmp` and `mkdriverdisk`: packages of modules, built with rpmbuild, without root and
//! reproducibly.

mod build;
mod disk;
mod kmp;
mod names;
mod spec;
mod template;

use crate::build::log::MakeLog;
use crate::build::prepare;
use crate::build::sandbox::{BuildSandbox, Permissions};
use crate::conf::load::Loaded;
use crate::error::Result;
use crate::event::Sink;
use crate::pack::metadata::Metadata;
use crate::pack::output::require_writable;
use crate::pack::packer::Packer;
use crate::pack::{Request, tarball};
use crate::system::System;
use crate::{add, owner};
use build::{Kind, Rpmbuild};
use dkms_sys::fs;
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

pub use disk::{mkdriverdisk, mkdriverdisk_place};
pub use kmp::{mkkmp, mkkmp_place, mkkmp_spec};

impl Request<'_> {
    /// Returns the architecture of all modules; `None` if there are no modules or several architectures, so
    /// that the package is `noarch`.
    fn architecture(&self) -> Option<&str> {
        let mut architectures = self.binaries().iter().map(names::architecture);
        let first = architectures.next()?;
        architectures.all(|other| other == first).then_some(first)
    }

    /// Returns the file name of the package of [`mkrpm`].
    fn mkrpm_file(&self) -> Result<String> {
        let (name, version) = (names::package(&self.package.name)?, names::version(&self.package.version)?);
        Ok(format!("{name}-{version}-{}.{}.rpm", spec::RELEASE, self.architecture().unwrap_or("noarch")))
    }
}

/// Returns the path that [`mkrpm`] writes. With a user's spec file but without `--archive`, this is a
/// directory, because the spec file determines the file name.
///
/// # Errors
/// rpm does not accept the name or version.
pub fn mkrpm_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    let path = request.output(layout, "rpm", request.mkrpm_file()?);
    let any_name = template::find(layout, request).is_some() && request.archive.is_none();
    Ok(if any_name { request.output_dir(layout, "rpm") } else { path })
}

/// Writes `M-V-1dkms.noarch.rpm` with the source, which dkms builds on the target. If kernels are given, it
/// also contains their built modules, as a tarball that the target's `common.postinst` loads, and the package
/// is specific to their architecture. With [`crate::pack::Content::BinariesOnly`], only the dkms.conf of the
/// source is included. A user's own spec file determines all of this itself; see `template`.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, rpm does not accept a name, rpmbuild is
/// missing or fails, or the destination is not writable.
pub fn mkrpm(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    add::require_added(&system.layout, request.package)?;
    let path = request.output(&system.layout, "rpm", request.mkrpm_file()?);
    let directory = request.output_dir(&system.layout, "rpm");
    let metadata = Metadata::read(&system.layout, request.package, request.binaries())?;
    let packer = Packer { system, sink, epoch: request.time(&system.layout)? };
    let mut rpmbuild = Rpmbuild::new(&packer, "make rpm packages")?;
    require_writable(&directory)?;
    if let Some(template) = template::find(&system.layout, request) {
        let packages = template::build(&mut rpmbuild, request, &metadata, &template)?;
        return copy_packages(&packer, &packages, &directory, request.archive.map(|_| path));
    }
    let text = own_spec(&rpmbuild, request, &metadata)?;
    let name = format!("{}.spec", request.package.name);
    let packages = rpmbuild.run(&name, text.as_bytes(), Kind::Binary, request.architecture())?;
    copy_packages(&packer, &packages, &directory, Some(path))
}

/// Returns our own spec file. Adds the files that the package installs to the sources.
fn own_spec(rpmbuild: &Rpmbuild<'_>, request: &Request<'_>, metadata: &Metadata) -> Result<String> {
    let packer = rpmbuild.packer;
    let (package, kernels) = (request.package, request.binaries());
    let (name, version) = (&package.name, &package.version);
    let rpm_version = names::version(version)?;
    let source = request.source_dir(&packer.system.layout)?;
    let mut files = vec![format!("/usr/src/{name}-{version}")];
    if !kernels.is_empty() {
        files.push(format!("/usr/share/{name}"));
    }
    let members = tarball::members_for_dkms(packer, request, name, &rpmbuild.source(""))?;
    rpmbuild.write_archive(spec::ROOT, &members)?;
    let (kind, mut description) = if request.with_source() {
        let first = format!("The source of the kernel module {name}, version {version}.");
        ("source for dkms", vec![first, "dkms builds it for the kernels whose headers are installed.".into()])
    } else {
        ("built for dkms", vec![format!("The kernel module {name}, version {version}, for dkms to install.")])
    };
    description.extend(kernels.iter().map(|kernel| format!("Built for kernel {}.", kernel.release)));
    let mut dependencies: Vec<String> =
        ["Requires: dkms", "Requires(post): dkms", "Requires(preun): dkms"].map(str::to_owned).into();
    dependencies.extend(spec::modaliases(metadata, &rpm_version));
    Ok(spec::Spec {
        name: names::package(name)?,
        version: &rpm_version,
        summary: &format!("Kernel module {name}, {kind}"),
        license: &spec::license(&source, metadata),
        noarch: request.architecture().is_none(),
        packager: request.maker(),
        dependencies: &dependencies,
        description: &description,
        scriptlets: &[("post", spec::dkms_post(package)), ("preun", spec::dkms_preun(package))],
        files: &files,
        action: "mkrpm",
        epoch: packer.epoch,
    }
    .text())
}

/// Copies the source to `dir`, and applies the patches of dkms.conf for this kernel.
fn copy_patched(packer: &Packer<'_>, build: &Build, loaded: &Loaded, dir: &Path) -> Result<()> {
    let system = packer.system;
    prepare::fresh_copy(&system.layout, packer.sink, build, dir)?;
    let names = prepare::patches_for(loaded, build)?;
    // The log is next to the copy, which must contain only the source.
    let (path, kept) = (dir.with_extension("log"), system.layout.failed_log(build));
    let log = MakeLog::create(&system.host, &path, &kept, build)?;
    let patched = apply_patches(packer, build, loaded, dir, &names, &log);
    if patched.is_err() {
        // The error of the patch is more important than a log that cannot be kept.
        let _ = kept.parent().map(fs::create_dir_all);
        let _ = fs::copy_file(&path, &kept);
    }
    patched
}

/// Applies the package's patches, with the same confinement as a build.
fn apply_patches(
    packer: &Packer<'_>,
    build: &Build,
    loaded: &Loaded,
    dir: &Path,
    names: &[&str],
    log: &MakeLog,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let Packer { system, sink, .. } = *packer;
    let policy = &loaded.conf.confine;
    let environment = crate::build::environment::for_build(&system.host, &system.settings, dir);
    let (hidden, visible) = (Vec::new(), Vec::new());
    let replaced = Vec::new();
    let permissions = Permissions { dir, seen: dir, hidden, visible, replaced, policy, environment };
    let sandbox = BuildSandbox::new(system, sink, permissions)?;
    sandbox.hand_over()?;
    let applied = prepare::patch(system, sink, build, &sandbox, names, log);
    owner::give_to_root(dir);
    applied.map(|_| ())
}

/// Copies packages to a directory, and returns their paths there. If `first` is given, it is the path of the
/// first package.
fn copy_packages(
    packer: &Packer<'_>,
    packages: &[PathBuf],
    directory: &Path,
    mut first: Option<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let copy = |package: &PathBuf| {
        let default = || directory.join(package.file_name().unwrap_or_default());
        let path = first.take().unwrap_or_else(default);
        fs::write_atomic(&path, &fs::read_bounded(package, fs::Limit::CONFIG)?, 0o644)?;
        Ok(packer.report_written(path))
    };
    packages.iter().map(copy).collect()
}
