//! `mkrpm`, `mkkmp` and `mkdriverdisk`: packages of modules, built with rpmbuild, without root and
//! reproducibly. Also the opposite direction: extracts modules from packages on systems where rpm does not
//! install packages.

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
use crate::event::{Event, Sink};
use crate::pack::tarball::{self, archive_error};
use crate::pack::{self, Inside, Request};
use crate::system::System;
use crate::{add, owner};
use build::{Make, Rpmbuild};
use dkms_archive::{self, Member};
use dkms_sys::fs;
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

pub use disk::{mkdriverdisk, mkdriverdisk_place};
pub use kmp::{find as mkkmp_spec, mkkmp, mkkmp_place};

impl Request<'_> {
    /// The architecture of all modules; `None` (any) if there are no modules or several architectures.
    fn architecture(&self) -> Option<&str> {
        let mut all = self.binaries().iter().map(names::architecture);
        let first = all.next()?;
        all.all(|a| a == first).then_some(first)
    }

    fn mkrpm_file(&self) -> Result<String> {
        let (name, version) = (names::package(&self.package.name)?, names::version(&self.package.version)?);
        Ok(format!("{name}-{version}-{}.{}.rpm", spec::RELEASE, self.architecture().unwrap_or("noarch")))
    }
}

/// The path that [`mkrpm`] writes; with a user's spec file, that file decides the name.
///
/// # Errors
/// rpm does not accept the name or version.
pub fn mkrpm_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    let (directory, name) = request.place(layout, "rpm", request.mkrpm_file()?);
    let free = template::find(layout, request).is_some() && request.named.is_none();
    Ok(if free { directory } else { directory.join(name) })
}

/// Writes `M-V-1dkms.noarch.rpm` with the source, which dkms builds on the target. If kernels are given, it
/// also contains their built modules, as a tarball that the target's `common.postinst` loads, and the package
/// is specific to their architecture. Without the source ([`crate::pack::tarball::Content::BinariesOnly`]) it
/// contains only the dkms.conf. A user's own spec file decides all of this itself; see `template`.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, rpm does not accept a name, rpmbuild is
/// missing or fails, or the destination is not writable.
pub fn mkrpm(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    add::require_added(&system.layout, request.package)?;
    let (directory, name) = request.place(&system.layout, "rpm", request.mkrpm_file()?);
    let inside = Inside::read(&system.layout, request.package, request.binaries())?;
    let epoch = request.time(&system.layout)?;
    let rpmbuild = Rpmbuild::new(&system.host, &system.settings, "make rpm packages", epoch)?;
    tarball::require_writable(&directory)?;
    if let Some(template) = template::find(&system.layout, request) {
        let (made, _kept) = template::build(system, sink, request, &template, rpmbuild)?;
        return take(sink, &made, &directory, request.named.map(|_| name));
    }
    let text = own_spec(system, request, &inside, &rpmbuild, epoch)?;
    let made = run(
        system,
        sink,
        &rpmbuild,
        &format!("{}.spec", request.package.name),
        &text,
        request.architecture(),
    )?;
    take(sink, &made, &directory, Some(name))
}

/// Writes our own spec file and runs rpmbuild on it.
fn run(
    system: &System,
    sink: &dyn Sink,
    rpmbuild: &Rpmbuild,
    name: &str,
    text: &str,
    target: Option<&str>,
) -> Result<Vec<PathBuf>> {
    let file = rpmbuild.path().join("SPECS").join(name);
    fs::write_atomic(&file, text.as_bytes(), 0o644)?;
    rpmbuild.run(system, sink, &file, Make::Binary, target)
}

/// Our own spec file, and next to it the files that the package installs.
fn own_spec(
    system: &System,
    request: &Request<'_>,
    inside: &Inside,
    rpmbuild: &Rpmbuild,
    epoch: u64,
) -> Result<String> {
    let (package, kernels) = (request.package, request.binaries());
    let (m, v) = (&package.name, &package.version);
    let version = names::version(v)?;
    let source = fs::canonicalize(system.layout.source_link(package))?;
    let members = pack::for_dkms(system, request, m, &rpmbuild.source(""), epoch)?;
    let mut files = vec![format!("/usr/src/{m}-{v}")];
    if !kernels.is_empty() {
        files.push(format!("/usr/share/{m}"));
    }
    pack(rpmbuild, &members, epoch)?;
    let (what, mut description) = if request.with_source() {
        let first = format!("The source of the kernel module {m}, version {v}.");
        ("source for dkms", vec![first, "dkms builds it for the kernels whose headers are installed.".into()])
    } else {
        ("built for dkms", vec![format!("The kernel module {m}, version {v}, for dkms to install.")])
    };
    description.extend(kernels.iter().map(|k| format!("Built for kernel {}.", k.release)));
    let mut dependencies: Vec<String> =
        ["Requires: dkms", "Requires(post): dkms", "Requires(preun): dkms"].map(str::to_owned).into();
    dependencies.extend(spec::modaliases(inside, &version));
    Ok(spec::Spec {
        name: names::package(m)?,
        version: &version,
        summary: &format!("Kernel module {m}, {what}"),
        license: &spec::license(&source, inside),
        noarch: request.architecture().is_none(),
        packager: request.maker(),
        dependencies: &dependencies,
        description: &description,
        scriptlets: &[("post", spec::dkms_post(package)), ("preun", spec::dkms_preun(package))],
        files: &files,
        action: "mkrpm",
        epoch,
    }
    .text())
}

/// Adds the files of a package to the sources, named by their install paths.
fn pack(rpmbuild: &Rpmbuild, members: &[Member], epoch: u64) -> Result<()> {
    let root = rpmbuild.source(spec::ROOT);
    dkms_archive::write(&root, members, Some(epoch)).map_err(|e| archive_error(&root, e))?;
    Ok(())
}

/// A copy of the source in `dir`, with the patches of dkms.conf for this kernel.
fn patched(system: &System, sink: &dyn Sink, build: &Build, loaded: &Loaded, dir: &Path) -> Result<()> {
    prepare::fresh_copy(&system.layout, sink, build, dir)?;
    let names = prepare::patches_for(loaded, build)?;
    // Next to the copy, which must contain only the source.
    let (path, kept) = (dir.with_extension("log"), system.layout.failed_log(build));
    let log = MakeLog::create(&system.host, &path, &kept, build)?;
    let done = sandboxed_patch(system, sink, build, loaded, dir, &names, &log);
    if done.is_err() {
        let _ = kept.parent().map(fs::create_dir_all);
        let _ = fs::copy_file(&path, &kept);
    }
    done
}

/// Applies the package's patches, with the same confinement as a build.
fn sandboxed_patch(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    loaded: &Loaded,
    dir: &Path,
    names: &[&str],
    log: &MakeLog,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let policy = &loaded.conf.confine;
    let environment = crate::build::environment::for_build(&system.host, &system.settings, dir);
    let (hidden, visible) = (Vec::new(), Vec::new());
    let replaced = Vec::new();
    let permissions = Permissions { dir, seen: dir, hidden, visible, replaced, policy, environment };
    let sandbox = BuildSandbox::new(system, sink, permissions)?;
    sandbox.hand_over()?;
    let done = prepare::patch(system, sink, build, &sandbox, names, log);
    owner::give_to_root(dir);
    done.map(|_| ())
}

/// Puts packages into their directory: the first one as `name`, if given.
fn take(
    sink: &dyn Sink,
    made: &[PathBuf],
    directory: &Path,
    mut name: Option<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let mut taken = Vec::new();
    for from in made {
        let default_name = || from.file_name().map(PathBuf::from).unwrap_or_default();
        let to = directory.join(name.take().unwrap_or_else(default_name));
        fs::write_atomic(&to, &fs::read_bounded(from, fs::Limit::CONFIG)?, 0o644)?;
        sink.event(Event::ArchiveWritten { path: to.clone() });
        taken.push(to);
    }
    Ok(taken)
}
