//! The pass phrase of an encrypted key, or the PIN of a token. It comes from a systemd credential, from
//! KBUILD_SIGN_PIN, or from the terminal, where dkms asks for it once per command and before anything is
//! built. It never comes from the command line.

use crate::error::Result;
use crate::secret::Secret;
use crate::session::Host;

/// The name of the systemd credential.
pub(super) const CREDENTIAL: &str = "dkms.signing-pin";

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
