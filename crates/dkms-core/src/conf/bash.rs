//! Evaluates a configuration file with bash. Only this module does so. The file is untrusted: it runs as a
//! dedicated user, in separate namespaces, with a temporary copy of its directory, and only known directives
//! are read from the result.

use crate::confine::{self, BuildUser};
use crate::event::Sink;
use crate::host::Host;
use crate::system::System;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_conf::{Dialect, Directives, State};
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Finished, ProcessError, Stdin, Stream};
use dkms_sys::sandbox::{self, Access, Part, Place, Profile};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The beginning of the reason if the file is not valid bash. The message of bash follows.
pub const CANNOT_PARSE: &str = "bash cannot parse the file: line ";

/// The time limit for the evaluation of a file.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A source tree up to this size is copied. A larger tree is the lower layer of a temporary overlay.
const MAX_COPIED_FILES: usize = 2000;
const MAX_COPIED_BYTES: u64 = 16 << 20;
/// A tree with more files than this is mounted read-only.
const MAX_FILES: usize = 200_000;

/// What an evaluation with bash needs, except the file.
pub struct Evaluator<'a> {
    /// The directory of the administrator's files. bash sees only the evaluated file of it.
    pub config_dir: &'a Path,
    /// The machine.
    pub host: &'a Host,
    /// The directory for temporary files.
    pub tmp_location: &'a Path,
    /// `build_users` and `build_confinement`.
    pub framework: &'a FrameworkConf,
    /// Receives warnings.
    pub sink: &'a dyn Sink,
}

impl<'a> Evaluator<'a> {
    /// Returns the evaluator of a system.
    pub fn new(system: &'a System, sink: &'a dyn Sink) -> Self {
        Self {
            config_dir: &system.layout.config_dir,
            host: &system.host,
            tmp_location: &system.settings.tmp_location,
            framework: &system.settings.framework,
            sink,
        }
    }
}

/// Evaluates one file. `text` is its content; it was read from `path`.
///
/// # Errors
/// The reason as text: bash is missing, a limit was exceeded, the confinement is impossible, or the message
/// of bash.
pub fn evaluate(
    evaluator: &Evaluator<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<Directives, String> {
    let bash = dkms_sys::process::which("bash", &evaluator.host.path)
        .ok_or("bash is not installed, and this file needs it (see 'dkms config')")?;
    let scratch = TempDir::new_in(evaluator.tmp_location, "dkms-conf").map_err(|e| e.to_string())?;
    let user = BuildUser::claim(evaluator.framework);
    let mut evaluation = Evaluation {
        in_source: false,
        evaluator,
        bash,
        path: std::path::absolute(path).map_err(|e| e.to_string())?,
        text,
        before,
        dialect,
        user,
        scratch,
    };
    let output = evaluation.run_with_retries()?;
    let is_complete = names_package(&output.directives) && !output.missed_file && !computes_identity(text);
    if is_complete || evaluation.source().is_none() {
        return Ok(output.directives);
    }
    // The file may read a file next to it without a path, as in PACKAGE_VERSION="1.$(cat VERSION)". With
    // dkms 3, this works only if dkms is run in that directory.
    evaluation.in_source = true;
    let in_source = evaluation.run_with_retries().ok().map(|output| output.directives);
    Ok(in_source.filter(names_package).unwrap_or(output.directives))
}

/// Returns whether the file computes the package's name or version with a command. The command may read it
/// from a file.
fn computes_identity(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).lines().any(|line| {
        let line = line.trim_start();
        ["PACKAGE_NAME", "PACKAGE_VERSION"].iter().any(|name| {
            let value =
                line.strip_prefix(name).and_then(|rest| rest.trim_start_matches('+').strip_prefix('='));
            value.is_some_and(|value| value.contains("$(") || value.contains('`'))
        })
    })
}

/// Returns whether a package's name and version are set.
fn names_package(directives: &Directives) -> bool {
    ["PACKAGE_NAME", "PACKAGE_VERSION"].iter().all(|name| !directives.scalar(name).is_empty())
}

/// The result of one run of bash.
struct Output {
    directives: Directives,
    /// Whether a command did not find a file.
    missed_file: bool,
}

/// The evaluation of one file.
struct Evaluation<'a> {
    /// Whether the working directory is the directory of the file instead of an empty directory.
    in_source: bool,
    evaluator: &'a Evaluator<'a>,
    bash: PathBuf,
    path: PathBuf,
    text: &'a [u8],
    before: &'a State,
    dialect: Dialect,
    user: BuildUser,
    /// Other users need not be able to enter this directory: its contents are mounted, or belong to `user`.
    scratch: TempDir,
}

/// The directory of the file, if it is the source of a package.
struct Source {
    /// Its real path.
    dir: PathBuf,
    files: usize,
    bytes: u64,
    /// Whether the user of the evaluation can read all of it.
    readable: bool,
}

impl Evaluation<'_> {
    /// Runs bash and parses its output. If private mounts or layers are unavailable, retries without them.
    fn run_with_retries(&self) -> Result<Output, String> {
        for _ in 0..3 {
            match self.run() {
                Err(ProcessError::NoView { .. }) => continue,
                Err(e) => return Err(describe(&e)),
                Ok((finished, copy)) => return self.parse(&finished, copy.as_deref()),
            }
        }
        Err("this machine cannot run it confined".to_owned())
    }

    /// Runs bash. Returns the result and, if a copy of the file was evaluated, the directory of the copy.
    fn run(&self) -> Result<(Finished, Option<PathBuf>), ProcessError> {
        let mut profile = confine::profile(self.scratch.path(), self.user.ids());
        profile.temporary = confine::EVALUATION_SPACE;
        profile.limits = confine::evaluation_limits();
        let home = self.scratch.path().join("home");
        self.create_user_directory(&home)?;
        profile.places.push(Place::new(&home, Access::Write));
        let mut file = self.path.clone();
        let copy = if sandbox::lacks(Part::Mounts) {
            self.copy_if_unreadable()?
        } else {
            self.mount(&mut profile)?;
            None
        };
        if let Some(dir) = &copy {
            file = dir.join(self.path.file_name().unwrap_or_default());
            profile.places.push(Place::new(dir, Access::Write));
        }
        let cwd = file.parent().filter(|_| self.in_source).unwrap_or(&home).to_owned();
        let finished = Command::new(&self.bash)
            .args(["--noprofile", "--norc", "-c", &dkms_conf::bash_program(self.dialect), "dkms"])
            .arg(&file)
            .args(dkms_conf::bash_arguments(self.before))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("LC_ALL", "C")
            .cwd(cwd)
            .private_home()
            .stdin(Stdin::Null)
            .stdout(Stream::Capture)
            .stderr(Stream::Capture)
            .timeout(TIME_LIMIT)
            .confine(profile)
            .run()?;
        Ok((finished, copy))
    }

    /// Creates an empty directory in the scratch directory for the user of the evaluation.
    fn create_user_directory(&self, dir: &Path) -> Result<(), ProcessError> {
        dkms_sys::fs::create_dir_all(dir)?;
        if let Some((uid, gid)) = self.user.ids() {
            dkms_sys::fs::set_owner(dir, uid, gid)?;
            // If mounts are unavailable, the user enters the directory through the scratch directory.
            dkms_sys::fs::set_mode(self.scratch.path(), 0o711)?;
        }
        Ok(())
    }

    /// Mounts the file and its directory at their own paths.
    fn mount(&self, profile: &mut Profile) -> Result<(), ProcessError> {
        let Some(source) = self.source() else {
            // Its directory contains other files too, so only this file is visible, with the content that was
            // read.
            let copy = self.scratch.path().join("file");
            dkms_sys::fs::remove_file(&copy)?;
            dkms_sys::fs::create_new(&copy, self.text, 0o644)?;
            profile.places.push(Place { source: copy, target: self.path.clone(), access: Access::Read });
            return Ok(());
        };
        let is_small = source.files <= MAX_COPIED_FILES && source.bytes <= MAX_COPIED_BYTES;
        let mut access = Access::Layer;
        if is_small || !source.readable || sandbox::lacks(Part::Layer) {
            profile.temporary += source.bytes;
            access = Access::Copy;
        }
        if source.files > MAX_FILES {
            access = Access::Read;
        }
        // Mount it at the given path, which may contain a link, and at the real path.
        let given_dir = self.path.parent().unwrap_or(Path::new("/"));
        if given_dir != source.dir {
            profile.places.push(Place { source: source.dir.clone(), target: given_dir.to_owned(), access });
        }
        profile.places.push(Place { source: source.dir.clone(), target: source.dir, access });
        Ok(())
    }

    /// Used if mounts are unavailable. If the user of the evaluation cannot read the file and its directory,
    /// copies them and returns the directory of the copy.
    fn copy_if_unreadable(&self) -> Result<Option<PathBuf>, ProcessError> {
        let source = self.source();
        let Some((uid, _)) = self.user.ids() else { return Ok(None) };
        let is_reachable = |path: &Path| path.ancestors().skip(1).all(|dir| has_rights(dir, uid, 0o1));
        let is_readable = match &source {
            Some(source) => source.readable && is_reachable(&source.dir) && is_reachable(&self.path),
            None => has_rights(&self.path, uid, 0o4) && is_reachable(&self.path),
        };
        if is_readable {
            return Ok(None);
        }
        let dir = self.scratch.path().join("source");
        dkms_sys::fs::remove_tree(&dir)?;
        match source {
            // Special files such as pipes are not copied; no configuration reads them.
            Some(source) => drop(dkms_sys::fs::copy_tree(&source.dir, &dir)?),
            None => {
                dkms_sys::fs::create_dir_all(&dir)?;
                let name = self.path.file_name().unwrap_or_default();
                dkms_sys::fs::create_new(dir.join(name), self.text, 0o644)?;
            }
        }
        crate::owner::give(&dir, self.user.ids())?;
        Ok(Some(dir))
    }

    /// Returns the directory of the file if it is a package's source. A directory of the system or of a user
    /// is not one, because it contains other files.
    fn source(&self) -> Option<Source> {
        let dir = self.path.parent()?.canonicalize().ok()?;
        let is_shared = dir.metadata().ok()?.mode() & 0o002 != 0;
        let system = ["/", "/etc", "/root", "/home", "/usr", "/usr/src", "/var", "/var/lib", "/opt", "/srv"];
        let has_other_files = system.iter().any(|path| dir == Path::new(path))
            || dir.parent() == Some(Path::new("/home"))
            || dir.starts_with(self.evaluator.config_dir);
        if self.dialect != Dialect::Module || is_shared || has_other_files {
            return None;
        }
        let mut source = Source { dir: dir.clone(), files: 0, bytes: 0, readable: true };
        let uid = self.user.ids().map_or_else(dkms_sys::sys::effective_uid, |(uid, _)| uid);
        source.measure(&dir, uid);
        Some(source)
    }

    /// Parses the output of bash. `copy` is the directory of the copy that was evaluated.
    fn parse(&self, finished: &Finished, copy: Option<&Path>) -> Result<Output, String> {
        let Evaluator { framework, sink, .. } = *self.evaluator;
        confine::check_enforced(framework, sink, "the evaluation of dkms.conf", &finished.enforced)
            .map_err(|e| e.to_string())?;
        let errors = String::from_utf8_lossy(&finished.stderr);
        let find_line = |text: &str| errors.lines().find(|line| line.contains(text));
        // After some syntax errors, bash continues with a part of the file.
        if let Some(line) = find_line("syntax error") {
            let message = line.rsplit(": line ").next().unwrap_or(line);
            return Err(format!("{CANNOT_PARSE}{message}"));
        }
        if let Some(why) = dkms_conf::explain_failure(finished.status.code_for_shell(), &errors) {
            return Err(why.to_string());
        }
        if finished.cut {
            return Err(format!("its values are longer than {} MiB", dkms_sys::process::CAPTURE_LIMIT >> 20));
        }
        if let Some(line) = find_line("No space left on device") {
            return Err(format!("it wrote more than {} MiB ({line})", confine::EVALUATION_SPACE >> 20));
        }
        if let Some(line) = errors.lines().find(|line| reports_killed_command(line)) {
            return Err(format!("a process that it started was killed ({line})"));
        }
        let mut directives = dkms_conf::parse_records(&finished.stdout).map_err(|e| e.to_string())?;
        if let (Some(copy), Some(original)) = (copy, self.path.parent()) {
            directives = with_original_paths(&directives, copy, original);
        }
        Ok(Output { directives, missed_file: errors.contains("No such file or directory") })
    }
}

/// Returns the reason why bash was stopped. The message of the error is not used, because it would contain
/// the command line, which is a complete program.
fn describe(error: &ProcessError) -> String {
    match error {
        ProcessError::OverLimit { limit, .. } => format!("it needed more than {limit} and was stopped"),
        ProcessError::TimedOut { after, .. } => {
            format!("it did not end within {} s and was stopped", after.as_secs())
        }
        ProcessError::Start { step, source, .. } => format!("bash cannot be started: {step}: {source}"),
        ProcessError::Interrupted { signal, .. } => {
            format!("it was stopped because dkms got {}", dkms_sys::signal::name(*signal))
        }
        other => other.to_string(),
    }
}

/// Returns whether a line is bash's message about a command that was killed by SIGKILL: `FILE: line N: PID
/// Killed COMMAND`.
fn reports_killed_command(line: &str) -> bool {
    let Some((before, _)) = line.split_once(" Killed ") else { return false };
    let pid = before.rsplit(' ').next().unwrap_or_default();
    before.contains(": line ") && pid.bytes().all(|byte| byte.is_ascii_digit())
}

/// Replaces the path of the copy by the path of the original directory in all values. No other text matches,
/// because the path of the copy has a random part.
fn with_original_paths(directives: &Directives, copy: &Path, original: &Path) -> Directives {
    let (copy, original) = (copy.to_string_lossy(), original.to_string_lossy());
    let mut replaced = Directives::new();
    for (name, index, value) in directives.iter() {
        replaced.set(name, index, value.replace(&*copy, &original));
    }
    replaced
}

impl Source {
    /// Adds the files below a directory to the counts.
    fn measure(&mut self, dir: &Path, uid: u32) {
        let Ok(entries) = dkms_sys::fs::read_dir(dir) else {
            self.readable = false;
            return;
        };
        for entry in entries {
            self.files += 1;
            if self.files > MAX_FILES {
                return;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            if metadata.is_dir() {
                self.readable &= has_rights(&path, uid, 0o5);
                self.measure(&path, uid);
            } else if metadata.is_file() {
                self.bytes = self.bytes.saturating_add(metadata.len());
                self.readable &= has_rights(&path, uid, 0o4);
            }
        }
    }
}

/// Returns whether a user has these rights (4 read, 2 write, 1 enter), as the owner or as any other user.
fn has_rights(path: &Path, uid: u32, rights: u32) -> bool {
    path.metadata().is_ok_and(|metadata| {
        let mode = if metadata.uid() == uid { metadata.mode() >> 6 } else { metadata.mode() };
        uid == 0 || mode & rights == rights
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_killed_commands() {
        assert!(reports_killed_command(
            "/usr/src/x/dkms.conf: line 3:    12 Killed                  sleep 9"
        ));
        assert!(!reports_killed_command("echo: nobody was Killed here"));
        assert!(!reports_killed_command("x: line 3: Killed by a bug"));
    }

    #[test]
    fn names_and_versions_that_a_command_computes() {
        for line in
            ["PACKAGE_VERSION=\"1.$(cat VERSION)\"", "  PACKAGE_NAME=a-`./name`", "PACKAGE_VERSION+=$(cat R)"]
        {
            assert!(computes_identity(line.as_bytes()), "{line}");
        }
        for line in ["PACKAGE_VERSION=1.0", "MAKE[0]=\"make X=$(cat X)\"", "# PACKAGE_VERSION=$(cat X)"] {
            assert!(!computes_identity(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn values_have_the_original_path() {
        let mut directives = Directives::new();
        directives.set("MAKE", 0, "make -C /tmp/dkms-confX/source/sub");
        let (copy, original) = (Path::new("/tmp/dkms-confX/source"), Path::new("/usr/src/m-1"));
        let replaced = with_original_paths(&directives, copy, original);
        assert_eq!(replaced.get("MAKE", 0), Some("make -C /usr/src/m-1/sub"));
    }
}
