//! A package's own scripts (POST_ADD, PRE_BUILD, ...) and the command strings of framework.conf.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, PackageId};
use crate::session::Session;
use dkms_sys::process::{Command, ProcessError, Status, Stream};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a script's output goes.
pub enum Output<'a> {
    /// To whoever watches.
    Told,
    /// Appended to the make.log.
    Log(&'a File),
}

/// One script line of a dkms.conf: a file, and words handed to it.
pub struct Script<'a> {
    /// `PRE_BUILD` and so on.
    pub directive: &'static str,
    /// The directive's value.
    pub line: &'a str,
    /// Where it is looked for and run: the build directory or the source.
    pub directory: &'a Path,
    /// Where it sees that directory, if elsewhere.
    pub seen: Option<&'a Path>,
    /// Variables beyond the inherited ones.
    pub environment: &'a [(String, String)],
    /// Files that it does not see.
    pub hidden: &'a [PathBuf],
}

/// Runs a script. `/etc/dkms/M/SCRIPT` wins when it is executable; a script that is not executable is a warning and
/// counts as success.
///
/// # Errors
/// When it cannot be started; how it ended is the result.
pub fn run(
    s: &Session<'_>,
    package: &PackageId,
    script: &Script<'_>,
    output: Output<'_>,
) -> Result<Option<Status>> {
    // dkms splits the value into words and runs the first below the directory.
    let mut words = script.line.split_whitespace();
    let Some(file) = words.next() else { return Ok(None) };
    let own = s.layout.config_dir.join(&package.name).join(file);
    let shipped = script.directory.join(file);
    let program = if executable(&own) { own } else { shipped };
    if !executable(&program) {
        s.warn(format!(
            "{} of {package} names {}, which {}; it was not run",
            script.directive,
            program.display(),
            if program.exists() { "is not executable" } else { "does not exist" }
        ));
        return Ok(None);
    }
    s.tell(Event::ScriptStarted {
        package: package.clone(),
        directive: script.directive,
        command: script.line.to_owned(),
    });
    let command = Command::new(&program)
        .args(words)
        .envs(s.host.environment.iter().cloned())
        .envs(script.environment.iter().cloned())
        .cwd(script.seen.unwrap_or(script.directory));
    let command = match script.seen {
        Some(seen) => command.bind(script.directory, seen),
        None => command,
    };
    let command = script.hidden.iter().fold(command, |command, file| command.hide(file));
    let done = match output {
        Output::Log(log) => {
            let log = log.try_clone().map_err(|source| io("write", &program, source))?;
            command.stdout(Stream::File(log)).stderr(Stream::ToStdout).run()
        }
        Output::Told => command.stdout(Stream::Capture).stderr(Stream::ToStdout).run(),
    }
    .map_err(|e| process_error(s, &e, "run a package's script"))?;
    if !done.stdout.is_empty() {
        s.tell(Event::ScriptOutput { text: String::from_utf8_lossy(&done.stdout).into_owned() });
    }
    Ok(Some(done.status))
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn io(op: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io(dkms_sys::IoError::new(op, path, source))
}

/// Turns a process that could not be run into our error.
pub fn process_error(s: &Session<'_>, e: &ProcessError, purpose: &str) -> Error {
    match e {
        ProcessError::NotFound { program, .. } => {
            let name =
                Path::new(program).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let package =
                s.host.distribution.as_ref().map_or_else(|| name.clone(), |d| d.program_package(&name));
            Error::ProgramMissing { program: name, purpose: purpose.to_owned(), package }
        }
        ProcessError::Interrupted { signal, .. } => Error::Interrupted(*signal),
        other => Error::CommandFailed { command: purpose.to_owned(), reason: other.to_string() },
    }
}

/// Runs `post_transaction` once, its output in `post_transaction.log` of the tree. A failure is a warning: the modules
/// are in place.
pub fn post_transaction(s: &Session<'_>, command: &str) {
    let log_path: PathBuf = s.layout.post_transaction_log();
    let started = std::time::Instant::now();
    let log = match dkms_sys::fs::create_truncated(&log_path) {
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
    let (true, true, Some(python)) = (executable(Path::new(apport)), Path::new(hook).is_file(), python)
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
