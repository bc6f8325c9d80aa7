//! `mkdriverdisk`: an image from which Anaconda, the installer of Fedora, RHEL and related distributions,
//! loads drivers.
//!
//! What Anaconda expects, from its documentation and from `dracut/driver_updates.py` and `utils/dd/`: a
//! volume labelled OEMDRV, a file `/rhdd3` with a one-line description, packages in `/rpms/ARCH/` that
//! provide `kernel-modules` for the running kernel, and in those packages files whose names end in `.ko`.

use super::build::{Make, Rpmbuild};
use super::spec::{self, Spec};
use super::{kmp, names, pack, run};
use crate::add;
use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::kernel::installed::decompressed;
use crate::pack::{Inside, Request, tarball};
use crate::program::ProgramError;
use crate::system::System;
use dkms_archive::Member;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The volume label that the installer looks for.
const LABEL: &str = "OEMDRV";

/// Programs that write an ISO image, with their arguments.
const WRITERS: [(&str, &[&str]); 3] =
    [("xorriso", &["-as", "mkisofs"]), ("mkisofs", &[]), ("genisoimage", &[])];

/// The path that [`mkdriverdisk`] writes.
pub fn mkdriverdisk_place(layout: &Layout, request: &Request<'_>) -> PathBuf {
    let (directory, name) = place(layout, request);
    directory.join(name)
}

fn place(layout: &Layout, request: &Request<'_>) -> (PathBuf, PathBuf) {
    request.place(
        layout,
        "driver_disk",
        format!("{}-{}-dd.iso", request.package.name, request.package.version),
    )
}

/// The user's spec file for module packages: `--spec FILE`, relative to the source tree or any path;
/// otherwise `/etc/dkms/template-dkms-redhat-kmod.spec`.
fn template(layout: &Layout, request: &Request<'_>, named: Option<&Path>) -> Result<Option<PathBuf>> {
    if named.is_some() {
        return kmp::find(layout, request, named).map(Some);
    }
    Ok(Some(layout.config_dir.join("template-dkms-redhat-kmod.spec")).filter(|p| p.exists()))
}

/// Writes `M-V-dd.iso`. For each architecture it contains a package `kmod-M` with the modules built for the
/// kernels, and the metadata of a repository if createrepo is installed. As in dkms 2.6.1, a user's own spec
/// file gets the macros `module_name`, `version` and `kernel_version` and the source as `M-V.tar.bz2`; it
/// builds the modules itself.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, rpm does not accept a name, rpmbuild or a
/// program that writes ISO images is missing or fails, or the destination is not writable.
pub fn mkdriverdisk(
    system: &System,
    sink: &dyn Sink,
    request: &Request<'_>,
    named: Option<&Path>,
) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let (directory, name) = place(&system.layout, request);
    let (writer, words) = writer(&system.host)?;
    let template = template(&system.layout, request, named)?;
    let epoch = request.time(&system.layout)?;
    tarball::require_writable(&directory)?;
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-disk")?;
    let disk = scratch.path().join("disk");
    let mut by_arch: BTreeMap<&str, Vec<&Kernel>> = BTreeMap::new();
    for kernel in request.kernels {
        by_arch.entry(names::architecture(kernel)).or_default().push(kernel);
    }
    for (arch, kernels) in by_arch {
        let packages = disk.join("rpms").join(arch);
        fs::create_dir_all(&packages)?;
        match &template {
            Some(template) => after_template(system, sink, request, template, &kernels, epoch, &packages)?,
            None => own_package(system, sink, request, arch, &kernels, epoch, &packages)?,
        }
        repository(system, sink, &packages, epoch)?;
    }
    let line = format!("{} {} driver disk\n", request.package.name, request.package.version);
    fs::write_atomic(disk.join("rhdd3"), line.as_bytes(), 0o644)?;
    same_times(&disk, epoch)?;
    let image = scratch.path().join("image.iso");
    let command = Command::new(writer).args(words.iter().copied());
    let command = command.args(["-quiet", "-r", "-J", "-V", LABEL, "-o"]).arg(&image).arg(&disk);
    program(system, sink, command, epoch)?;
    let path = directory.join(name);
    fs::write_atomic(&path, &fs::read(&image)?, 0o644)?;
    sink.event(Event::ArchiveWritten { path: path.clone() });
    Ok(path)
}

fn writer(host: &Host) -> Result<(PathBuf, &'static [&'static str])> {
    let found = WRITERS.iter().find_map(|(name, words)| Some((process::which(name, &host.path)?, *words)));
    found.ok_or_else(|| {
        Error::Program(ProgramError::Missing {
            program: "xorriso".into(),
            purpose: "write an ISO image".into(),
            package: "xorriso (or genisoimage)".into(),
        })
    })
}

/// The packages that the user's spec file builds, one for each kernel.
fn after_template(
    system: &System,
    sink: &dyn Sink,
    request: &Request<'_>,
    template: &Path,
    kernels: &[&Kernel],
    epoch: u64,
    to: &Path,
) -> Result<()> {
    let (m, v) = (&request.package.name, &request.package.version);
    for kernel in kernels {
        let mut rpmbuild = Rpmbuild::new(&system.host, &system.settings, "make a package of modules", epoch)?;
        kmp::source_archive(system, sink, &Build::new(request.package, kernel), &rpmbuild, epoch)?;
        let file = rpmbuild.path().join("SPECS").join(format!("{m}.spec"));
        fs::write_atomic(&file, &fs::read_bounded(template, fs::Limit::CONFIG)?, 0o644)?;
        for (name, value) in
            [("version", v.as_str()), ("module_name", m), ("kernel_version", kernel.release.as_str())]
        {
            rpmbuild.define(name, &names::plain(value));
        }
        copy(&rpmbuild.run(system, sink, &file, Make::Binary, Some(names::architecture(kernel)))?, to)?;
    }
    Ok(())
}

/// `kmod-M`: the modules in the directory where the kernels find them, uncompressed, as the installer
/// requires.
fn own_package(
    system: &System,
    sink: &dyn Sink,
    request: &Request<'_>,
    arch: &str,
    kernels: &[&Kernel],
    epoch: u64,
    to: &Path,
) -> Result<()> {
    let package = request.package;
    let (m, version) = (names::package(&package.name)?, names::version(&package.version)?);
    let owned: Vec<Kernel> = kernels.iter().map(|k| (*k).clone()).collect();
    let inside = Inside::read(&system.layout, package, &owned)?;
    let rpmbuild = Rpmbuild::new(&system.host, &system.settings, "make a package of modules", epoch)?;
    let name = format!("kmod-{m}");
    let (mut members, mut files, mut description) = (Vec::new(), Vec::new(), Vec::new());
    let mut dependencies = vec!["Requires(post): kmod".to_owned(), "Requires(postun): kmod".to_owned()];
    for kernel in &owned {
        let release = names::directory(&kernel.release)?;
        let place = format!("lib/modules/{release}/extra/{m}");
        for file in state::module_files(&system.layout, &Build::new(package, kernel)) {
            let plain = decompressed(&fs::read(&file.path)?).map_err(|cause| {
                Error::Build(BuildError::BadModule { path: file.path.clone(), cause: cause.into() })
            })?;
            members.push(Member::bytes(format!("{place}/{}.ko", file.name), plain, epoch));
        }
        files.push(format!("/{place}"));
        dependencies.push(format!("Provides: kernel-modules >= {}", names::kernel(release)));
        description.push(format!("The kernel module {m} {}, built for kernel {release}.", package.version));
    }
    dependencies.extend(spec::modaliases(&inside, &version));
    pack(&rpmbuild, &members, epoch)?;
    let source = fs::canonicalize(system.layout.source_link(package))?;
    let text = Spec {
        name: &name,
        version: &version,
        summary: &format!("Kernel module {m}"),
        license: &spec::license(&source, &inside),
        noarch: false,
        packager: request.maker(),
        dependencies: &dependencies,
        description: &description,
        scriptlets: &spec::kmod_scripts(m, &files, &owned),
        files: &files,
        action: "mkdriverdisk",
        epoch,
    }
    .text();
    copy(&run(system, sink, &rpmbuild, &format!("{name}.spec"), &text, Some(arch))?, to)
}

fn copy(packages: &[PathBuf], to: &Path) -> Result<()> {
    for package in packages {
        fs::copy_file(package, to.join(package.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Creates the repository metadata for a directory of packages. Without it the installer can load the modules
/// but cannot install the packages.
fn repository(system: &System, sink: &dyn Sink, packages: &Path, epoch: u64) -> Result<()> {
    let found =
        ["createrepo_c", "createrepo"].iter().find_map(|name| process::which(name, &system.host.path));
    let Some(createrepo) = found else {
        sink.warn("the driver disk has no repository, so the installer loads the modules and does not install the package: createrepo_c is not installed");
        return Ok(());
    };
    same_times(packages, epoch)?;
    let epoch_word = epoch.to_string();
    let command = Command::new(createrepo)
        .args(["--quiet", "--no-database", "--set-timestamp-to-revision", "--revision"])
        .arg(epoch_word)
        .arg(packages);
    program(system, sink, command, epoch)
}

fn program(system: &System, sink: &dyn Sink, command: Command, epoch: u64) -> Result<()> {
    let shown = command.display();
    crate::pack::tool(system, sink, command, &shown, epoch, crate::pack::last_line).map(|_| ())
}

/// Sets the time of a directory and everything in it, in seconds since 1970.
fn same_times(path: &Path, epoch: u64) -> Result<()> {
    if fs::is_real_dir(path) {
        for name in fs::list_dir(path)? {
            same_times(&path.join(name), epoch)?;
        }
    }
    let time =
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(epoch)).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(fs::set_modified(path, time)?)
}
