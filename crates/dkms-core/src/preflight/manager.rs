//! The interface between preflight and a package manager.

use crate::error::Result;
use crate::host::Host;
use crate::program::ProgramError;
use dkms_sys::process::{Command, Finished, Stdin, Stream, which};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A package manager. It works in a separate directory, and installs nothing.
pub(super) trait Manager {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Refreshes its lists of packages, in the separate directory.
    fn refresh(&self) -> Result<()>;

    /// The kernels that an upgrade would install.
    fn offered(&self) -> Result<Vec<String>>;

    /// Downloads the headers of a kernel, checks their signatures with the package manager, and unpacks them
    /// below `root`. Returns the packages.
    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>>;
}

/// Runs a program of a package manager, and returns its output.
pub(super) fn run(host: &Host, program: &str, args: Vec<String>, dir: &Path) -> Result<Finished> {
    finish(command(host, program, args, dir))
}

/// A program of a package manager, with what all of them need.
pub(super) fn command(host: &Host, program: &str, args: Vec<String>, dir: &Path) -> Command {
    Command::new(program)
        .args(args)
        .envs(host.environment.iter().cloned())
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .cwd(dir)
        .timeout(Duration::from_secs(1800))
}

/// The same for package managers that refuse to download for users other than root, although they write only
/// to our directory: these users get a user namespace.
pub(super) fn command_of_root(host: &Host, program: &str, mut args: Vec<String>, dir: &Path) -> Command {
    if dkms_sys::sys::effective_uid() == 0 || which("unshare", &host.path).is_none() {
        return command(host, program, args, dir);
    }
    args.splice(0..0, ["--map-root-user".to_owned(), program.to_owned()]);
    command(host, "unshare", args, dir)
}

/// Runs it. On failure, the error contains the last lines of its output.
pub(super) fn finish(command: Command) -> Result<Finished> {
    let shown = command.display();
    let done = command.run().map_err(|e| failed(&shown, e.to_string()))?;
    if done.status.success() {
        return Ok(done);
    }
    // rpmkeys reports on standard output.
    let output = Some(done.stderr_text()).filter(|text| !text.trim().is_empty());
    let output = output.unwrap_or_else(|| done.stdout_text());
    let last: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = last.get(last.len().saturating_sub(4)..).unwrap_or_default().join("; ");
    Err(failed(&shown, format!("{}: {last}", done.status)))
}

pub(super) fn failed(command: &str, cause: String) -> crate::Error {
    ProgramError::Failed { command: command.to_owned(), cause: cause.into() }.into()
}

/// Unpacks the files of an rpm package below a directory.
pub(super) fn unpack_rpm(host: &Host, package: &Path, root: &Path) -> Result<()> {
    dkms_sys::fs::create_dir_all(root)?;
    let payload = package.with_extension("cpio");
    let file = dkms_sys::fs::create_truncated(&payload)?;
    let words = vec![package.display().to_string()];
    finish(command(host, "rpm2cpio", words, root).stdout(Stream::File(file)))?;
    let words = ["--extract", "--make-directories", "--no-absolute-filenames", "--quiet"].map(str::to_owned);
    let file = dkms_sys::fs::open(&payload)?;
    finish(command(host, "cpio", words.into(), root).stdin(Stdin::Stream(file.into())))?;
    dkms_sys::fs::remove_tree(&payload)?;
    Ok(())
}

/// The files in a directory whose names have one of these ends.
pub(super) fn files(dir: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let names = dkms_sys::fs::list_dir_optional(dir).unwrap_or_default();
    let fits =
        |name: &std::ffi::OsString| name.to_str().is_some_and(|n| ends.iter().any(|end| n.ends_with(end)));
    let mut found: Vec<PathBuf> = names.iter().filter(|name| fits(name)).map(|name| dir.join(name)).collect();
    found.sort();
    found
}

/// Returns whether a word can be the release of a kernel, so that it can be a part of the name of a package
/// and of a path.
pub(super) fn is_release(word: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(legal) && word.len() < 128
}
