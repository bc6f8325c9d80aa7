//! What preflight needs from a package manager.

use crate::error::Result;
use crate::host::Host;
use crate::program::ProgramError;
use dkms_sys::process::{Command, Finished, Stdin, Stream, which};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A package manager. It only writes to a separate directory, and installs nothing.
pub(super) trait Manager {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Refreshes the lists of packages in the separate directory.
    fn refresh(&self) -> Result<()>;

    /// Returns the releases of the kernels that an upgrade would install.
    fn offered(&self) -> Result<Vec<String>>;

    /// Downloads the headers of a kernel, checks their signatures, and unpacks them below `root`. Returns the
    /// names of the packages with their versions.
    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>>;
}

/// Runs a program of a package manager in `dir`, and returns its output.
///
/// # Errors
/// As [`finish`].
pub(super) fn run<I: IntoIterator<Item: Into<OsString>>>(
    host: &Host,
    program: &str,
    args: I,
    dir: &Path,
) -> Result<Finished> {
    finish(command(host, program, dir).args(args))
}

/// Creates a command for a program of a package manager.
pub(super) fn command(host: &Host, program: &str, dir: &Path) -> Command {
    Command::new(program)
        .envs(host.environment.iter().cloned())
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .cwd(dir)
        .timeout(Duration::from_secs(1800))
}

/// Creates a command for a package manager that only root may run. Other users run it in a user namespace,
/// which is sufficient because it only writes to our directory.
pub(super) fn command_of_root(host: &Host, program: &str, dir: &Path) -> Command {
    if dkms_sys::sys::effective_uid() == 0 || which("unshare", &host.path).is_none() {
        return command(host, program, dir);
    }
    command(host, "unshare", dir).args(["--map-root-user", program])
}

/// Runs a command, and returns its output.
///
/// # Errors
/// [`ProgramError::Failed`] with the last lines of the output.
pub(super) fn finish(command: Command) -> Result<Finished> {
    let shown = command.display();
    let done = command.run().map_err(|e| failed(&shown, e.to_string()))?;
    if done.status.success() {
        return Ok(done);
    }
    let stderr = done.stderr_text();
    // rpmkeys prints its errors on standard output.
    let output = if stderr.trim().is_empty() { done.stdout_text() } else { stderr };
    let last: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = last.get(last.len().saturating_sub(4)..).unwrap_or_default().join("; ");
    Err(failed(&shown, format!("{}: {last}", done.status)))
}

/// Returns the error for a command that failed.
pub(super) fn failed(command: &str, cause: String) -> crate::Error {
    ProgramError::Failed { command: command.to_owned(), cause: cause.into() }.into()
}

/// Unpacks the files of an rpm package below a directory.
pub(super) fn unpack_rpm(host: &Host, package: &Path, root: &Path) -> Result<()> {
    dkms_sys::fs::create_dir_all(root)?;
    let payload = package.with_extension("cpio");
    let file = dkms_sys::fs::create_truncated(&payload)?;
    finish(command(host, "rpm2cpio", root).arg(package).stdout(Stream::File(file)))?;
    let file = dkms_sys::fs::open(&payload)?;
    let cpio = command(host, "cpio", root)
        .args(["--extract", "--make-directories", "--no-absolute-filenames", "--quiet"])
        .stdin(Stdin::Stream(file.into()));
    finish(cpio)?;
    dkms_sys::fs::remove_tree(&payload)?;
    Ok(())
}

/// Returns the files in a directory whose names end in `suffix`, sorted. Returns none if the directory cannot
/// be read.
pub(super) fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut names = dkms_sys::fs::list_dir_optional(dir).unwrap_or_default();
    names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(suffix)));
    names.sort();
    names.iter().map(|name| dir.join(name)).collect()
}

/// Removes the files in a directory whose names end in `suffix`.
pub(super) fn remove_files(dir: &Path, suffix: &str) -> Result<()> {
    for file in files(dir, suffix) {
        dkms_sys::fs::remove_tree(file)?;
    }
    Ok(())
}

/// Checks that a word can be the release of a kernel, so that it can be a part of a package name and of a
/// path.
///
/// # Errors
/// [`ProgramError::Failed`] for `command`.
pub(super) fn require_release(command: &str, word: &str) -> Result<()> {
    if is_release(word) { Ok(()) } else { Err(not_a_release(command, word)) }
}

/// Returns the error for a word that is not the release of a kernel.
pub(super) fn not_a_release(command: &str, word: &str) -> crate::Error {
    failed(command, format!("'{word}' is not the release of a kernel"))
}

/// Returns whether a word can be the release of a kernel.
pub(super) fn is_release(word: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(legal) && word.len() < 128
}
