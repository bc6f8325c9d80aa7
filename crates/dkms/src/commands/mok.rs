//! `generate_mok`: the key pair that signs modules.

use super::Call;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::signing;

/// `dkms generate_mok`
pub fn generate(call: &Call<'_>) -> Result<()> {
    let pair = signing::key_pair(call.s, &call.s.options.framework, None)?;
    if !signing::ensure(call.s, &pair)? {
        call.s.tell(Event::Nothing {
            about: "the signing key".into(),
            reason: format!("is there: {} with {}", pair.key, pair.certificate.display()),
        });
    }
    Ok(())
}
