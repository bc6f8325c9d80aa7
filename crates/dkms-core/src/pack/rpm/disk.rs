//! `mkdriverdisk`: an image from which Anaconda, the installer of Fedora, RHEL and related distributions,
//! loads drivers.
//!
//! According to its documentation, `dracut/driver_updates.py` and `utils/dd/`, Anaconda expects a volume
//! labelled OEMDRV, a file `/rhdd3` with a one-line description, and packages in `/rpms/ARCH/` that provide
//! `kernel-modules` for the running kernel. In these packages, it uses the files whose names end in `.ko`.

use super::build::{Kind, Rpmbuild};
use super::spec::{self, Spec};
use super::{kmp, names};
use crate::add;
use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::host::Host;
use crate::kernel::installed::decompressed;
use crate::pack::Request;
use crate::pack::metadata::Metadata;
use crate::pack::output::{directory, require_writable, set_times};
use crate::pack::packer::{Packer, last_line};
use crate::program::ProgramError;
use crate::system::System;
use dkms_archive::Member;
use dkms_sys::fs;
use dkms_sys::process::{self, Command};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The volume label that the installer searches for.
const LABEL: &str = "OEMDRV";

/// Programs that write an ISO image, with their arguments.
const WRITERS: [(&str, &[&str]); 3] =
    [("xorriso", &["-as", "mkisofs"]), ("mkisofs", &[]), ("genisoimage", &[])];

/// Returns the path that [`mkdriverdisk`] writes.
pub fn mkdriverdisk_place(layout: &Layout, request: &Request<'_>) -> PathBuf {
    let file = format!("{}-{}-dd.iso", request.package.name, request.package.version);
    request.output(layout, "driver_disk", file)
}

/// Finds the user's spec file for module packages: `--spec FILE`, where FILE is relative to the source tree
/// or any path; otherwise `/etc/dkms/template-dkms-redhat-kmod.spec`.
fn find_template(layout: &Layout, request: &Request<'_>, spec: Option<&Path>) -> Result<Option<PathBuf>> {
    if spec.is_some() {
        return kmp::find_spec(layout, request, spec, "mkdriverdisk").map(Some);
    }
    Ok(Some(layout.config_dir.join("template-dkms-redhat-kmod.spec")).filter(|path| path.exists()))
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
    spec: Option<&Path>,
) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let path = mkdriverdisk_place(&system.layout, request);
    let (writer, arguments) = find_writer(&system.host)?;
    let template = find_template(&system.layout, request, spec)?;
    let packer = Packer { system, sink, epoch: request.time(&system.layout)? };
    require_writable(directory(&path))?;
    let scratch = packer.scratch("dkms-disk")?;
    let disk = scratch.path().join("disk");
    let mut by_arch: BTreeMap<&str, Vec<&Kernel>> = BTreeMap::new();
    for kernel in request.kernels {
        by_arch.entry(names::architecture(kernel)).or_default().push(kernel);
    }
    for (arch, kernels) in by_arch {
        let packages = disk.join("rpms").join(arch);
        fs::create_dir_all(&packages)?;
        match &template {
            Some(template) => template_packages(&packer, request, template, &kernels, &packages)?,
            None => own_package(&packer, request, arch, &kernels, &packages)?,
        }
        create_repository(&packer, &packages)?;
    }
    let line = format!("{} {} driver disk\n", request.package.name, request.package.version);
    fs::write_atomic(disk.join("rhdd3"), line.as_bytes(), 0o644)?;
    set_times(&disk, packer.epoch)?;
    let image = scratch.path().join("image.iso");
    let command = Command::new(writer).args(arguments.iter().copied());
    let command = command.args(["-quiet", "-r", "-J", "-V", LABEL, "-o"]).arg(&image).arg(&disk);
    let shown = command.display();
    packer.run(command, &shown, last_line)?;
    fs::write_atomic(&path, &fs::read(&image)?, 0o644)?;
    Ok(packer.report_written(path))
}

/// Finds a program that writes an ISO image, and its arguments.
fn find_writer(host: &Host) -> Result<(PathBuf, &'static [&'static str])> {
    let writer =
        WRITERS.iter().find_map(|(name, arguments)| Some((process::which(name, &host.path)?, *arguments)));
    writer.ok_or_else(|| {
        Error::Program(ProgramError::Missing {
            program: "xorriso".into(),
            purpose: "write an ISO image".into(),
            package: "xorriso (or genisoimage)".into(),
        })
    })
}

/// Builds a package for each kernel with the user's spec file, and copies the packages to `to`.
fn template_packages(
    packer: &Packer<'_>,
    request: &Request<'_>,
    template: &Path,
    kernels: &[&Kernel],
    to: &Path,
) -> Result<()> {
    let PackageId { name: module, version } = request.package;
    for kernel in kernels {
        let mut rpmbuild = Rpmbuild::new(packer, "make a package of modules")?;
        kmp::write_source_archive(&rpmbuild, &Build::new(request.package, kernel))?;
        for (name, value) in
            [("version", version.as_str()), ("module_name", module), ("kernel_version", &kernel.release)]
        {
            rpmbuild.define(name, &names::plain(value));
        }
        let (spec, target) = (fs::read_bounded(template, fs::Limit::CONFIG)?, names::architecture(kernel));
        copy(&rpmbuild.run(&format!("{module}.spec"), &spec, Kind::Binary, Some(target))?, to)?;
    }
    Ok(())
}

/// Builds `kmod-M` and copies it to `to`. It contains the modules in the directory where the kernels find
/// them, uncompressed, as the installer requires.
fn own_package(
    packer: &Packer<'_>,
    request: &Request<'_>,
    arch: &str,
    kernels: &[&Kernel],
    to: &Path,
) -> Result<()> {
    let layout = &packer.system.layout;
    let package = request.package;
    let (module, version) = (names::package(&package.name)?, names::version(&package.version)?);
    let kernels: Vec<Kernel> = kernels.iter().copied().cloned().collect();
    let metadata = Metadata::read(layout, package, &kernels)?;
    let rpmbuild = Rpmbuild::new(packer, "make a package of modules")?;
    let name = format!("kmod-{module}");
    let (mut members, mut files, mut description) = (Vec::new(), Vec::new(), Vec::new());
    let mut dependencies = vec!["Requires(post): kmod".to_owned(), "Requires(postun): kmod".to_owned()];
    for kernel in &kernels {
        let release = names::directory(&kernel.release)?;
        let directory = format!("lib/modules/{release}/extra/{module}");
        for file in state::module_files(layout, &Build::new(package, kernel)) {
            let plain = decompressed(&fs::read(&file.path)?).map_err(|cause| {
                Error::Build(BuildError::BadModule { path: file.path.clone(), cause: cause.into() })
            })?;
            members.push(Member::bytes(format!("{directory}/{}.ko", file.name), plain, packer.epoch));
        }
        files.push(format!("/{directory}"));
        dependencies.push(format!("Provides: kernel-modules >= {}", names::kernel(release)));
        description
            .push(format!("The kernel module {module} {}, built for kernel {release}.", package.version));
    }
    dependencies.extend(spec::modaliases(&metadata, &version));
    rpmbuild.write_archive(spec::ROOT, &members)?;
    let source = request.source_dir(layout)?;
    let text = Spec {
        name: &name,
        version: &version,
        summary: &format!("Kernel module {module}"),
        license: &spec::license(&source, &metadata),
        noarch: false,
        packager: request.maker(),
        dependencies: &dependencies,
        description: &description,
        scriptlets: &spec::kmod_scripts(module, &files, &kernels),
        files: &files,
        action: "mkdriverdisk",
        epoch: packer.epoch,
    }
    .text();
    copy(&rpmbuild.run(&format!("{name}.spec"), text.as_bytes(), Kind::Binary, Some(arch))?, to)
}

fn copy(packages: &[PathBuf], to: &Path) -> Result<()> {
    for package in packages {
        fs::copy_file(package, to.join(package.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Creates the repository metadata for a directory of packages. Without it the installer can load the modules
/// but cannot install the packages.
fn create_repository(packer: &Packer<'_>, packages: &Path) -> Result<()> {
    let path = &packer.system.host.path;
    let Some(program) = ["createrepo_c", "createrepo"].iter().find_map(|name| process::which(name, path))
    else {
        packer.sink.warn(
            "the driver disk has no repository, so the installer loads the modules and does not install the \
             package: createrepo_c is not installed",
        );
        return Ok(());
    };
    set_times(packages, packer.epoch)?;
    let command = Command::new(program)
        .args(["--quiet", "--no-database", "--set-timestamp-to-revision", "--revision"])
        .arg(packer.epoch.to_string())
        .arg(packages);
    let shown = command.display();
    packer.run(command, &shown, last_line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Content;

    #[test]
    fn a_missing_spec_file_is_reported_for_the_right_action() {
        let package = PackageId::new("foo", "1.0").unwrap();
        let content = Content::BinariesOnly;
        let request =
            Request { package: &package, kernels: &[], content, archive: None, epoch: None, maker: None };
        let error = find_template(&Layout::default(), &request, Some(Path::new("none.spec"))).unwrap_err();
        assert!(error.to_string().starts_with("mkdriverdisk needs a spec file"), "{error}");
    }
}
