//! The only door to real bash for configuration files: an unprivileged user, no network, nothing writable but a scratch
//! directory of its own, a time limit, and only the known directives come back.

use crate::session::Session;
use dkms_conf::{Dialect, Directives, State};
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Stdin, Stream};
use dkms_sys::sandbox::Profile;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the reason begins when bash says where the file is no valid bash; what it says follows.
pub const CANNOT_PARSE: &str = "bash cannot parse the file: line ";

/// How long a configuration file may think.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Evaluates one file. `text` is its contents, `path` where it was read.
///
/// # Errors
/// In words: bash missing, time limit, the confinement could not be made, or what bash said.
pub fn evaluate(
    s: &Session<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<Directives, String> {
    let bash = dkms_sys::process::which("bash", &s.host.path)
        .ok_or("bash is not installed, and this file needs it (see 'dkms config')")?;
    let scratch = TempDir::new_in(&s.options.tmp_location, "dkms-conf").map_err(|e| e.to_string())?;
    let user = s.host.root.then(nobody);
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(scratch.path(), Some(uid), Some(gid)).map_err(|e| e.to_string())?;
    }
    // The file itself when anybody may read it (it may look for its neighbours), else a copy.
    let file = match readable_by_all(path) {
        Some(real) if user.is_some() => real,
        None if user.is_some() => {
            let copy = scratch.path().join("dkms.conf");
            dkms_sys::fs::create_new(&copy, text, 0o644).map_err(|e| e.to_string())?;
            copy
        }
        _ => path.to_path_buf(),
    };
    let profile = Profile {
        read_write: vec![scratch.path().to_path_buf()],
        read_only_everything: true,
        user,
        no_network: true,
        memory: Some(1 << 30),
        cpu_seconds: Some(TIME_LIMIT.as_secs()),
        processes: Some(4096),
        file_size: Some(1 << 20),
    };
    let done = Command::new(bash)
        .args(["--noprofile", "--norc", "-c", dkms_conf::bash_program(dialect), "dkms"])
        .arg(&file)
        .args(dkms_conf::bash_arguments(before))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", scratch.path())
        .env("TMPDIR", scratch.path())
        .env("LC_ALL", "C")
        .cwd(scratch.path())
        .stdin(Stdin::Null)
        .stdout(Stream::Capture)
        .stderr(Stream::Capture)
        .timeout(TIME_LIMIT)
        .confine(profile)
        .run()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr);
    // bash goes on after some of them, with half of the file.
    if let Some(line) = said.lines().find(|l| l.contains("syntax error")) {
        let shown = line.rsplit(": line ").next().unwrap_or(line);
        return Err(format!("{CANNOT_PARSE}{shown}"));
    }
    if !done.status.success() && done.stdout.is_empty() {
        let said = said.lines().last().unwrap_or("it said nothing").to_owned();
        return Err(format!("bash ended with {} ({said})", done.status));
    }
    dkms_conf::parse_records(&done.stdout)
}

/// The unprivileged user: `nobody` as the machine knows it.
fn nobody() -> (u32, u32) {
    let passwd = dkms_sys::fs::read_text("/etc/passwd", dkms_sys::fs::Limit::INDEX).unwrap_or_default();
    dkms_sys::sys::lookup_user(&passwd, "nobody").unwrap_or((65534, 65534))
}

/// The file's path when everybody may read it and pass all directories above it.
fn readable_by_all(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let real = path.canonicalize().ok()?;
    let open = |p: &Path, bits: u32| p.metadata().is_ok_and(|m| m.permissions().mode() & bits == bits);
    let reachable = |p: &Path| p.ancestors().skip(1).all(|d| open(d, 0o1));
    // Through the name it was given by and through the real one.
    let named = path.is_absolute() && reachable(path);
    (open(&real, 0o4) && reachable(&real) && named).then(|| path.to_path_buf())
}
