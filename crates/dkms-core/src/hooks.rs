//! Runs the scripts of packages (POST_ADD, PRE_BUILD, ...) and the commands of framework.conf.

use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::program::ProgramError;
use crate::system::System;
use dkms_sys::fs;
use dkms_sys::process::{Command, ProcessError, Status, Stream};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// A script in a dkms.conf: a file and its arguments.
pub struct Script<'a> {
    /// The directive, such as `PRE_BUILD`.
    pub directive: &'static str,
    /// The value of the directive.
    pub line: &'a str,
    /// The directory that contains the file, and in which the script runs: the path of the build directory or
    /// of the source in the tree.
    pub directory: &'a Path,
    /// Variables in addition to those of the caller.
    pub environment: &'a [(String, String)],
}

/// The names of [`variables`]. If a script has no value for one of them, the variable of the caller is
/// removed.
const EXPORTED: [&str; 4] = ["kernelver", "arch", "module", "module_version"];

/// Returns the variables that dkms exports to the scripts of a package and to make. They always override
/// those of the caller, because with another kernelver a package would be built for another kernel.
pub fn variables(package: &PackageId, kernel: Option<&Kernel>) -> Vec<(String, String)> {
    let (release, arch) = kernel.map_or(("", ""), |k| (&k.release, &k.arch));
    EXPORTED
        .into_iter()
        .zip([release, arch, package.name.as_str(), package.version.as_str()])
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Finds the file of a script: an executable with its name in `/etc/dkms/M/`, otherwise in `directory`, even
/// if the name begins with a slash.
pub(crate) fn locate(layout: &Layout, package: &PackageId, line: &str, directory: &Path) -> Option<PathBuf> {
    let name = file_name(line)?;
    let administrators = layout.config_dir.join(&package.name).join(name);
    let shipped = directory.join(name);
    [administrators, shipped].into_iter().find(|file| fs::is_executable(file))
}

/// Returns the name of the file in the line of a script.
fn file_name(line: &str) -> Option<&str> {
    Some(line.split_whitespace().next()?.trim_start_matches('/'))
}

/// Finds the file of a script as [`locate`] does, and returns the path that the script sees. `directory` is
/// the current path of the script's directory. If there is no such executable, prints a warning and returns
/// `None`.
pub(crate) fn find(
    layout: &Layout,
    sink: &dyn Sink,
    package: &PackageId,
    script: &Script<'_>,
    directory: &Path,
) -> Option<PathBuf> {
    let shipped = directory.join(file_name(script.line)?);
    let Some(file) = locate(layout, package, script.line, directory) else {
        sink.warn(format!(
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

/// Returns the arguments in the line of a script.
pub(crate) fn arguments(line: &str) -> &str {
    let line = line.trim_start();
    line.find(char::is_whitespace).and_then(|at| line.get(at..)).unwrap_or_default().trim()
}

/// Runs a script that changes the system: PRE_INSTALL, POST_INSTALL, POST_ADD or POST_REMOVE. As in dkms 3,
/// the line is split into words, and file name patterns in them are expanded; no other shell syntax is
/// supported. If the script cannot be started, for example because its interpreter is missing, the status is
/// 126 or 127. If the script does not exist, prints a warning and returns `None`.
///
/// # Errors
/// The shell cannot be started.
pub fn run(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    script: &Script<'_>,
) -> Result<Option<Status>> {
    let Some(program) = find(&system.layout, sink, package, script, script.directory) else {
        return Ok(None);
    };
    announce(sink, package, script);
    // $2 is not quoted, so that the shell splits and expands it.
    let line = "exec \"$1\" $2";
    let inherited = system.host.environment.iter().filter(|(name, _)| !EXPORTED.iter().any(|e| name == e));
    let done = Command::new(shell(&system.host))
        .args(["-c", line, "dkms"])
        .arg(&program)
        .arg(arguments(script.line))
        .envs(inherited.cloned())
        .envs(script.environment.iter().cloned())
        .env("PWD", script.directory)
        .cwd(script.directory)
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run()
        .map_err(|e| process_error(&system.host, e, "run a package's script"))?;
    if !done.stdout.is_empty() {
        sink.event(Event::ScriptOutput { text: String::from_utf8_lossy(&done.stdout).into_owned() });
    }
    Ok(Some(done.status))
}

/// Reports that a script is about to run.
pub(crate) fn announce(sink: &dyn Sink, package: &PackageId, script: &Script<'_>) {
    sink.event(Event::ScriptStarted {
        package: package.clone(),
        directive: script.directive,
        command: script.line.to_owned(),
    });
}

/// The shell that runs lines of dkms.conf.
pub(crate) fn shell(host: &Host) -> PathBuf {
    find_shell(host).unwrap_or_else(|| "/bin/sh".into())
}

fn find_shell(host: &Host) -> Option<PathBuf> {
    ["bash", "sh"].into_iter().find_map(|name| dkms_sys::process::which(name, &host.path))
}

/// Returns the error for a process that could not run. `purpose` is what dkms needs the process for, such as
/// "build modules".
pub fn process_error(host: &Host, e: ProcessError, purpose: &str) -> Error {
    match e {
        ProcessError::NotFound { program, .. } => {
            let name = Path::new(&program)
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            host.missing_program(&name, purpose).into()
        }
        ProcessError::Interrupted { signal, .. } => Error::Interrupted(signal),
        other => Error::Program(ProgramError::Failed { command: purpose.to_owned(), cause: other.into() }),
    }
}

/// Runs `post_transaction`, with its output in `post_transaction.log` of the tree. A failure is only a
/// warning, because the modules are in place.
pub fn post_transaction(system: &System, sink: &dyn Sink, command: &str) {
    let log_path = system.layout.post_transaction_log();
    let started = std::time::Instant::now();
    let log = match fs::create_truncated(&log_path) {
        Ok(log) => log,
        Err(e) => {
            let path = log_path.display();
            return sink.warn(format!("post_transaction was not run: cannot write {path}: {e}"));
        }
    };
    let Some(shell) = find_shell(&system.host) else {
        return sink.warn("post_transaction was not run: there is no shell");
    };
    let done = Command::new(shell)
        .args(["-c", command])
        .envs(system.host.environment.iter().cloned())
        .stdout(Stream::File(log))
        .stderr(Stream::ToStdout)
        .run();
    match done {
        Ok(done) if done.status.success() => sink.event(Event::CommandRun {
            what: "post_transaction".into(),
            command: command.to_owned(),
            elapsed: started.elapsed(),
        }),
        Ok(done) => sink.warn(format!(
            "post_transaction ({command}) failed with {}; its output is in {}",
            done.status,
            log_path.display()
        )),
        Err(e) => sink.warn(format!("post_transaction ({command}) could not be run: {e}")),
    }
}

/// Reports a failed build to apport, Ubuntu's crash reporter, if it is installed. Errors are ignored.
pub fn apport(host: &Host, build: &Build) {
    let (apport, hook) = ("/usr/share/apport/apport", "/usr/share/apport/package-hooks/dkms_packages.py");
    let python = dkms_sys::process::which("python3", &host.path);
    let (true, true, Some(python)) =
        (fs::is_executable(Path::new(apport)), Path::new(hook).is_file(), python)
    else {
        return;
    };
    let _ = Command::new(python)
        .args([hook, "-m", &build.package.name, "-v", &build.package.version, "-k", &build.kernel.release])
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Null)
        .run();
}
