//! `mkdeb`, `mkdsc` and `mkbmdeb`: Debian packages of modules. They need neither dpkg's tools nor root, and
//! their output is reproducible.

mod names;
mod planned;
mod source;
mod template;
mod text;

use crate::add;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::pack::tarball::{self, archive_error};
use crate::pack::{self, Inside, Request, newest};
use crate::request::{RequestError, UsageError};
use crate::system::System;
use dkms_archive::{self, Deb, Member};
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command, Stream};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use std::path::{Path, PathBuf};

use planned::Planned;
pub use source::{mkdsc, mkdsc_place};

/// Debian's directory for dkms modules, below `/lib/modules/K`.
const DESTINATION: &str = "updates/dkms";

impl Request<'_> {
    fn deb(&self) -> Result<Planned> {
        let mut architecture = "all";
        for kernel in self.binaries() {
            let one = names::architecture(kernel)?;
            if architecture != "all" && architecture != one {
                return Err(RequestError::SeveralArches {
                    what: "one package",
                    arches: [architecture.into(), one.into()],
                }
                .into());
            }
            architecture = one;
        }
        Ok(Planned {
            base: names::package(&self.package.name)?,
            name: names::package(&format!("{}-dkms", self.package.name))?,
            version: names::version(&self.package.version)?,
            architecture,
        })
    }

    fn bmdeb(&self, kernel: &Kernel) -> Result<Planned> {
        Ok(Planned {
            base: names::package(&self.package.name)?,
            name: names::package(&format!("{}-modules-{}", self.package.name, kernel.release))?,
            version: names::version(&self.package.version)?,
            architecture: names::architecture(kernel)?,
        })
    }

    fn refuse_one_name_for_several(&self) -> Result<()> {
        if self.named.is_some() && self.kernels.len() > 1 {
            let writes = "one package per kernel";
            return Err(UsageError::OneName { action: "mkbmdeb", writes, option: "--archive" }.into());
        }
        Ok(())
    }
}

/// The path that [`mkdeb`] writes.
///
/// # Errors
/// The name or architecture has no Debian form.
pub fn mkdeb_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    let (directory, name) = request.place(layout, "deb", request.deb()?.file());
    Ok(directory.join(name))
}

/// The paths that [`mkbmdeb`] writes, by kernel.
///
/// # Errors
/// As for [`mkdeb_place`].
pub fn mkbmdeb_places(layout: &Layout, request: &Request<'_>) -> Result<Vec<PathBuf>> {
    request.refuse_one_name_for_several()?;
    let one = |kernel| {
        let (directory, name) = request.place(layout, "bmdeb", request.bmdeb(kernel)?.file());
        Ok(directory.join(name))
    };
    request.kernels.iter().map(one).collect()
}

/// Writes `M-dkms_V_all.deb` with the source, which dkms builds on the target. If kernels are given, it also
/// contains their built modules, as a tarball that the target's `common.postinst` loads, and the package is
/// specific to their architecture. With [`crate::pack::tarball::Content::BinariesOnly`], only the dkms.conf
/// of the source is included.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, a name has no Debian form, or the
/// destination is not writable.
pub fn mkdeb(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let planned = request.deb()?;
    let epoch = request.time(&system.layout)?;
    let place = request.place(&system.layout, "deb", planned.file());
    if let Some(template) = template::find(&system.layout, request, "mkdeb") {
        let kernels = request.binaries();
        return report_written(sink, template.build(system, sink, &planned, kernels, place, epoch)?);
    }
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-mkdeb")?;
    write(sink, place, &payload(system, request, &planned, "mkdeb", scratch.path(), epoch)?)
}

/// The contents of the package of `mkdeb`; generated files are written to `scratch`.
fn payload(
    system: &System,
    request: &Request<'_>,
    planned: &Planned,
    action: &str,
    scratch: &Path,
    epoch: u64,
) -> Result<Deb> {
    let (package, kernels) = (request.package, request.binaries());
    let inside = Inside::read(&system.layout, package, kernels)?;
    let source = fs::canonicalize(system.layout.source_link(package))?;
    let mut members = pack::for_dkms(system, request, &planned.name, scratch, epoch)?;
    let synopsis = match (request.with_source(), kernels) {
        (true, []) => format!("kernel module {}, source for dkms", package.name),
        (true, _) => format!("kernel module {}, source and built modules for dkms", package.name),
        (false, _) => format!("kernel module {}, built modules for dkms", package.name),
    };
    let mut description = Vec::new();
    if request.with_source() {
        description.push(format!("The source of {} {}.", package.name, package.version));
        description.push("dkms builds it for the kernels whose headers are installed.".into());
    }
    description.extend(kernels.iter().map(|k| format!("Built for kernel {}.", k.release)));
    let control = text::Control {
        name: &planned.name,
        version: &planned.version,
        architecture: planned.architecture,
        maintainer: request.maker(),
        depends: "dkms",
        conflicts: "",
        provides: "",
        modaliases: &inside.modaliases(),
        synopsis: &synopsis,
        description: &description,
    };
    let scripts =
        vec![("postinst", text::dkms_postinst(&planned.name, package)), ("prerm", text::dkms_prerm(package))];
    members.extend(documents(request, planned, action, &source, &inside, epoch)?);
    Ok(Deb { control: control.text(), scripts, members, mtime: epoch })
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
    for kernel in request.kernels {
        request.bmdeb(kernel)?;
        Inside::read(&system.layout, request.package, std::slice::from_ref(kernel))?;
    }
    request.kernels.iter().map(|kernel| one_bmdeb(system, sink, request, kernel)).collect()
}

fn one_bmdeb(system: &System, sink: &dyn Sink, request: &Request<'_>, kernel: &Kernel) -> Result<PathBuf> {
    let package = request.package;
    let planned = request.bmdeb(kernel)?;
    let inside = Inside::read(&system.layout, package, std::slice::from_ref(kernel))?;
    let source = fs::canonicalize(system.layout.source_link(package))?;
    let b = Build::new(package, kernel);
    let epoch = request.epoch.unwrap_or_else(|| newest(&[system.layout.module_dir(&b)]));
    if let Some(template) = template::find(&system.layout, request, "mkbmdeb") {
        let (place, kernels) =
            (request.place(&system.layout, "bmdeb", planned.file()), std::slice::from_ref(kernel));
        return report_written(sink, template.build(system, sink, &planned, kernels, place, epoch)?);
    }
    let home = modules_home(&system.host, kernel);
    let mut members: Vec<Member> = state::module_files(&system.layout, &b)
        .into_iter()
        .map(|f| Member::path(format!("{home}/{}/{DESTINATION}/{}", kernel.release, f.file), f.path))
        .collect();
    let control = text::Control {
        name: &planned.name,
        version: &planned.version,
        architecture: planned.architecture,
        maintainer: request.maker(),
        // No alternative, such as an unsigned image: apt would install it when the kernel is removed.
        depends: &format!("linux-image-{}, kmod", names::package(&kernel.release)?),
        // dkms would overwrite and delete the same files.
        conflicts: &names::package(&format!("{}-dkms", package.name))?,
        provides: &names::package(&format!("{}-modules", package.name))?,
        modaliases: &inside.modaliases(),
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
    members.extend(documents(request, &planned, "mkbmdeb", &source, &inside, epoch)?);
    let deb = Deb { control: control.text(), scripts, members, mtime: epoch };
    write(sink, request.place(&system.layout, "bmdeb", planned.file()), &deb)
}

/// The directory in which this kernel's packages install modules. Some suites use `/lib`, newer ones
/// `/usr/lib`. dpkg does not know that these are the same directory, so files of one package must not appear
/// under the other path. What dpkg reports for the packages installed here decides; without them it is
/// `/lib`, which works on every suite.
fn modules_home(host: &Host, kernel: &Kernel) -> &'static str {
    let merged = format!("/usr/lib/modules/{}", kernel.release);
    let Some(query) = process::which("dpkg-query", &host.path) else { return "lib/modules" };
    let in_usr = |kind: &str| {
        let asked = Command::new(&query)
            .args(["--listfiles", &format!("linux-{kind}-{}", kernel.release)])
            .envs(host.environment.iter().cloned())
            .stdout(Stream::Capture)
            .stderr(Stream::Null)
            .run();
        asked.is_ok_and(|done| done.stdout_text().lines().any(|line| line == merged))
    };
    if in_usr("image") || in_usr("headers") { "usr/lib/modules" } else { "lib/modules" }
}

fn write(sink: &dyn Sink, (directory, name): (PathBuf, PathBuf), deb: &Deb) -> Result<PathBuf> {
    tarball::require_writable(&directory)?;
    let path = directory.join(name);
    dkms_archive::write_deb(&path, deb).map_err(|e| archive_error(&path, e))?;
    report_written(sink, path)
}

fn report_written(sink: &dyn Sink, path: PathBuf) -> Result<PathBuf> {
    sink.event(Event::ArchiveWritten { path: path.clone() });
    Ok(path)
}

/// The files that policy 12.5 and 12.7 require in every package: changelog and copyright.
fn documents(
    request: &Request<'_>,
    planned: &Planned,
    action: &str,
    source: &Path,
    inside: &Inside,
    epoch: u64,
) -> Result<[Member; 2]> {
    let directory = format!("usr/share/doc/{}", planned.name);
    let changelog = text::changelog(&planned.name, &planned.version, action, request.maker(), epoch);
    let place = format!("{directory}/changelog.gz");
    let changelog = dkms_archive::gzip(changelog.as_bytes())
        .map_err(|e| Error::Io(dkms_sys::IoError::new("compress", Path::new(&place), e)))?;
    let copyright = text::copyright(request.package, source, inside);
    Ok([
        Member::bytes(place, changelog, epoch),
        Member::bytes(format!("{directory}/copyright"), copyright, epoch),
    ])
}
