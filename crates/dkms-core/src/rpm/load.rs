//! `ldtarball`, `add` and `install` of a package of rpm on a system whose packages are others: its source goes into the tree
//! as that of a tarball does, and so do built modules that `mkrpm` has put beside it. None of its scripts is run, and nothing
//! else of it is installed.

use crate::archive::{self, Limits};
use crate::error::{Cause, Error, Result};
use crate::ids::{Kernel, PackageId};
use crate::kernel::distro::Family;
use crate::origin::OriginError;
use crate::packaging;
use crate::session::Session;
use crate::tarball::archive_error;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command, Stream};
use std::path::Path;

/// Whether packages of rpm are installed by rpm here: on its own distributions, and on unknown ones that have it. Debian
/// and others have rpm as well, with nothing in its database.
pub fn installs(s: &Session<'_>) -> bool {
    match s.host.distribution.as_ref().map(|d| d.family()) {
        Some(Family::Fedora | Family::Rhel | Family::Suse) => true,
        Some(Family::Other) | None => process::which("rpm", &s.host.path).is_some(),
        Some(_) => false,
    }
}

/// Takes the one module source in `usr/src` of a package into the tree, and its built modules. `kernel` is what its dkms.conf
/// is checked for.
///
/// # Errors
/// No package of rpm, or no program to read one ([`OriginError::RpmFailed`]); no module's source in it, or several; otherwise as
/// for a tarball.
pub fn load(s: &Session<'_>, path: &Path, kernel: &Kernel) -> Result<PackageId> {
    if !path.exists() {
        return Err(OriginError::ArchiveMissing(path.to_owned()).into());
    }
    let scratch = TempDir::new_in(&s.options.tmp_location, "dkms-ldrpm")?;
    let tarball = scratch.path().join("content.tar.gz");
    convert(s, path, &tarball)?;
    let root = scratch.path().join("content");
    let unpacked =
        archive::unpack_payload(&tarball, &root, &Limits::default()).map_err(|e| archive_error(path, e))?;
    packaging::load(s, path, &root, &unpacked, kernel)
}

/// The files of a package as a tarball, by rpm's own program.
fn convert(s: &Session<'_>, path: &Path, to: &Path) -> Result<()> {
    let failed = |cause: Cause| Error::Origin(OriginError::RpmFailed { path: path.to_owned(), cause });
    let Some(program) = process::which("rpm2archive", &s.host.path) else {
        return Err(failed("rpm2archive, which unpacks it, is not installed (package rpm)".into()));
    };
    // From its standard input it writes to its standard output; from a file, beside that.
    let shell = process::which("sh", &s.host.path).unwrap_or_else(|| "/bin/sh".into());
    let done = Command::new(shell)
        .args(["-c", "exec \"$0\" - <\"$1\""])
        .arg(program)
        .arg(path)
        .envs(s.host.environment.iter().cloned())
        .stdout(Stream::File(fs::create_truncated(to)?))
        .stderr(Stream::Capture)
        .run()
        .map_err(|e| failed(e.into()))?;
    let said = done.stderr_text();
    if done.status.success() {
        return Ok(());
    }
    Err(failed(said.lines().last().map_or_else(|| done.status.to_string(), |l| l.trim().to_owned()).into()))
}
