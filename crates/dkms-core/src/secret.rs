//! Pass phrases and PINs. They must not appear in the environment of builds and scripts, in logs, or in error
//! messages.

use crate::error::Result;
use dkms_sys::secret::SecretBytes;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A secret text. Its debug output does not contain it; its memory is overwritten after the last copy is
/// dropped.
#[derive(Clone)]
pub struct Secret(Arc<SecretBytes>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Secret {}

impl From<SecretBytes> for Secret {
    fn from(bytes: SecretBytes) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<OsString>) -> Self {
        SecretBytes::new(text.into().into_vec()).into()
    }

    /// Returns the text, for the program that needs it.
    pub fn reveal(&self) -> &OsStr {
        OsStr::from_bytes(self.0.bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The secrets of a command.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// `$CREDENTIALS_DIRECTORY`: the directory with the credentials of a unit's `LoadCredential=`
    /// (systemd.exec(5)).
    pub credentials: Option<PathBuf>,
    /// `$KBUILD_SIGN_PIN`
    pub sign_pin: Option<Secret>,
    /// The pass phrase that the user typed on the terminal. It is set once the user was prompted.
    pub(crate) answer: Arc<OnceLock<Option<Secret>>>,
}

impl Secrets {
    /// Returns the secrets in the environment of dkms.
    pub fn new(credentials: Option<PathBuf>, sign_pin: Option<Secret>) -> Self {
        Self { credentials, sign_pin, ..Self::default() }
    }

    /// Returns a credential without the newline at its end; `None` if it does not exist or is empty.
    ///
    /// # Errors
    /// The credential exists, but cannot be read.
    pub fn credential(&self, name: &str) -> Result<Option<Secret>> {
        let Some(dir) = &self.credentials else { return Ok(None) };
        let Some(mut bytes) = dkms_sys::fs::read_optional(dir.join(name), dkms_sys::fs::Limit::CONFIG)?
        else {
            return Ok(None);
        };
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok((!bytes.is_empty()).then(|| Secret::new(OsString::from_vec(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_file_without_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pin"), "se cret\n\n").unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        std::fs::create_dir(dir.path().join("directory")).unwrap();
        let secrets = Secrets::new(Some(dir.path().into()), None);
        assert_eq!(secrets.credential("pin").unwrap(), Some(Secret::new("se cret\n")));
        assert_eq!(secrets.credential("empty").unwrap(), None);
        assert_eq!(secrets.credential("absent").unwrap(), None);
        assert!(secrets.credential("directory").is_err());
        assert_eq!(Secrets::default().credential("pin").unwrap(), None);
        assert!(!format!("{:?}", Secret::new("1234")).contains("1234"));
    }
}
