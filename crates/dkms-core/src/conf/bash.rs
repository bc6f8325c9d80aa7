//! Evaluates a configuration file with bash. Only this module runs bash for that. The file is untrusted: it
//! runs as a dedicated user, in separate namespaces, with a temporary copy of its directory, and only known
//! directives are read back.

use crate::confine::{self, BuildUser};
use crate::event::Sink;
use crate::host::Host;
use crate::system::System;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_conf::{Dialect, Directives, State};
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Finished, ProcessError, Stdin, Stream};
use dkms_sys::sandbox::{self, Access, Part, Place, Profile};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The beginning of the reason if the file is no valid bash; the message of bash follows.
pub const CANNOT_PARSE: &str = "bash cannot parse the file: line ";

/// The time limit for the evaluation of a file.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A source tree up to this size is copied; a larger tree is the lower layer of a temporary overlay.
const COPY_FILES: usize = 2000;
const COPY_BYTES: u64 = 16 << 20;
/// With more files than this, the tree itself is shown, read-only.
const MOST_FILES: usize = 200_000;

/// The inputs of an evaluation with bash, besides the file.
pub struct Evaluator<'a> {
    /// The directory of the administrator's files; nothing beside them is shown to bash.
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
    /// The evaluator of a system.
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

/// Evaluates one file. `text` is its content, `path` is where it was read.
///
/// # Errors
/// In words: bash is missing, a limit was exceeded, the confinement is impossible, or the message of bash.
pub fn evaluate(
    evaluator: &Evaluator<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<Directives, String> {
    let bash = dkms_sys::process::which("bash", &evaluator.host.path)
        .ok_or("bash is not installed, and this file needs it (see 'dkms config')")?;
    // It is harmless if others cannot enter it: its contents are mounted, or belong to the user of the
    // evaluation.
    let scratch = TempDir::new_in(evaluator.tmp_location, "dkms-conf").map_err(|e| e.to_string())?;
    let user = BuildUser::claim(evaluator.framework);
    let mut task = Evaluation {
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
    let answer = task.result()?;
    let complete = names_package(&answer.directives) && !answer.missed_file && !computes_identity(text);
    if complete || task.source().is_none() {
        return Ok(answer.directives);
    }
    // The file may read a file next to it by its bare name, as in PACKAGE_VERSION="1.$(cat VERSION)". With
    // dkms 3, this works only if dkms is run in that directory.
    task.in_source = true;
    let in_source = task.result().ok().map(|answer| answer.directives);
    Ok(in_source.filter(names_package).unwrap_or(answer.directives))
}

/// Returns whether the file computes the package's name or version with a command, which may read a part of
/// it from a file.
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

/// The output of one run of bash.
struct Answer {
    directives: Directives,
    /// Whether a command did not find a file.
    missed_file: bool,
}

struct Evaluation<'a> {
    /// Whether the working directory is the directory of the file, not an empty directory.
    in_source: bool,
    evaluator: &'a Evaluator<'a>,
    bash: PathBuf,
    path: PathBuf,
    text: &'a [u8],
    before: &'a State,
    dialect: Dialect,
    user: BuildUser,
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
    /// Runs bash and reads its answer.
    fn result(&self) -> Result<Answer, String> {
        // If private mounts or layers are unavailable, the evaluation is retried without them.
        for _ in 0..3 {
            match self.run() {
                Err(ProcessError::NoView { .. }) => continue,
                Err(e) => return Err(explained(&e)),
                Ok((done, shown)) => return self.answer(&done, shown.as_deref()),
            }
        }
        Err("this machine cannot run it confined".to_owned())
    }

    /// Runs bash. Returns the result and, if the file was evaluated in another directory, that directory.
    fn run(&self) -> Result<(Finished, Option<PathBuf>), ProcessError> {
        let mounts = !sandbox::lacks(Part::Mounts);
        let mut profile = confine::profile(self.scratch.path(), self.user.ids());
        profile.temporary = confine::EVALUATION_SPACE;
        profile.limits = confine::evaluation_limits();
        let home = self.scratch.path().join("home");
        self.own_directory(&home)?;
        profile.places.push(Place::new(&home, Access::Write));
        let shown = if mounts { self.show(&mut profile).map(|()| None)? } else { self.copy_aside()? };
        let file = match &shown {
            Some(dir) => dir.join(self.path.file_name().unwrap_or_default()),
            None => self.path.clone(),
        };
        if let Some(dir) = &shown {
            profile.places.push(Place::new(dir, Access::Write));
        }
        let cwd = file.parent().filter(|_| self.in_source).unwrap_or(&home).to_owned();
        let done = Command::new(&self.bash)
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
        Ok((done, shown))
    }

    /// Creates an empty directory for the user of the evaluation.
    fn own_directory(&self, dir: &Path) -> Result<(), ProcessError> {
        dkms_sys::fs::create_dir_all(dir)?;
        if let Some((uid, gid)) = self.user.ids() {
            dkms_sys::fs::set_owner(dir, uid, gid)?;
            // The user reaches the directory in it by its path if nothing can be mounted over it.
            dkms_sys::fs::set_mode(self.scratch.path(), 0o711)?;
        }
        Ok(())
    }

    /// Shows the file and its directory at their own paths, with mounts.
    fn show(&self, profile: &mut Profile) -> Result<(), ProcessError> {
        let Some(source) = self.source() else {
            // Its directory contains other files too, so only this file is visible, with the content that was
            // read.
            let copy = self.scratch.path().join("file");
            dkms_sys::fs::remove_file(&copy)?;
            dkms_sys::fs::create_new(&copy, self.text, 0o644)?;
            profile.places.push(Place { source: copy, target: self.path.clone(), access: Access::Read });
            return Ok(());
        };
        let small = source.files <= COPY_FILES && source.bytes <= COPY_BYTES;
        let access = if small || !source.readable || sandbox::lacks(Part::Layer) {
            profile.temporary += source.bytes;
            Access::Copy
        } else {
            Access::Layer
        };
        let access = if source.files > MOST_FILES { Access::Read } else { access };
        // Mount it at the given path, which may contain a link, and at the real path.
        let named = self.path.parent().unwrap_or(Path::new("/"));
        if named != source.dir {
            profile.places.push(Place { source: source.dir.clone(), target: named.to_owned(), access });
        }
        profile.places.push(Place { source: source.dir.clone(), target: source.dir, access });
        Ok(())
    }

    /// Without mounts: uses the file where it is if its user can read it and its directory, else a copy
    /// elsewhere.
    fn copy_aside(&self) -> Result<Option<PathBuf>, ProcessError> {
        let source = self.source();
        let Some((uid, _)) = self.user.ids() else { return Ok(None) };
        let reachable = |p: &Path| p.ancestors().skip(1).all(|d| has_rights(d, uid, 0o1));
        let in_place = match &source {
            Some(source) => source.readable && reachable(&source.dir) && reachable(&self.path),
            None => has_rights(&self.path, uid, 0o4) && reachable(&self.path),
        };
        if in_place {
            return Ok(None);
        }
        let dir = self.scratch.path().join("source");
        dkms_sys::fs::remove_tree(&dir)?;
        match source {
            // Pipes and the like are left out; no configuration reads them.
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

    /// The directory of the file, if it is a package's source. A directory of the system or of a user is not:
    /// it has other things in it.
    fn source(&self) -> Option<Source> {
        let dir = self.path.parent()?.canonicalize().ok()?;
        let meta = dir.metadata().ok()?;
        let shared = meta.mode() & 0o002 != 0;
        let systems = ["/", "/etc", "/root", "/home", "/usr", "/usr/src", "/var", "/var/lib", "/opt", "/srv"];
        let foreign = systems.iter().any(|d| dir == Path::new(d))
            || dir.parent() == Some(Path::new("/home"))
            || dir.starts_with(self.evaluator.config_dir);
        if self.dialect != Dialect::Module || shared || foreign {
            return None;
        }
        let mut source = Source { dir: dir.clone(), files: 0, bytes: 0, readable: true };
        let uid = self.user.ids().map_or_else(dkms_sys::sys::effective_uid, |(uid, _)| uid);
        source.measure(&dir, uid);
        Some(source)
    }

    fn answer(&self, done: &Finished, shown: Option<&Path>) -> Result<Answer, String> {
        confine::check_enforced(
            self.evaluator.framework,
            self.evaluator.sink,
            "the evaluation of dkms.conf",
            &done.enforced,
        )
        .map_err(|e| e.to_string())?;
        let errors = String::from_utf8_lossy(&done.stderr);
        // bash continues after some of them, with half of the file.
        if let Some(line) = errors.lines().find(|l| l.contains("syntax error")) {
            let shown = line.rsplit(": line ").next().unwrap_or(line);
            return Err(format!("{CANNOT_PARSE}{shown}"));
        }
        if let Some(why) = dkms_conf::explain_failure(done.status.code_for_shell(), &errors) {
            return Err(why.to_string());
        }
        if done.cut {
            return Err(format!("its values are longer than {} MiB", dkms_sys::process::CAPTURE_LIMIT >> 20));
        }
        if let Some(line) = errors.lines().find(|l| l.contains("No space left on device")) {
            return Err(format!("it wrote more than {} MiB ({line})", confine::EVALUATION_SPACE >> 20));
        }
        if let Some(line) = errors.lines().find(|l| killed_inside(l)) {
            return Err(format!("a process that it started was killed ({line})"));
        }
        let mut directives = dkms_conf::parse_records(&done.stdout).map_err(|e| e.to_string())?;
        if let (Some(shown), Some(real)) = (shown, self.path.parent()) {
            directives = with_original_paths(&directives, shown, real);
        }
        Ok(Answer { directives, missed_file: errors.contains("No such file or directory") })
    }
}

/// Returns the reason why bash was stopped. The error itself would contain the command line, which is a
/// complete program.
fn explained(error: &ProcessError) -> String {
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

/// Matches bash's message about a command of a script that was killed by SIGKILL: `FILE: line N: PID Killed
/// COMMAND`.
fn killed_inside(line: &str) -> bool {
    let Some((before, _)) = line.split_once(" Killed ") else { return false };
    before.contains(": line ")
        && before.rsplit(' ').next().is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()))
}

/// Replaces the path of the copy by the path of the original directory in all values. The path has a random
/// part, so no other text matches.
fn with_original_paths(directives: &Directives, from: &Path, to: &Path) -> Directives {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let mut out = Directives::new();
    for (name, index, value) in directives.iter() {
        out.set(name, index, value.replace(&*from, &to));
    }
    out
}

impl Source {
    fn measure(&mut self, dir: &Path, uid: u32) {
        let Ok(entries) = dkms_sys::fs::read_dir(dir) else {
            self.readable = false;
            return;
        };
        for entry in entries {
            self.files += 1;
            let Ok(meta) = entry.metadata() else { continue };
            let (path, kind) = (entry.path(), meta.file_type());
            if self.files > MOST_FILES {
                return;
            }
            if kind.is_dir() {
                self.readable &= has_rights(&path, uid, 0o5);
                self.measure(&path, uid);
            } else if kind.is_file() {
                self.bytes = self.bytes.saturating_add(meta.len());
                self.readable &= has_rights(&path, uid, 0o4);
            }
        }
    }
}

/// Returns whether a user has these rights (4 read, 2 write, 1 enter), as the owner or as any other user.
fn has_rights(path: &Path, uid: u32, rights: u32) -> bool {
    path.metadata().is_ok_and(|m| {
        let mode = m.permissions().mode();
        uid == 0 || (if m.uid() == uid { mode >> 6 } else { mode }) & rights == rights
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_prints_of_a_killed_command() {
        assert!(killed_inside("/usr/src/x/dkms.conf: line 3:    12 Killed                  sleep 9"));
        assert!(!killed_inside("echo: nobody was Killed here"));
        assert!(!killed_inside("x: line 3: Killed by a bug"));
    }

    #[test]
    fn which_names_and_versions_are_computed() {
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
    fn values_name_the_directory_again() {
        let mut d = Directives::new();
        d.set("MAKE", 0, "make -C /tmp/dkms-confX/source/sub");
        let back = with_original_paths(&d, Path::new("/tmp/dkms-confX/source"), Path::new("/usr/src/m-1"));
        assert_eq!(back.get("MAKE", 0), Some("make -C /usr/src/m-1/sub"));
    }
}
