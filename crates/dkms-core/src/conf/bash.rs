//! The only door to real bash for configuration files. The file is untrusted: it runs as a user of its own, in namespaces
//! of its own, with a throw-away copy of the directory it lies in, and only the known directives come back.

use crate::confine::{self, BuildUser};
use crate::session::Session;
use dkms_conf::{Dialect, Directives, State};
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Finished, ProcessError, Stdin, Stream};
use dkms_sys::sandbox::{self, Access, Part, Place, Profile};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the reason begins when bash says where the file is no valid bash; what it says follows.
pub const CANNOT_PARSE: &str = "bash cannot parse the file: line ";

/// How long a configuration file may think.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A source tree up to this size is copied, a larger one gets a throw-away layer.
const COPY_FILES: usize = 2000;
const COPY_BYTES: u64 = 16 << 20;
/// Of a larger one than this not even that; it is read as it is.
const MOST_FILES: usize = 200_000;

/// Evaluates one file. `text` is its contents, `path` where it was read.
///
/// # Errors
/// In words: bash missing, a limit, the confinement could not be made, or what bash said.
pub fn evaluate(
    s: &Session<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<Directives, String> {
    let bash = dkms_sys::process::which("bash", &s.host.path)
        .ok_or("bash is not installed, and this file needs it (see 'dkms config')")?;
    // Directories that others cannot enter are no obstacle: what is in this one is mounted, or its user's.
    let scratch = TempDir::new_in(&s.options.tmp_location, "dkms-conf").map_err(|e| e.to_string())?;
    let user = BuildUser::claim(s);
    let task = Evaluation {
        s,
        bash,
        path: std::path::absolute(path).map_err(|e| e.to_string())?,
        text,
        before,
        dialect,
        user,
        scratch,
    };
    // A machine that turns out to have no private mounts is asked again in another way, once for mounts, once for layers.
    for _ in 0..3 {
        match task.run() {
            Err(ProcessError::NoView { .. }) => continue,
            Err(e) => return Err(explained(&e)),
            Ok((done, shown)) => return task.answer(&done, shown.as_deref()),
        }
    }
    Err("this machine offers no way to run it".to_owned())
}

struct Evaluation<'a> {
    s: &'a Session<'a>,
    bash: PathBuf,
    path: PathBuf,
    text: &'a [u8],
    before: &'a State,
    dialect: Dialect,
    user: BuildUser,
    scratch: TempDir,
}

/// The directory around the file, as far as it is the file's own.
struct Source {
    /// Its real path.
    dir: PathBuf,
    files: usize,
    bytes: u64,
    /// The file's user can read all of it where it is.
    readable: bool,
}

impl Evaluation<'_> {
    /// Runs bash. Returns what it did and, when the file had to lie elsewhere meanwhile, that directory.
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
        let done = Command::new(&self.bash)
            .args(["--noprofile", "--norc", "-c", dkms_conf::bash_program(self.dialect), "dkms"])
            .arg(&file)
            .args(dkms_conf::bash_arguments(self.before))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("LC_ALL", "C")
            .cwd(&home)
            .private_home()
            .stdin(Stdin::Null)
            .stdout(Stream::Capture)
            .stderr(Stream::Capture)
            .timeout(TIME_LIMIT)
            .confine(profile)
            .run()?;
        Ok((done, shown))
    }

    /// An empty directory of the file's user.
    fn own_directory(&self, dir: &Path) -> Result<(), ProcessError> {
        dkms_sys::fs::create_dir_all(dir)?;
        if let Some((uid, gid)) = self.user.ids() {
            dkms_sys::fs::set_owner(dir, uid, gid)?;
            // On the way to it, where nothing is mounted over it.
            dkms_sys::fs::set_mode(self.scratch.path(), 0o711)?;
        }
        Ok(())
    }

    /// Shows the file and its directory where they are, by mounts.
    fn show(&self, profile: &mut Profile) -> Result<(), ProcessError> {
        let Some(source) = self.source() else {
            // It lies among what is not its own: it alone is shown, as it was read.
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
        // Under the name it was given by, which may lead over a link, and under the real one.
        let named = self.path.parent().unwrap_or(Path::new("/"));
        if named != source.dir {
            profile.places.push(Place { source: source.dir.clone(), target: named.to_owned(), access });
        }
        profile.places.push(Place { source: source.dir.clone(), target: source.dir, access });
        Ok(())
    }

    /// Without mounts: the file where it is if its user can read it and what is around it, else a copy elsewhere.
    fn copy_aside(&self) -> Result<Option<PathBuf>, ProcessError> {
        let source = self.source();
        let Some((uid, _)) = self.user.ids() else { return Ok(None) };
        let reachable = |p: &Path| p.ancestors().skip(1).all(|d| may(d, uid, 0o1));
        let in_place = match &source {
            Some(source) => source.readable && reachable(&source.dir) && reachable(&self.path),
            None => may(&self.path, uid, 0o4) && reachable(&self.path),
        };
        if in_place {
            return Ok(None);
        }
        let dir = self.scratch.path().join("source");
        dkms_sys::fs::remove_tree(&dir)?;
        match source {
            // What is left out, pipes and the like, no configuration reads.
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

    /// The directory of the file, if that is a package's source: not one of the system's or of a user, which have other
    /// things in them.
    fn source(&self) -> Option<Source> {
        let dir = self.path.parent()?.canonicalize().ok()?;
        let meta = dir.metadata().ok()?;
        let shared = meta.mode() & 0o002 != 0;
        let systems = ["/", "/etc", "/root", "/home", "/usr", "/usr/src", "/var", "/var/lib", "/opt", "/srv"];
        let foreign = systems.iter().any(|d| dir == Path::new(d))
            || dir.parent() == Some(Path::new("/home"))
            || dir.starts_with(&self.s.layout.config_dir);
        if self.dialect != Dialect::Module || shared || foreign {
            return None;
        }
        let mut source = Source { dir: dir.clone(), files: 0, bytes: 0, readable: true };
        let uid = self.user.ids().map_or_else(dkms_sys::sys::effective_uid, |(uid, _)| uid);
        source.measure(&dir, uid);
        Some(source)
    }

    fn answer(&self, done: &Finished, shown: Option<&Path>) -> Result<Directives, String> {
        confine::judge(self.s, "the evaluation of dkms.conf", &done.enforced)?;
        let said = String::from_utf8_lossy(&done.stderr);
        // bash goes on after some of them, with half of the file.
        if let Some(line) = said.lines().find(|l| l.contains("syntax error")) {
            let shown = line.rsplit(": line ").next().unwrap_or(line);
            return Err(format!("{CANNOT_PARSE}{shown}"));
        }
        if let Some(why) = dkms_conf::explain_failure(done.status.code_for_shell(), &said) {
            return Err(why);
        }
        if done.cut {
            return Err(format!("its values are longer than {} MiB", dkms_sys::process::CAPTURE_LIMIT >> 20));
        }
        if let Some(line) = said.lines().find(|l| l.contains("No space left on device")) {
            return Err(format!("it wrote more than {} MiB ({line})", confine::EVALUATION_SPACE >> 20));
        }
        if let Some(line) = said.lines().find(|l| killed_inside(l)) {
            return Err(format!("a process that it started was killed ({line})"));
        }
        let mut directives = dkms_conf::parse_records(&done.stdout)?;
        if let (Some(shown), Some(real)) = (shown, self.path.parent()) {
            directives = moved_back(&directives, shown, real);
        }
        Ok(directives)
    }
}

/// Why bash did not run to its end, without its command line, which is the whole program.
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

/// What bash prints when a command of a script ends by SIGKILL: `FILE: line N: PID Killed   COMMAND`.
fn killed_inside(line: &str) -> bool {
    let Some((before, _)) = line.split_once(" Killed ") else { return false };
    before.contains(": line ")
        && before.rsplit(' ').next().is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()))
}

/// Values that name the copy name the directory again. The copy's path has a random part, so nothing else is meant.
fn moved_back(directives: &Directives, from: &Path, to: &Path) -> Directives {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let mut out = Directives::new();
    for (name, index, value) in directives.iter() {
        out.set(name, index, value.replace(&*from, &to));
    }
    out
}

impl Source {
    fn measure(&mut self, dir: &Path, uid: u32) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            self.readable = false;
            return;
        };
        for entry in entries.flatten() {
            self.files += 1;
            let Ok(meta) = entry.metadata() else { continue };
            let (path, kind) = (entry.path(), meta.file_type());
            if self.files > MOST_FILES {
                return;
            }
            if kind.is_dir() {
                self.readable &= may(&path, uid, 0o5);
                self.measure(&path, uid);
            } else if kind.is_file() {
                self.bytes = self.bytes.saturating_add(meta.len());
                self.readable &= may(&path, uid, 0o4);
            }
        }
    }
}

/// Whether a user has these rights (4 read, 2 write, 1 enter) as the owner or as anybody.
fn may(path: &Path, uid: u32, rights: u32) -> bool {
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
    fn values_name_the_directory_again() {
        let mut d = Directives::new();
        d.set("MAKE", 0, "make -C /tmp/dkms-confX/source/sub");
        let back = moved_back(&d, Path::new("/tmp/dkms-confX/source"), Path::new("/usr/src/m-1"));
        assert_eq!(back.get("MAKE", 0), Some("make -C /usr/src/m-1/sub"));
    }
}
