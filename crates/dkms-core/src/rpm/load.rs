//! `ldtarball`, `add` and `install` of a package of rpm on a system whose packages are others: its source goes into the tree
//! as that of a tarball does, and so do built modules that `mkrpm` has put beside it. None of its scripts is run, and nothing
//! else of it is installed.

use crate::add;
use crate::archive::{self, Limits};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Kernel, PackageId};
use crate::kernel::distro::Family;
use crate::session::Session;
use crate::tarball::{self, archive_error};
use crate::tree::state;
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
/// No package of rpm, or no program to read one ([`Error::RpmFailed`]); no module's source in it, or several; otherwise as
/// for a tarball.
pub fn load(s: &Session<'_>, path: &Path, kernel: &Kernel) -> Result<PackageId> {
    if !path.exists() {
        return Err(Error::ArchiveMissing(path.to_owned()));
    }
    let scratch = TempDir::new_in(&s.options.tmp_location, "dkms-ldrpm")?;
    let tarball = scratch.path().join("content.tar.gz");
    convert(s, path, &tarball)?;
    let root = scratch.path().join("content");
    let unpacked =
        archive::unpack(&tarball, &root, &Limits::default()).map_err(|e| archive_error(path, e))?;
    let sources = root.join("usr/src");
    let mut found = state::subdirectories(&sources);
    found.retain(|name| sources.join(name).join("dkms.conf").is_file());
    let source = match found.as_slice() {
        [] => return Err(Error::ArchiveWithoutConf(path.to_owned())),
        [name] => sources.join(name),
        several => {
            let reason = format!("it holds several modules: {}", several.join(", "));
            return Err(Error::BadArchive { path: path.to_owned(), reason });
        }
    };
    tarball::refuse_leaving(path, &unpacked, &root, &source)?;
    let package = add::copy_directory(s, &source, kernel, s.options.force)?;
    tarball::register(s, &package, kernel)?;
    let mut kernels = Vec::new();
    let share = root.join("usr/share");
    for directory in state::subdirectories(&share) {
        let built = share.join(directory).join(format!("{}-{}.dkms.tar.gz", package.name, package.version));
        if fs::is_real_file(&built) {
            let content = TempDir::new_in(scratch.path(), "built")?;
            archive::unpack(&built, content.path(), &Limits::default())
                .map_err(|e| archive_error(path, e))?;
            kernels.extend(tarball::load_builds(s, &package, &content.path().join("dkms_main_tree"))?);
        }
    }
    s.tell(Event::ArchiveLoaded { package: package.clone(), kernels });
    Ok(package)
}

/// The files of a package as a tarball, by rpm's own program.
fn convert(s: &Session<'_>, path: &Path, to: &Path) -> Result<()> {
    let failed = |reason: String| Error::RpmFailed { path: path.to_owned(), reason };
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
        .map_err(|e| failed(e.to_string()))?;
    let said = done.stderr_text();
    if done.status.success() {
        return Ok(());
    }
    Err(failed(said.lines().last().map_or_else(|| done.status.to_string(), |l| l.trim().to_owned())))
}
