//! A package's own scripts (POST_ADD, PRE_BUILD, ...) and the command strings of framework.conf.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::program::ProgramError;
use crate::session::Session;
use crate::tree::layout::Layout;
use dkms_sys::fs;
use dkms_sys::process::{Command, ProcessError, Status, Stream};
use std::path::{Path, PathBuf};

/// One script line of a dkms.conf: a file, and what is handed to it.
pub struct Script<'a> {
    /// `PRE_BUILD` and so on.
    pub directive: &'static str,
    /// The directive's value.
    pub line: &'a str,
    /// Where it is looked for and run, as the script sees it: the build directory or the source, by its path in the tree.
    pub directory: &'a Path,
    /// Variables beyond the inherited ones.
    pub environment: &'a [(String, String)],
}

/// Variables that dkms exports to the scripts of a package and to make. What of these the caller has set is never passed
/// on: a stale kernelver would build for another kernel.
pub fn variables(package: &PackageId, kernel: Option<&Kernel>) -> Vec<(String, String)> {
    let (release, arch) = kernel.map_or(("", ""), |k| (&k.release, &k.arch));
    [
        ("kernelver", release),
        ("arch", arch),
        ("module", package.name.as_str()),
        ("module_version", package.version.as_str()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Finds the file of a script line: an executable of that name in `/etc/dkms/M/`, else one below `directory`, even if the
/// name begins with a slash.
pub(crate) fn locate(layout: &Layout, package: &PackageId, line: &str, directory: &Path) -> Option<PathBuf> {
    let name = file_name(line)?;
    let own = layout.config_dir.join(&package.name).join(name);
    let shipped = directory.join(name);
    [own, shipped].into_iter().find(|file| fs::is_executable(file))
}

fn file_name(line: &str) -> Option<&str> {
    Some(line.split_whitespace().next()?.trim_start_matches('/'))
}

/// Finds the file of a script as [`locate`] does, by the path at which the script sees it. `directory` is where the script's
/// directory really is. `None`, with a warning, if there is no such executable.
pub(crate) fn find(
    session: &Session<'_>,
    package: &PackageId,
    script: &Script<'_>,
    directory: &Path,
) -> Option<PathBuf> {
    let shipped = directory.join(file_name(script.line)?);
    let Some(file) = locate(session.layout, package, script.line, directory) else {
        session.warn(format!(
            "{} of {package} was not run: {} {}",
            script.directive,
            shipped.display(),
            if fs::exists_followed(&shipped) { "is not executable" } else { "does not exist" }
        ));
        return None;
    };
    match file.strip_prefix(directory) {
        Ok(name) => Some(script.directory.join(name)),
        Err(_) => Some(file),
    }
}

/// The arguments in a script's line: what follows the file.
pub(crate) fn arguments(line: &str) -> &str {
    let line = line.trim_start();
    line.find(char::is_whitespace).and_then(|at| line.get(at..)).unwrap_or_default().trim()
}

/// Runs a script that acts on the system: PRE_INSTALL, POST_INSTALL, POST_ADD, POST_REMOVE. Its words are split and file
/// name patterns in them expanded, as dkms does it; nothing else of the shell applies. A script that cannot be started,
/// for want of its interpreter, ends with 126 or 127. `None`: there is no such script, which is a warning.
///
/// # Errors
/// When the shell cannot be started; how the script ended is the result.
pub fn run(s: &Session<'_>, package: &PackageId, script: &Script<'_>) -> Result<Option<Status>> {
    let Some(program) = find(s, package, script, script.directory) else { return Ok(None) };
    announce(s, package, script);
    // Not quoted, so that the shell splits and expands it.
    let line = "exec \"$1\" $2";
    let done = Command::new(shell(s))
        .args(["-c", line, "dkms"])
        .arg(&program)
        .arg(arguments(script.line))
        .envs(s.host.environment.iter().cloned())
        .envs(script.environment.iter().cloned())
        .env("PWD", script.directory)
        .cwd(script.directory)
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run()
        .map_err(|e| process_error(s, e, "run a package's script"))?;
    if !done.stdout.is_empty() {
        s.tell(Event::ScriptOutput { text: String::from_utf8_lossy(&done.stdout).into_owned() });
    }
    Ok(Some(done.status))
}

/// Reports that a script is about to run.
pub(crate) fn announce(s: &Session<'_>, package: &PackageId, script: &Script<'_>) {
    s.tell(Event::ScriptStarted {
        package: package.clone(),
        directive: script.directive,
        command: script.line.to_owned(),
    });
}

/// The shell that runs lines of dkms.conf.
pub(crate) fn shell(s: &Session<'_>) -> PathBuf {
    let find = |name| dkms_sys::process::which(name, &s.host.path);
    find("bash").or_else(|| find("sh")).unwrap_or_else(|| "/bin/sh".into())
}

/// Turns a process that could not be run into our error.
pub fn process_error(s: &Session<'_>, e: ProcessError, purpose: &str) -> Error {
    match e {
        ProcessError::NotFound { program, .. } => {
            let name = Path::new(&program)
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let package =
                s.host.distribution.as_ref().map_or_else(|| name.clone(), |d| d.program_package(&name));
            Error::Program(ProgramError::Missing { program: name, purpose: purpose.to_owned(), package })
        }
        ProcessError::Interrupted { signal, .. } => Error::Interrupted(signal),
        other => Error::Program(ProgramError::Failed { command: purpose.to_owned(), cause: other.into() }),
    }
}

/// Runs `post_transaction` once, its output in `post_transaction.log` of the tree. A failure is a warning: the modules
/// are in place.
pub fn post_transaction(s: &Session<'_>, command: &str) {
    let log_path: PathBuf = s.layout.post_transaction_log();
    let started = std::time::Instant::now();
    let log = match fs::create_truncated(&log_path) {
        Ok(log) => log,
        Err(e) => {
            return s.warn(format!("post_transaction was not run: cannot write {}: {e}", log_path.display()));
        }
    };
    let Some(shell) = dkms_sys::process::which("bash", &s.host.path)
        .or_else(|| dkms_sys::process::which("sh", &s.host.path))
    else {
        return s.warn("post_transaction was not run: there is no shell");
    };
    let done = Command::new(shell)
        .args(["-c", command])
        .envs(s.host.environment.iter().cloned())
        .stdout(Stream::File(log))
        .stderr(Stream::ToStdout)
        .run();
    match done {
        Ok(done) if done.status.success() => s.tell(Event::CommandRun {
            what: "post_transaction".into(),
            command: command.to_owned(),
            elapsed: started.elapsed(),
        }),
        Ok(done) => s.warn(format!(
            "post_transaction ({command}) ended with {}; its output is in {}",
            done.status,
            log_path.display()
        )),
        Err(e) => s.warn(format!("post_transaction ({command}) could not be run: {e}")),
    }
}

/// Hands a failed build to apport where it is installed. Its failure is nobody's concern here.
pub fn apport(s: &Session<'_>, b: &Build) {
    let (apport, hook) = ("/usr/share/apport/apport", "/usr/share/apport/package-hooks/dkms_packages.py");
    let python = dkms_sys::process::which("python3", &s.host.path);
    let (true, true, Some(python)) =
        (fs::is_executable(Path::new(apport)), Path::new(hook).is_file(), python)
    else {
        return;
    };
    let _ = Command::new(python)
        .args([hook, "-m", &b.package.name, "-v", &b.package.version, "-k", &b.kernel.release])
        .envs(s.host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Null)
        .run();
}
