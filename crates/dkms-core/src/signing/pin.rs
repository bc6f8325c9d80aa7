//! The pass phrase of an encrypted key, or the PIN of a token: from a systemd credential, from KBUILD_SIGN_PIN, or asked for
//! on the terminal, once for the whole command and before anything is built. Never from the command line.

use crate::error::Result;
use crate::secret::Secret;
use crate::session::Session;

/// The name of the systemd credential.
pub const CREDENTIAL: &str = "dkms.signing-pin";

/// What there is of the three, in that order.
///
/// # Errors
/// A credential that is there and cannot be read.
pub(super) fn find(s: &Session<'_>) -> Result<Option<Secret>> {
    let secrets = &s.host.secrets;
    if let Some(pin) = secrets.credential(CREDENTIAL)? {
        return Ok(Some(pin));
    }
    let answered = || secrets.answered.get().cloned().flatten();
    Ok(secrets.sign_pin.clone().or_else(answered))
}
