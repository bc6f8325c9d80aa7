//! Module signatures: a detached PKCS#7 message, `struct module_signature` and a magic line behind the module.
//!
//! The bytes are those of the kernel's scripts/sign-file.c: `CMS_sign` without attributes, the signer named by
//! issuer and serial number, RSA with PKCS#1 v1.5 padding. The end of the file is laid out as in
//! include/linux/module_signature.h. The kernel reads it in kernel/module/signing.c and
//! crypto/asymmetric_keys/pkcs7_parser.c.

mod certificate;
mod hash;
mod key;
mod pkcs7;

pub use certificate::{Certificate, CertificateError, KeyType};
pub use hash::Hash;
pub use key::{Key, KeyError};

use std::ops::Range;

/// What the kernel looks for at the very end of a module.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";

/// `struct module_signature`: seven bytes, of which only the third matters, one of padding less, and a length.
const INFO_LENGTH: usize = 12;

/// Two faults that the kernel's log tells apart.
pub(crate) const NOT_ZERO: &str = "fields of its header that must be zero are not";
pub(crate) const HOLDS_DATA: &str = "it holds data of its own";

/// `PKEY_ID_PKCS7`, the only kind of signature kernels since 4.3 accept.
const ID_PKCS7: u8 = 2;

/// Why a module could not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The certificate is for another key: the kernel would reject the signature.
    #[error(
        "the signing key does not belong to the certificate (subject \"{subject}\"); use the pair that was made together"
    )]
    KeyMismatch {
        /// The certificate's subject CN.
        subject: String,
    },
    /// The key is too short for this digest.
    #[error("a {bits}-bit RSA key is too short to sign a {hash} digest")]
    KeyTooShort {
        /// Size of the key.
        bits: usize,
        /// The digest.
        hash: Hash,
    },
    /// The operating system gave no random bytes (needed to blind the computation).
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(String),
    /// The computation failed: a key whose numbers do not fit together.
    #[error("RSA refused to sign: {0}")]
    Rsa(String),
    /// The signature is larger than the format can say.
    #[error("the signature is too large for a module")]
    TooLarge,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature at the end of the file.
    #[error("the module is not signed")]
    NotSigned,
    /// There is one, but it cannot be read.
    #[error("the module's signature is damaged: {0}")]
    Malformed(&'static str),
    /// There is one of a kind that no kernel since 4.3 reads.
    #[error("the module's signature is not PKCS#7")]
    OtherKind,
    /// It was made with another key.
    #[error("the module was signed by \"{signer}\" (serial {serial}), not with this certificate")]
    OtherSigner {
        /// Issuer CN in the signature.
        signer: String,
        /// Serial number in the signature, hexadecimal.
        serial: String,
    },
    /// The certificate's key is not RSA.
    #[error("the certificate's public key is not RSA; only RSA signatures can be checked here")]
    UnsupportedKeyType,
    /// Module and signature do not belong together.
    #[error("the signature does not match: the module was changed after it was signed")]
    BadSignature,
}

/// A readable signature at the end of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInfo {
    /// CN of the certificate's issuer (for the self-signed certificates in use: the signer). Empty when the
    /// signature names its key another way (sign-file -k).
    pub signer: String,
    /// The certificate's serial number, most significant byte first, without leading zero; or the subject key
    /// identifier.
    pub serial: Vec<u8>,
    /// The digest that was signed; `None` for one we do not know.
    pub hash: Option<Hash>,
    /// Where the PKCS#7 message is in the file.
    pub pkcs7: Range<usize>,
}

impl SignatureInfo {
    /// The serial number as `modinfo -F sig_key` prints it: `0A:FF:…`.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        hex(&self.serial)
    }
}

/// Bytes as certificates' fingerprints and serial numbers are shown: `0A:FF:…`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Signs a module: returns it with the signature behind it. A signature it already has is replaced.
///
/// `module` is the uncompressed file. The result is byte-identical to that of the kernel's sign-file.
///
/// # Errors
/// [`SignError`], see there. Key types other than RSA are refused when the key is read.
pub fn sign(module: &[u8], key: &Key, certificate: &Certificate, hash: Hash) -> Result<Vec<u8>, SignError> {
    if !certificate.matches(key) {
        return Err(SignError::KeyMismatch { subject: certificate.subject_cn().to_owned() });
    }
    let module = strip_signature(module);
    let signature = key.sign(module, hash)?;
    let message = pkcs7::build(certificate, hash, &signature);
    let length = u32::try_from(message.len()).map_err(|_| SignError::TooLarge)?;
    let info = [&[0, 0, ID_PKCS7, 0, 0, 0, 0, 0][..], &length.to_be_bytes()].concat();
    Ok([module, &message, &info, MAGIC].concat())
}

/// Where the signature's message begins and ends, when the last bytes say there is one and it fits in the file.
fn locate(data: &[u8]) -> Option<(Range<usize>, u8)> {
    let body = data.strip_suffix(MAGIC)?;
    let end = body.len().checked_sub(INFO_LENGTH)?;
    let info = body.get(end..)?;
    let (head, length) = info.split_at_checked(8)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let start = end.checked_sub(usize::try_from(length).ok()?)?;
    Some((start..end, head.get(2).copied()?))
}

/// How many bytes of a file the kernel takes for the module (module_sig_check, mod_verify_sig): all but the last
/// signature, of whatever value; only the mark at the end is left out when it is no PKCS#7 signature.
pub(crate) fn length_without_signature(data: &[u8]) -> usize {
    let Some(body) = data.strip_suffix(MAGIC).filter(|body| !body.is_empty()) else { return data.len() };
    match locate(data) {
        Some((message, ID_PKCS7)) => message.start,
        _ => body.len(),
    }
}

/// The module without its signature: all of `data` when it has none. Stacked signatures all come off.
#[must_use]
pub fn strip_signature(data: &[u8]) -> &[u8] {
    let mut rest = data;
    while let Some(shorter) = locate(rest).and_then(|(message, _)| rest.get(..message.start)) {
        rest = shorter;
    }
    rest
}

/// Who signed the module; `None` when it is not signed or the signature is not readable PKCS#7.
#[must_use]
pub fn signature(data: &[u8]) -> Option<SignatureInfo> {
    let (range, kind) = locate(data)?;
    let message = pkcs7::parse(data.get(range.clone())?)?;
    (kind == ID_PKCS7).then(|| SignatureInfo {
        signer: message.issuer.and_then(certificate::common_name).unwrap_or_default(),
        serial: message.serial.to_vec(),
        hash: message.hash,
        pkcs7: range,
    })
}

/// The end of a signed module, read as the kernel reads it (mod_verify_sig and mod_check_sig).
#[derive(Debug)]
pub struct Signed<'a> {
    content: &'a [u8],
    message: pkcs7::Message<'a>,
}

impl<'a> Signed<'a> {
    /// Reads the (last) signature of a module.
    ///
    /// # Errors
    /// [`VerifyError::NotSigned`] and [`VerifyError::Malformed`].
    pub fn read(module: &'a [u8]) -> Result<Signed<'a>, VerifyError> {
        use VerifyError::Malformed;
        let body = module.strip_suffix(MAGIC).ok_or(VerifyError::NotSigned)?;
        let cut = Malformed("the file is too short for it");
        let (rest, info) =
            body.len().checked_sub(INFO_LENGTH).and_then(|end| body.split_at_checked(end)).ok_or(cut)?;
        let (head, _) = info.split_at_checked(8).unwrap_or_default();
        locate(module).ok_or(Malformed("it does not fit in the file"))?;
        if head.get(2) != Some(&ID_PKCS7) {
            return Err(VerifyError::OtherKind);
        }
        if head.iter().enumerate().any(|(at, byte)| at != 2 && *byte != 0) {
            return Err(Malformed(NOT_ZERO));
        }
        let (range, _) = locate(module).ok_or(Malformed("it does not fit in the file"))?;
        let (content, message) = rest.split_at_checked(range.start).unwrap_or_default();
        let message = pkcs7::parse(message).ok_or(Malformed("it is not a PKCS#7 message"))?;
        if message.has_content {
            return Err(Malformed(HOLDS_DATA));
        }
        Ok(Signed { content, message })
    }

    /// The digest that was signed; `None` for one we do not know.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        self.message.hash
    }

    /// The message has signed attributes: no kernel accepts that for a module.
    #[must_use]
    pub fn has_signed_attributes(&self) -> bool {
        self.message.signed_attributes
    }

    /// The Name of the certificate's issuer, DER; none when the signer is named by key identifier.
    #[must_use]
    pub fn issuer(&self) -> Option<&'a [u8]> {
        self.message.issuer
    }

    /// CN of the certificate's issuer; empty when there is none.
    #[must_use]
    pub fn issuer_cn(&self) -> String {
        self.message.issuer.and_then(certificate::common_name).unwrap_or_default()
    }

    /// The certificate's serial number without leading zero, or its subject key identifier (see [`Self::issuer`]).
    #[must_use]
    pub fn serial(&self) -> &'a [u8] {
        self.message.serial
    }

    /// Whom the signature names, in words.
    #[must_use]
    pub fn signer(&self) -> String {
        match self.issuer_cn() {
            cn if cn.is_empty() => format!("key {}", hex(self.message.serial)),
            cn => format!("\"{cn}\" (serial {})", hex(self.message.serial)),
        }
    }

    /// The signature names this certificate.
    #[must_use]
    pub fn names(&self, certificate: &Certificate) -> bool {
        self.message.issuer.map_or_else(
            || certificate.subject_key_id() == Some(self.message.serial),
            |issuer| issuer == certificate.issuer() && self.message.serial == certificate.serial(),
        )
    }

    /// Checks the signature with the certificate's key.
    ///
    /// # Errors
    /// [`VerifyError`]: another signer, or changed afterwards.
    pub fn verify(&self, certificate: &Certificate) -> Result<(), VerifyError> {
        if !self.names(certificate) {
            let signer = self.issuer_cn();
            return Err(VerifyError::OtherSigner { signer, serial: hex(self.message.serial) });
        }
        let hash = self.message.hash.ok_or(VerifyError::Malformed("its digest is unknown"))?;
        if self.message.signed_attributes {
            return Err(VerifyError::Malformed("it has signed attributes, which no module has"));
        }
        certificate.verify(self.content, hash, self.message.signature)
    }
}

/// Checks a module's (last) signature against the certificate it should have been made with.
///
/// # Errors
/// [`VerifyError`] tells what is wrong: not signed, unreadable, another signer, or changed afterwards.
pub fn verify(module: &[u8], certificate: &Certificate) -> Result<(), VerifyError> {
    Signed::read(module)?.verify(certificate)
}

#[cfg(test)]
mod tests;
