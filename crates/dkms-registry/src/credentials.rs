//! Reads passwords for registries from the files that `docker login` and `podman login` write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use dkms_sys::IoError;
use dkms_sys::fs::{self, Limit};
use serde::Deserialize;

use crate::address::{DOCKER_REGISTRY, Registry, Server};

/// A password or token with which this machine logs in to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// User and password.
    Password {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// A long-lived token that is exchanged for others.
    IdentityToken(String),
}

impl Credentials {
    /// The value of the header `Authorization`.
    pub(crate) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                Some(format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes())))
            }
            Self::IdentityToken(_) => None,
        }
    }
}

/// The relevant parts of Docker's `config.json` and of `auth.json` (containers-auth.json(5)).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// The reason why the passwords of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordsError {
    #[error(transparent)]
    Unreadable(#[from] IoError),
    #[error("{}: {source}", .file.display())]
    Contents { file: PathBuf, source: ContentsError },
}

/// The error in a file with passwords.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentsError {
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    #[error("{registry}: {source}")]
    Entry { registry: String, source: EntryError },
}

/// The error in the entry of a registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("'auth' is not base64")]
    NotBase64(#[source] base64ct::Error),
    #[error("'auth' is not text")]
    NotText(#[from] std::string::FromUtf8Error),
    #[error("'auth' is not USER:PASSWORD in base64")]
    NoColon,
}

/// All known passwords.
#[derive(Default)]
pub(crate) struct Vault {
    entries: BTreeMap<String, Credentials>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
    /// Files that cannot be used. They are reported if a registry refuses access.
    pub(crate) problems: Vec<Arc<PasswordsError>>,
}

/// The paths of these files, the most important first. The first one is the copy that dkms puts into the
/// spool.
fn places() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = [
        Some(PathBuf::from("auth.json")),
        variable("REGISTRY_AUTH_FILE"),
        variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        Some(PathBuf::from("/run/containers/0/auth.json")),
        variable("DOCKER_CONFIG").map(|dir| dir.join("config.json")),
        variable("HOME").map(|dir| dir.join(".docker/config.json")),
    ];
    places.into_iter().flatten().collect()
}

impl Vault {
    /// Reads the files of this machine. The current directory is the spool.
    pub(crate) fn read() -> Self {
        let mut vault = Self::default();
        for place in places() {
            vault.add_file(&place);
        }
        vault
    }

    fn add_file(&mut self, path: &Path) {
        let problem = match fs::read_optional(path, Limit::CONFIG) {
            // It belongs to another user.
            Err(e) if e.source.kind() == std::io::ErrorKind::PermissionDenied => return,
            Err(e) => PasswordsError::Unreadable(e),
            Ok(None) => return,
            Ok(Some(bytes)) => match self.add(&bytes) {
                Ok(()) => return,
                Err(source) => PasswordsError::Contents { file: path.to_owned(), source },
            },
        };
        self.problems.push(Arc::new(problem));
    }

    /// Adds the contents of a file. Entries of earlier files take precedence.
    fn add(&mut self, json: &[u8]) -> Result<(), ContentsError> {
        let file: File = serde_json::from_slice(json)?;
        for (name, entry) in file.auths {
            match entry.credentials() {
                Ok(Some(credentials)) => {
                    self.entries.entry(key(&name)).or_insert(credentials);
                }
                Ok(None) => {}
                Err(source) => return Err(ContentsError::Entry { registry: name, source }),
            }
        }
        for (name, helper) in file.cred_helpers {
            self.helpers.entry(key(&name)).or_insert(helper);
        }
        self.store = self.store.take().or(file.creds_store.filter(|store| !store.is_empty()));
        Ok(())
    }

    /// Adds the credentials that a helper has returned.
    pub(crate) fn insert(&mut self, name: &str, credentials: Credentials) {
        self.entries.insert(key(name), credentials);
    }

    /// The credentials for a registry, from the entry with the longest prefix.
    pub(crate) fn find(&self, registry: &Registry) -> Option<&Credentials> {
        names(registry).iter().find_map(|name| self.entries.get(name))
    }

    /// The credentials from an entry for a server without a prefix. A token server may have one.
    pub(crate) fn find_for_server(&self, server: &Server) -> Option<&Credentials> {
        server.names().iter().find_map(|name| self.entries.get(name))
    }

    /// The helper for a registry (`NAME` of `docker-credential-NAME`), and the registry's name for that
    /// helper.
    pub(crate) fn helper(&self, registry: &Registry) -> Option<(String, String)> {
        let names = names(registry);
        let own = names.iter().find_map(|name| Some((self.helpers.get(name)?.clone(), name.clone())));
        let shared = || Some((self.store.clone()?, names.last()?.clone()));
        let (helper, name) = own.or_else(shared)?;
        // Docker uses this name for its own registry.
        let name = if name == "docker.io" { "https://index.docker.io/v1/".to_owned() } else { name };
        Some((helper, name))
    }
}

/// The names that an entry for a registry may have, the longest first: with all parts of the prefix, with
/// fewer parts, and without it. The port may be omitted if it is the default port.
fn names(registry: &Registry) -> Vec<String> {
    let mut servers = registry.server.names();
    if registry.server.host == DOCKER_REGISTRY {
        servers.push("docker.io".into());
    }
    let mut prefix = registry.prefix.as_str();
    let mut names = Vec::new();
    while !prefix.is_empty() {
        names.extend(servers.iter().map(|server| format!("{server}/{prefix}")));
        prefix = prefix.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    names.extend(servers);
    names
}

/// The name of an entry without the parts that only Docker writes, as in `https://index.docker.io/v1/`.
fn key(name: &str) -> String {
    let bare = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or(bare.strip_suffix("/v2")).unwrap_or(bare);
    if bare == "index.docker.io" { "docker.io".into() } else { bare.to_ascii_lowercase() }
}

impl Entry {
    fn credentials(self) -> Result<Option<Credentials>, EntryError> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken)));
        }
        if !self.auth.is_empty() {
            let bytes = Base64::decode_vec(&self.auth).map_err(EntryError::NotBase64)?;
            let text = String::from_utf8(bytes)?;
            // Docker for Windows pads with NUL.
            let text = text.trim_end_matches('\0');
            let (user, password) = text.split_once(':').ok_or(EntryError::NoColon)?;
            return Ok(Some(Credentials::Password { user: user.into(), password: password.into() }));
        }
        let has_user = !self.username.is_empty();
        Ok(has_user.then_some(Credentials::Password { user: self.username, password: self.password }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(json: &str) -> Vault {
        let mut vault = Vault::default();
        vault.add(json.as_bytes()).expect("add");
        vault
    }

    fn user(vault: &Vault, registry: &str) -> Option<String> {
        match vault.find(&Registry::parse(registry).expect("parse"))? {
            Credentials::Password { user, password } => Some(format!("{user}:{password}")),
            Credentials::IdentityToken(token) => Some(token.clone()),
        }
    }

    #[test]
    fn passwords_are_found() {
        let vault = vault(
            r#"{"auths": {
                "registry.example": {"auth": "YTpi"},
                "registry.example/team": {"auth": "Yzpk"},
                "registry.example:5000": {"username": "e", "password": "f"},
                "https://index.docker.io/v1/": {"auth": "Zzpo"},
                "token.example": {"auth": "eDo=", "identitytoken": "secret"},
                "empty.example": {}
            }, "unknown": [1]}"#,
        );
        for (registry, expected) in [
            ("registry.example/x", Some("a:b")),
            ("registry.example/team/x", Some("c:d")),
            ("registry.example/team2", Some("a:b")),
            ("registry.example:5000/x", Some("e:f")),
            ("registry.example:5001/x", None),
            ("docker.io/me", Some("g:h")),
            ("token.example/x", Some("secret")),
            ("empty.example/x", None),
            ("evil.registry.example/x", None),
        ] {
            assert_eq!(user(&vault, registry).as_deref(), expected, "{registry}");
        }
    }

    #[test]
    fn a_token_server_has_a_password_of_its_own() {
        let vault =
            vault(r#"{"auths": {"tokens.example": {"auth": "YTpi"}, "x.example/a": {"auth": "YTpi"}}}"#);
        let knows = |registry: &str| {
            vault.find_for_server(&Registry::parse(registry).expect("parse").server).is_some()
        };
        assert!(knows("tokens.example"));
        assert!(!knows("x.example") && !knows("tokens.example:5000") && !knows("other.example"));
    }

    #[test]
    fn helpers_are_found() {
        let vault = vault(r#"{"credHelpers": {"gcr.example": "gcloud"}, "credsStore": "pass"}"#);
        let helper = |registry: &str| vault.helper(&Registry::parse(registry).expect("parse"));
        assert_eq!(helper("gcr.example/x"), Some(("gcloud".into(), "gcr.example".into())));
        assert_eq!(helper("other.example/x"), Some(("pass".into(), "other.example".into())));
        assert_eq!(helper("docker.io/x"), Some(("pass".into(), "https://index.docker.io/v1/".into())));
    }

    #[test]
    fn damaged_files_are_reported() {
        for (json, expected) in [
            ("", "EOF while parsing"),
            ("7", "invalid type: integer `7`"),
            (r#"{"auths": {"a": {"auth": "?"}}}"#, "a: 'auth' is not base64"),
            (r#"{"auths": {"a": {"auth": "/w=="}}}"#, "a: 'auth' is not text"),
            (r#"{"auths": {"a": {"auth": "YQ=="}}}"#, "a: 'auth' is not USER:PASSWORD in base64"),
        ] {
            let error = Vault::default().add(json.as_bytes()).expect_err("damaged");
            assert!(error.to_string().starts_with(expected), "{json}: {error}");
        }
    }

    #[test]
    fn the_file_of_a_problem_is_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        let damaged = dir.path().join("auth.json");
        fs::create_new(&damaged, b"{}}", 0o600).expect("write");
        let mut vault = Vault::default();
        for path in [&damaged, dir.path(), &dir.path().join("missing")] {
            vault.add_file(path);
        }
        let problems: Vec<String> = vault.problems.iter().map(ToString::to_string).collect();
        let [contents, unreadable] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(contents.starts_with(&format!("{}: trailing characters", damaged.display())), "{contents}");
        assert!(unreadable.contains(dir.path().to_str().expect("UTF-8")), "{unreadable}");
    }
}
