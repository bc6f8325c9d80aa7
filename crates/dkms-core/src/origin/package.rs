//! Stages Debian and rpm packages, without the system's package manager. Their source, and the built modules
//! that `mkdeb` or `mkrpm` may have included, are added to the tree like those of a tarball. The package
//! manager does not record the package. The rest of the package is not installed, and its scripts do not run.

use super::staged::{Kind, Staged};
use crate::add;
use crate::distro::Family;
use crate::error::{Cause, Error, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::origin::OriginError;
use crate::pack::tarball::archive_error;
use crate::system::System;
use dkms_archive::{self, Limits, Unpacked};
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command, Stream};
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::state;
use std::path::{Path, PathBuf};

/// Unpacks and stages a Debian package.
///
/// # Errors
/// As for [`stage`]; it is damaged.
pub(super) fn stage_deb(system: &System, sink: &dyn Sink, file: &Path, kernel: &Kernel) -> Result<Staged> {
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-ldtarball")?;
    let root = scratch.path().join("content");
    let unpacked =
        dkms_archive::unpack(file, &root, &Limits::default()).map_err(|e| archive_error(file, e))?;
    stage(system, sink, file, scratch, &unpacked, kernel)
}

/// Unpacks and stages an rpm package.
///
/// # Errors
/// As for [`stage`]; no program can read it ([`OriginError::RpmFailed`]).
pub(super) fn stage_rpm(system: &System, sink: &dyn Sink, file: &Path, kernel: &Kernel) -> Result<Staged> {
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-ldtarball")?;
    let tarball = scratch.path().join("content.tar.gz");
    convert_rpm(&system.host, file, &tarball)?;
    let root = scratch.path().join("content");
    let unpacked = dkms_archive::unpack_payload(&tarball, &root, &Limits::default())
        .map_err(|e| archive_error(file, e))?;
    stage(system, sink, file, scratch, &unpacked, kernel)
}

/// Finds the source and the built modules of a package that was unpacked to `content` in the scratch
/// directory.
///
/// # Errors
/// It contains no source with a dkms.conf, or several; dkms.conf is invalid.
fn stage(
    system: &System,
    sink: &dyn Sink,
    file: &Path,
    scratch: TempDir,
    unpacked: &Unpacked,
    kernel: &Kernel,
) -> Result<Staged> {
    let root = scratch.path().join("content");
    let sources = root.join("usr/src");
    let mut names = state::subdirectories(&sources);
    names.retain(|name| fs::is_file(sources.join(name).join("dkms.conf")));
    let name = match names.as_slice() {
        [] => return Err(OriginError::ArchiveWithoutConf(file.to_owned()).into()),
        [name] => name,
        several => {
            let reason = format!(
                "it contains several modules, {}; install it with its package manager, or unpack it and add one of them",
                several.join(", ")
            );
            return Err(OriginError::BadArchive { path: file.to_owned(), cause: reason.into() }.into());
        }
    };
    let source = sources.join(name);
    // Sources in packages may have links to their documentation, which only a package manager would install.
    for entry in unpacked.links_leaving(&format!("usr/src/{name}")) {
        sink.warn(format!("the link {} points out of the source and is left out", entry.name));
        fs::remove_file(root.join(&entry.name))?;
    }
    let package = add::identify(system, sink, &source, kernel)?;
    let mut builds = Vec::new();
    for (number, built) in built_tarballs(&root, &package).iter().enumerate() {
        let content = root.join(format!("built{number}"));
        dkms_archive::unpack(built, &content, &Limits::default()).map_err(|e| archive_error(file, e))?;
        builds.push(content.join("dkms_main_tree"));
    }
    Ok(Staged { package, kind: Kind::Archive, source, builds, _scratch: Some(scratch) })
}

/// Finds the tarballs of built modules that belong to this package, `usr/share/NAME/M-V.dkms.tar.gz`. When
/// the package is installed, `common.postinst` loads them.
fn built_tarballs(root: &Path, package: &PackageId) -> Vec<PathBuf> {
    let share = root.join("usr/share");
    let start = format!("{}-{}.dkms.tar", package.name, package.version);
    let mut tarballs = Vec::new();
    for directory in state::subdirectories(&share) {
        let directory = share.join(directory);
        for file in fs::list_dir_optional(&directory).unwrap_or_default() {
            let is_named =
                file.to_str().is_some_and(|name| name.starts_with(&start) && dkms_archive::is_tarball(name));
            if is_named && fs::is_real_file(directory.join(&file)) {
                tarballs.push(directory.join(file));
            }
        }
    }
    tarballs.sort();
    tarballs
}

/// Writes the files of an rpm package to a tarball, with rpm's own program.
fn convert_rpm(host: &Host, file: &Path, to: &Path) -> Result<()> {
    let failed = |cause: Cause| rpm_failed(file, cause);
    let path = &host.path;
    let Some(program) = process::which("rpm2archive", path) else {
        return Err(failed("rpm2archive, which unpacks it, is not installed (package rpm)".into()));
    };
    // rpm2archive writes to its standard output only if it reads the package from its standard input.
    let shell = process::which("sh", path).unwrap_or_else(|| "/bin/sh".into());
    let done = Command::new(shell)
        .args(["-c", "exec \"$0\" - <\"$1\""])
        .arg(program)
        .arg(file)
        .envs(host.environment.iter().cloned())
        .stdout(Stream::File(fs::create_truncated(to)?))
        .stderr(Stream::Capture)
        .run()
        .map_err(|e| failed(e.into()))?;
    if done.status.success() {
        return Ok(());
    }
    let output = done.stderr_text();
    Err(failed(output.lines().last().map_or_else(|| done.status.to_string(), |l| l.trim().to_owned()).into()))
}

fn rpm_failed(file: &Path, cause: Cause) -> Error {
    Error::Origin(OriginError::RpmFailed { path: file.to_owned(), cause })
}

/// Returns whether rpm installs packages on this system: on rpm distributions, and on unknown distributions
/// that have rpm. Debian and others can have rpm too, but its database is empty there.
pub fn is_installed_by_rpm(host: &Host) -> bool {
    match host.distribution.as_ref().map(|d| d.family()) {
        Some(Family::Fedora | Family::Rhel | Family::Suse) => true,
        Some(Family::Other) | None => process::which("rpm", &host.path).is_some(),
        Some(_) => false,
    }
}

/// Installs a package with rpm. The scriptlets of the package call dkms.
///
/// # Errors
/// [`OriginError::RpmFailed`].
pub fn install_with_rpm(host: &Host, sink: &dyn Sink, file: &Path) -> Result<()> {
    let failed = |cause: Cause| rpm_failed(file, cause);
    let Some(rpm) = process::which("rpm", &host.path) else {
        return Err(failed("rpm is not installed".into()));
    };
    let done = Command::new(rpm)
        .arg("-Uvh")
        .arg(file)
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run()
        .map_err(|e| failed(e.into()))?;
    let output = done.stdout_text();
    sink.event(Event::ScriptOutput { text: output.clone() });
    if done.status.success() {
        return Ok(());
    }
    Err(failed(format!("{} ({})", done.status, output.lines().last().unwrap_or("it printed nothing")).into()))
}
