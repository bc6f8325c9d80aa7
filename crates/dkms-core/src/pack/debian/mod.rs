//! `mkdeb`, `mkdsc` and `mkbmdeb`: Debian packages of modules. They need neither dpkg's tools nor root, and
//! their output is reproducible.

mod names;
mod source;
mod template;
mod text;

use super::metadata::Metadata;
use super::output::{directory, newest, require_writable};
use super::packer::Packer;
use super::tarball::{self, archive_error};
use super::{Content, Request};
use crate::add;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::host::Host;
use crate::request::{RequestError, UsageError};
use crate::system::System;
use dkms_archive::{self, Deb, Member};
use dkms_sys::process::{self, Command, Stream};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use names::DebNames;
pub use source::{mkdsc, mkdsc_place};
use std::path::{Path, PathBuf};

/// Debian's directory for dkms modules, below `/lib/modules/K`.
const DESTINATION: &str = "updates/dkms";

impl Request<'_> {
    fn deb_names(&self) -> Result<DebNames> {
        let mut architecture = "all";
        for kernel in self.binaries() {
            let kernel_architecture = names::architecture(kernel)?;
            if architecture != "all" && architecture != kernel_architecture {
                return Err(RequestError::SeveralArches {
                    what: "one package",
                    arches: [architecture.into(), kernel_architecture.into()],
                }
                .into());
            }
            architecture = kernel_architecture;
        }
        Ok(DebNames::new(self.package, "dkms", architecture)?)
    }

    fn bmdeb_names(&self, kernel: &Kernel) -> Result<DebNames> {
        let suffix = format!("modules-{}", kernel.release);
        Ok(DebNames::new(self.package, &suffix, names::architecture(kernel)?)?)
    }

    /// Fails if `--archive` names one file for several packages.
    fn refuse_one_name_for_several(&self) -> Result<()> {
        if self.archive.is_some() && self.kernels.len() > 1 {
            let writes = "one package per kernel";
            return Err(UsageError::OneName { action: "mkbmdeb", writes, option: "--archive" }.into());
        }
        Ok(())
    }
}

/// Returns the path that [`mkdeb`] writes.
///
/// # Errors
/// The name or architecture has no Debian form.
pub fn mkdeb_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    Ok(request.output(layout, "deb", request.deb_names()?.file()))
}

/// Returns the paths that [`mkbmdeb`] writes, one for each kernel.
///
/// # Errors
/// As for [`mkdeb_place`]; also `--archive` with several kernels.
pub fn mkbmdeb_places(layout: &Layout, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    request.refuse_one_name_for_several()?;
    let place = |kernel| Ok(request.output(layout, "bmdeb", request.bmdeb_names(kernel)?.file()));
    request.kernels.iter().map(place).collect()
}

/// Writes `M-dkms_V_all.deb` with the source, which dkms builds on the target. If kernels are given, it also
/// contains their built modules, as a tarball that the target's `common.postinst` loads, and the package is
/// specific to their architecture. With [`Content::BinariesOnly`], only the dkms.conf of the source is
/// included.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, a name has no Debian form, or the
/// destination is not writable.
pub fn mkdeb(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let names = request.deb_names()?;
    let packer = Packer { system, sink, epoch: request.time(&system.layout)? };
    let path = mkdeb_place(&system.layout, request)?;
    if let Some(template) = template::find(&system.layout, request, "mkdeb") {
        return template.build(&packer, &names, &path);
    }
    let scratch = packer.scratch("dkms-mkdeb")?;
    write(&packer, path, &contents(&packer, request, &names, "mkdeb", scratch.path())?)
}

/// Returns the contents of the package of `mkdeb`; generated files are written to `scratch`.
fn contents(
    packer: &Packer<'_>,
    request: &Request<'_>,
    names: &DebNames,
    action: &str,
    scratch: &Path,
) -> Result<Deb> {
    let (package, kernels) = (request.package, request.binaries());
    let metadata = Metadata::read(&packer.system.layout, package, kernels)?;
    let mut members = tarball::members_for_dkms(packer, request, &names.package, scratch)?;
    let synopsis = match (request.content, kernels) {
        (Content::BinariesOnly, _) => format!("kernel module {}, built modules for dkms", package.name),
        (_, []) => format!("kernel module {}, source for dkms", package.name),
        _ => format!("kernel module {}, source and built modules for dkms", package.name),
    };
    let mut description = Vec::new();
    if request.with_source() {
        description.push(format!("The source of {} {}.", package.name, package.version));
        description.push("dkms builds it for the kernels whose headers are installed.".into());
    }
    description.extend(kernels.iter().map(|kernel| format!("Built for kernel {}.", kernel.release)));
    let control = text::Control {
        names,
        maintainer: request.maker(),
        depends: "dkms",
        conflicts: "",
        provides: "",
        modaliases: &metadata.modaliases(),
        synopsis: &synopsis,
        description: &description,
    };
    let scripts = vec![
        ("postinst", text::dkms_postinst(&names.package, package)),
        ("prerm", text::dkms_prerm(package)),
    ];
    members.extend(documents(packer, request, names, action, &metadata)?);
    Ok(Deb { control: control.text(), scripts, members, mtime: packer.epoch })
}

/// Writes `M-modules-K_V_ARCH.deb` for each kernel. It contains only the built modules, in the directory
/// where the kernel finds them. The target needs neither dkms nor a compiler.
///
/// # Errors
/// As for [`mkdeb`]; also `--archive` with several kernels.
pub fn mkbmdeb(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    add::require_added(&system.layout, request.package)?;
    request.refuse_one_name_for_several()?;
    // Check everything before the first package is written.
    let mut packages = Vec::new();
    for kernel in request.kernels {
        let names = request.bmdeb_names(kernel)?;
        let kernels = std::slice::from_ref(kernel);
        let metadata = Metadata::read(&system.layout, request.package, kernels)?;
        packages.push((kernel, Request { kernels, ..request.clone() }, names, metadata));
    }
    let write = |(kernel, request, names, metadata): (_, Request<'_>, _, _)| {
        let build = Build::new(request.package, kernel);
        let newest_module = || newest(&[system.layout.module_dir(&build)]);
        let packer = Packer { system, sink, epoch: request.epoch.unwrap_or_else(newest_module) };
        write_bmdeb(&packer, &request, &build, &names, &metadata)
    };
    packages.into_iter().map(write).collect()
}

fn write_bmdeb(
    packer: &Packer<'_>,
    request: &Request<'_>,
    build: &Build,
    names: &DebNames,
    metadata: &Metadata,
) -> Result<PathBuf> {
    let layout = &packer.system.layout;
    let (package, kernel) = (&build.package, &build.kernel);
    let path = request.output(layout, "bmdeb", names.file());
    if let Some(template) = template::find(layout, request, "mkbmdeb") {
        return template.build(packer, names, &path);
    }
    let modules_dir = modules_dir(&packer.system.host, kernel);
    let mut members: Vec<Member> = state::module_files(layout, build)
        .into_iter()
        .map(|f| Member::path(format!("{modules_dir}/{}/{DESTINATION}/{}", kernel.release, f.file), f.path))
        .collect();
    let control = text::Control {
        names,
        maintainer: request.maker(),
        // There is no alternative such as an unsigned image: apt would install it when the kernel is removed.
        depends: &format!("linux-image-{}, kmod", names::package(&kernel.release)?),
        // dkms would overwrite and delete the same files.
        conflicts: &names::package(&format!("{}-dkms", package.name))?,
        provides: &names::package(&format!("{}-modules", package.name))?,
        modaliases: &metadata.modaliases(),
        synopsis: &format!("kernel module {}, built for {}", package.name, kernel.release),
        description: &[
            format!("{} {}, built for kernel {}.", package.name, package.version, kernel.release),
            "Neither dkms nor a compiler is needed to use it.".into(),
        ],
    };
    let scripts = vec![
        ("postinst", text::kernel_script("configure", kernel)),
        ("postrm", text::kernel_script("remove", kernel)),
    ];
    members.extend(documents(packer, request, names, "mkbmdeb", metadata)?);
    write(packer, path, &Deb { control: control.text(), scripts, members, mtime: packer.epoch })
}

/// Returns the directory in which this kernel's packages install modules: `/lib` in some suites, `/usr/lib`
/// in newer ones. dpkg treats these as different directories, so the files of a package must not appear under
/// the other path. This checks which files dpkg lists for the installed packages of this kernel. If none is
/// installed, it returns `/lib`, which works in every suite.
fn modules_dir(host: &Host, kernel: &Kernel) -> &'static str {
    let merged = format!("/usr/lib/modules/{}", kernel.release);
    let Some(query) = process::which("dpkg-query", &host.path) else { return "lib/modules" };
    let lists_usr = |kind: &str| {
        let listing = Command::new(&query)
            .args(["--listfiles", &format!("linux-{kind}-{}", kernel.release)])
            .envs(host.environment.iter().cloned())
            .stdout(Stream::Capture)
            .stderr(Stream::Null)
            .run();
        listing.is_ok_and(|done| done.stdout_text().lines().any(|line| line == merged))
    };
    if lists_usr("image") || lists_usr("headers") { "usr/lib/modules" } else { "lib/modules" }
}

fn write(packer: &Packer<'_>, path: PathBuf, deb: &Deb) -> Result<PathBuf> {
    require_writable(directory(&path))?;
    dkms_archive::write_deb(&path, deb).map_err(|e| archive_error(&path, e))?;
    Ok(packer.report_written(path))
}

/// Returns the files that policy 12.5 and 12.7 require in every package: changelog and copyright.
fn documents(
    packer: &Packer<'_>,
    request: &Request<'_>,
    names: &DebNames,
    action: &str,
    metadata: &Metadata,
) -> Result<[Member; 2]> {
    let epoch = packer.epoch;
    let directory = format!("usr/share/doc/{}", names.package);
    let changelog = text::changelog(names, action, request.maker(), epoch);
    let path = format!("{directory}/changelog.gz");
    let changelog = dkms_archive::gzip(changelog.as_bytes())
        .map_err(|e| Error::Io(dkms_sys::IoError::new("compress", Path::new(&path), e)))?;
    let source = request.source_dir(&packer.system.layout)?;
    let copyright = text::copyright(request.package, &source, metadata);
    Ok([
        Member::bytes(path, changelog, epoch),
        Member::bytes(format!("{directory}/copyright"), copyright, epoch),
    ])
}
