//! Runs credential helpers: programs `docker-credential-NAME` that store passwords.
//!
//! They need the user's files, so they run before this process gives up its privileges, and only for the
//! registries of the first request.

use std::ffi::OsString;
use std::time::Duration;

use dkms_sys::process::{self, Command, ProcessError, Stdin, which};
use serde::Deserialize;

use crate::address::Registry;
use crate::credentials::{Credentials, Vault};

/// The time limit for a helper.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The reason why a helper returned no password. Each variant contains the name of the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperError {
    #[error("its password is stored by {0}, which is not installed; continuing without it")]
    NotInstalled(String),
    #[error("{0} failed: {1}; continuing without a password")]
    Run(String, #[source] ProcessError),
    #[error("{0} failed ({1}); continuing without a password")]
    Status(String, process::Status),
    #[error("the answer of {0} cannot be parsed; continuing without a password")]
    Syntax(String, #[source] serde_json::Error),
}

/// Adds the passwords of these registries that helpers have. Returns the registries whose helper failed.
pub(crate) fn add_passwords(vault: &mut Vault, sources: &[String]) -> Vec<(String, HelperError)> {
    let mut failed = Vec::new();
    for source in sources {
        let Ok(registry) = Registry::parse(source) else { continue };
        if vault.find(&registry).is_some() {
            continue;
        }
        let Some((helper, name)) = vault.helper(&registry) else { continue };
        match run(&helper, &name) {
            Ok(Some(credentials)) => vault.insert(&name, credentials),
            Ok(None) => {}
            Err(error) => failed.push((source.clone(), error)),
        }
    }
    failed
}

/// Runs a helper for a registry. Returns `None` if the helper has no password for it.
fn run(helper: &str, name: &str) -> Result<Option<Credentials>, HelperError> {
    let is_name = helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let program = format!("docker-credential-{helper}");
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let path = is_name.then(|| which(&program, &path)).flatten();
    let Some(path) = path else { return Err(HelperError::NotInstalled(program)) };
    let names =
        ["PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"];
    let variables = names.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let command = Command::new(path)
        .arg("get")
        .envs(variables)
        .stdin(Stdin::Bytes(name.as_bytes().to_vec()))
        .timeout(TIMEOUT);
    let done = match command.run() {
        Ok(done) => done,
        Err(e) => return Err(HelperError::Run(program, e)),
    };
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stdout);
        // The text that all helpers print for an unknown registry.
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(HelperError::Status(program, done.status));
    }
    let answer: Answer = serde_json::from_slice(&done.stdout).map_err(|e| HelperError::Syntax(program, e))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}
