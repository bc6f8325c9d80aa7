//! The end of a signed module: message, `struct module_signature`, magic line
//! (include/linux/module_signature.h).

use super::error::SignatureFault;
use std::ops::Range;

/// The last bytes of a signed module.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";

/// Length of `struct module_signature`: eight bytes (kernels use only the third one) and a length.
pub(super) const INFO_LENGTH: usize = 12;

/// `PKEY_ID_PKCS7`, the only kind of signature that kernels since 4.3 accept.
const ID_PKCS7: u8 = 2;

/// The position of the message and the fields of its header.
#[derive(Debug, Clone)]
pub(super) struct Appended {
    pub(super) message: Range<usize>,
    fields: [u8; 8],
}

impl Appended {
    /// Reads the end of a file; `None` if it has no magic line.
    pub(super) fn locate(data: &[u8]) -> Option<Result<Appended, SignatureFault>> {
        let body = data.strip_suffix(MAGIC)?;
        Some(Appended::read(body))
    }

    fn read(body: &[u8]) -> Result<Appended, SignatureFault> {
        let (rest, info) = body.split_last_chunk::<INFO_LENGTH>().ok_or(SignatureFault::TooShort)?;
        let [fields @ .., a, b, c, d] = *info;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok();
        let start = length.and_then(|length| rest.len().checked_sub(length));
        Ok(Appended { message: start.ok_or(SignatureFault::DoesNotFit)?..rest.len(), fields })
    }

    pub(super) fn is_pkcs7(&self) -> bool {
        let [_, _, kind, ..] = self.fields;
        kind == ID_PKCS7
    }

    /// Whether all fields but the kind are zero, as kernels require.
    pub(super) fn has_zero_fields(&self) -> bool {
        let [algorithm, hash, _, rest @ ..] = self.fields;
        (algorithm, hash, rest) == (0, 0, [0; 5])
    }
}

/// The header and the magic line for a message of this length.
pub(super) fn trailer(length: u32) -> Vec<u8> {
    [&[0, 0, ID_PKCS7, 0, 0, 0, 0, 0][..], &length.to_be_bytes(), MAGIC].concat()
}

/// The number of bytes of a file that the kernel regards as the module (module_sig_check, mod_verify_sig):
/// everything before the last signature, even if that is invalid. If it is not a PKCS#7 signature, only the
/// magic line is cut off.
pub(crate) fn length_without_signature(data: &[u8]) -> usize {
    let Some(body) = data.strip_suffix(MAGIC).filter(|body| !body.is_empty()) else { return data.len() };
    match Appended::read(body) {
        Ok(signature) if signature.is_pkcs7() => signature.message.start,
        _ => body.len(),
    }
}

/// The module without its signatures, or all of `data` if there are none.
#[must_use]
pub fn strip_signature(data: &[u8]) -> &[u8] {
    let mut rest = data;
    while let Some(Ok(signature)) = Appended::locate(rest) {
        match rest.get(..signature.message.start) {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    rest
}
