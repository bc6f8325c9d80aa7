//! Credential helpers: programs `docker-credential-NAME` that know passwords.
//!
//! They need the user's files, so they run before this process gives up its rights, for the registries of the
//! first request.

use std::ffi::OsString;
use std::time::Duration;

use dkms_sys::process::{Command, Stdin, which};
use serde::Deserialize;

use crate::address::Registry;
use crate::credentials::{Credentials, Vault};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helpers for the passwords of these registries. Returns a warning for each that did not answer.
pub(crate) fn ask(vault: &mut Vault, sources: &[String]) -> Vec<(String, String)> {
    let mut warnings = Vec::new();
    for source in sources {
        let Ok(registry) = Registry::parse(source) else { continue };
        if vault.find(&registry).is_some() {
            continue;
        }
        let Some((helper, name)) = vault.helper(&registry) else { continue };
        match run(&helper, &name) {
            Ok(Some(credentials)) => vault.insert(&name, credentials),
            Ok(None) => {}
            Err(reason) => warnings.push((source.clone(), reason)),
        }
    }
    warnings
}

/// `None`: the helper does not know the registry.
fn run(helper: &str, name: &str) -> Result<Option<Credentials>, String> {
    let is_name = helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let program = format!("docker-credential-{helper}");
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let found = is_name.then(|| which(&program, &path)).flatten();
    let Some(found) = found else {
        return Err(format!(
            "the password is kept by {program}, which is not installed; continuing without it"
        ));
    };
    let wanted =
        ["PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME"];
    let variables = wanted.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let command = Command::new(found)
        .arg("get")
        .envs(variables)
        .stdin(Stdin::Bytes(name.as_bytes().to_vec()))
        .timeout(PATIENCE);
    let done = command.run().map_err(|e| format!("{program} failed: {e}"))?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stdout);
        // The text that all helpers print for an unknown registry.
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("{program} failed ({}); continuing without a password", done.status));
    }
    let answer: Answer = serde_json::from_slice(&done.stdout)
        .map_err(|_| format!("{program} gave an answer that is not understood"))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}
