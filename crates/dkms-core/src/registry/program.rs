//! Finds and starts the program `dkms-registry`.

use super::connection::{Connection, Start};
use super::error::Failure;
use crate::host::Host;
use crate::system::System;
use dkms_sys::fs::{self, Limit};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The name of the program and of its package.
pub const PROGRAM: &str = "dkms-registry";

/// The installed path of the program.
const PLACE: &str = "/usr/libexec/dkms-registry";

/// The largest archive that is fetched, in bytes.
pub(super) const LARGEST: u64 = 1 << 30;

/// The variables of the caller's environment that it gets.
const VARIABLES: [&str; 13] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LANG",
    "LC_ALL",
];

/// The name of the file with passwords in the spool.
const AUTH: &str = "auth.json";

/// Returns the command's connection to the program, which is started if it does not run yet.
///
/// # Errors
/// It is not installed, not trusted, or does not start.
pub(super) fn connect(system: &System) -> Result<&Connection, Failure> {
    system.registry().get(|| Connection::start(prepare(&system.host, &system.settings.tmp_location)?))
}

fn prepare(host: &Host, tmp_location: &Path) -> Result<Start, Failure> {
    let program = find(host)?;
    let temporary = tmp_location.to_owned();
    let files = passwords(host).map(|text| (AUTH.to_owned(), text)).into_iter().collect();
    Ok(Start { program, environment: environment(host), files, temporary })
}

/// Finds the program at its installed path, or in PATH.
fn find(host: &Host) -> Result<PathBuf, Failure> {
    let in_path = || dkms_sys::process::which(PROGRAM, &host.path);
    let place = PathBuf::from(PLACE);
    let program = if fs::is_executable(&place) { Some(place) } else { in_path() };
    let program = program.ok_or(Failure::NotInstalled)?;
    let meta = fs::metadata(&program)?;
    match fs::written_by_others(&meta) {
        None => Ok(program),
        Some(why) => Err(Failure::NotTrusted { program, why }),
    }
}

fn environment(host: &Host) -> Vec<(OsString, OsString)> {
    let is_passed_on = |name: &OsStr| VARIABLES.iter().any(|variable| name == *variable);
    host.environment.iter().filter(|(name, _)| is_passed_on(name)).cloned().collect()
}

/// Reads the file with the passwords for registries, which `docker login` and `podman login` write. The
/// program's user may not read it, so the program gets a copy.
fn passwords(host: &Host) -> Option<Vec<u8>> {
    let variable = |name: &str| {
        let (_, value) = host.environment.iter().find(|(n, _)| n == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let places = [
        variable("REGISTRY_AUTH_FILE"),
        Some("/run/containers/0/auth.json".into()),
        variable("DOCKER_CONFIG").map(|dir| dir.join("config.json")),
        variable("HOME").map(|home| home.join(".docker/config.json")),
    ];
    places.into_iter().flatten().find_map(|path| read_passwords(&path))
}

fn read_passwords(path: &Path) -> Option<Vec<u8>> {
    fs::read_optional(path, Limit::CONFIG).ok().flatten()
}
