//! The pass phrase of an encrypted key, or the PIN of a token. It comes from a systemd credential, from
//! KBUILD_SIGN_PIN, or from the terminal. dkms prompts for it once per command and before anything is built.
//! It never comes from the command line.

use crate::error::Result;
use crate::host::Host;
use crate::secret::Secret;

/// The name of the systemd credential.
pub(super) const CREDENTIAL: &str = "dkms.signing-pin";

/// Returns the PIN of a token, unless the URI of the key contains the PIN or its location.
///
/// # Errors
/// As [`find`].
pub(crate) fn of_token(host: &Host, uri: &str) -> Result<Option<Secret>> {
    if has_pin(uri) { Ok(None) } else { find(host) }
}

/// Returns whether a `pkcs11:` URI contains the PIN or its location.
pub(super) fn has_pin(uri: &str) -> bool {
    ["pin-value=", "pin-source="].iter().any(|attribute| uri.contains(attribute))
}

/// Looks in these three places, in that order.
///
/// # Errors
/// The credential exists and cannot be read.
pub(super) fn find(host: &Host) -> Result<Option<Secret>> {
    let secrets = &host.secrets;
    if let Some(pin) = secrets.credential(CREDENTIAL)? {
        return Ok(Some(pin));
    }
    let answer = || secrets.answer.get().cloned().flatten();
    Ok(secrets.sign_pin.clone().or_else(answer))
}
