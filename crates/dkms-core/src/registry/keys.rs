//! The keys of registries: trusted keys, and keys that sign pushed builds.

use super::error::{KeyFault, RegistryError};
use super::token::{self, Token};
use crate::error::Result;
use crate::event::Sink;
use crate::system::{Settings, System};
use dkms_bundle::signature::{PublicKey, SigningKey};
use dkms_sys::fs;
use dkms_tree::layout::Layout;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A new key pair.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The file with the private key.
    pub private: PathBuf,
    /// The file with the public key.
    pub public: PathBuf,
    /// The key's id.
    pub id: String,
}

/// The directory of the trusted public keys.
pub fn trusted_dir(layout: &Layout) -> PathBuf {
    layout.config_dir.join("registry.d")
}

/// Returns the trusted public keys: every `NAME.pub` in [`trusted_dir`]. If a file is damaged, or users other
/// than root can change it, it is reported and not trusted.
pub(super) fn trusted_keys(system: &System, sink: &dyn Sink) -> Vec<PublicKey> {
    let dir = trusted_dir(&system.layout);
    let names = match fs::list_dir_optional(&dir) {
        Ok(names) => names,
        Err(e) => {
            super::warn(system, sink, format!("no key for registries is trusted: {e}"));
            return Vec::new();
        }
    };
    if let Some(reason) = fs::metadata(&dir).ok().and_then(|meta| fs::written_by_others(&meta)) {
        super::warn(system, sink, format!("no key in {} is trusted: {reason}", dir.display()));
        return Vec::new();
    }
    let files = names.iter().map(|name| dir.join(name)).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".pub") && !name.starts_with('.')
    });
    let read = |path: PathBuf| {
        read_public(&path)
            .map_err(|reason| {
                super::warn(system, sink, format!("{} is not trusted: {reason}", path.display()))
            })
            .ok()
    };
    files.filter_map(read).collect()
}

fn read_public(path: &Path) -> std::result::Result<PublicKey, KeyFault> {
    let bytes = fs::read_trusted(path)??;
    Ok(PublicKey::from_pem(&String::from_utf8_lossy(&bytes))?)
}

/// A key that signs pushed builds.
pub(super) enum PushKey {
    /// A key from a file.
    File(SigningKey),
    /// A key that never leaves its token.
    Token(Box<Token>),
}

impl PushKey {
    /// Signs a record. Returns the name and the value of the annotation.
    ///
    /// # Errors
    /// The token does not sign.
    pub(super) fn sign(&self, record: &[u8]) -> std::result::Result<(String, String), KeyFault> {
        match self {
            Self::File(key) => Ok(key.sign(record)?),
            Self::Token(token) => Ok(token.sign(record)?),
        }
    }
}

/// Returns the private keys that sign pushed builds.
///
/// # Errors
/// No key is configured, or a key cannot be used.
pub(super) fn push_keys(system: &System) -> Result<Vec<PushKey>> {
    let keys = private_keys(&system.layout, &system.settings);
    if keys.is_empty() {
        return Err(RegistryError::NoKey(default_file(&system.layout)).into());
    }
    let open = |key: PathBuf| match key.to_str().filter(|key| token::is_token(key)) {
        Some(uri) => match Token::open(&system.host, uri) {
            Ok(token) => Ok(PushKey::Token(Box::new(token))),
            Err(e) => Err(RegistryError::BadKey { path: key.clone(), fault: e.into() }.into()),
        },
        None => Ok(PushKey::File(read_private(&key)?)),
    };
    keys.into_iter().map(open).collect()
}

/// The private keys in `registry_key`, or the default file if `registry_key` is not set and the file exists.
fn private_keys(layout: &Layout, settings: &Settings) -> Vec<PathBuf> {
    let named = &settings.framework.registry_key;
    if !named.is_empty() {
        return named.iter().map(PathBuf::from).collect();
    }
    let default = default_file(layout);
    if fs::exists(&default) { vec![default] } else { Vec::new() }
}

fn default_file(layout: &Layout) -> PathBuf {
    layout.config_dir.join("registry.key")
}

fn read_private(path: &Path) -> Result<SigningKey> {
    let unusable =
        |fault: KeyFault| crate::Error::from(RegistryError::BadKey { path: path.to_owned(), fault });
    let meta = fs::symlink_metadata(path)?;
    let owner = meta.uid();
    if owner != dkms_sys::sys::effective_uid() && owner != 0 {
        return Err(unusable(KeyFault::Owner(owner)));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(unusable(KeyFault::Readable));
    }
    let bytes = fs::read_trusted(path)?.map_err(|e| unusable(e.into()))?;
    SigningKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|e| unusable(e.into()))
}

/// Creates a key pair in new files: in the first file of `registry_key` that does not exist, or in the
/// default file. Keys in tokens are created with the tools of the token.
///
/// # Errors
/// All of these files exist, or a file cannot be written.
pub fn generate(layout: &Layout, settings: &Settings) -> Result<NewKey> {
    let named = &settings.framework.registry_key;
    let files: Vec<PathBuf> = match named.as_slice() {
        [] => vec![default_file(layout)],
        named => named.iter().filter(|key| !token::is_token(key)).map(PathBuf::from).collect(),
    };
    let pairs = files.into_iter().map(|private| (private.with_extension("pub"), private));
    let mut free = pairs.filter(|(public, private)| !fs::exists(public) && !fs::exists(private));
    let Some((public, private)) = free.next() else {
        return Err(RegistryError::KeyExists(private_keys(layout, settings)).into());
    };
    let failed = |e: dkms_bundle::signature::KeyError| {
        crate::Error::from(RegistryError::BadKey { path: private.clone(), fault: e.into() })
    };
    let key = SigningKey::generate().map_err(failed)?;
    let public_key = key.public().map_err(failed)?;
    if let Some(dir) = private.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::create_new(&private, key.to_pem().map_err(failed)?.as_bytes(), 0o600)?;
    fs::create_new(&public, public_key.to_pem().map_err(failed)?.as_bytes(), 0o644)?;
    Ok(NewKey { id: public_key.id().to_string(), private, public })
}
