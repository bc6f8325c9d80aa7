//! Module signatures: a detached PKCS#7 message, `struct module_signature` and a magic line after the module.
//!
//! The bytes are those of the kernel's scripts/sign-file.c: `CMS_sign` without attributes, the signer named
//! by issuer and serial number, RSA with PKCS#1 v1.5 padding. The end of the file is laid out as in
//! include/linux/module_signature.h. The kernel reads it in kernel/module/signing.c and
//! crypto/asymmetric_keys/pkcs7_parser.c.

mod appended;
mod certificate;
mod error;
mod hash;
mod hex;
mod key;
mod pkcs7;
mod signed;

pub(crate) use appended::length_without_signature;
pub use appended::{MAGIC, strip_signature};
pub use certificate::{Certificate, CertificateError, KeyType};
pub use error::{SignError, SignatureFault, VerifyError};
pub use hash::Hash;
pub use hex::hex;
pub use key::{Key, KeyError};
pub use signed::{SignatureInfo, Signed, signature, verify};

/// Returns `module` with a signature appended. Existing signatures are replaced. Several keys sign in one
/// message, and a kernel that trusts any of them accepts the module.
///
/// `module` is the uncompressed file. The result is byte-identical to that of the kernel's sign-file.
///
/// # Errors
/// [`SignError`]. A key of another type than RSA is refused earlier, when it is read.
pub fn sign_with(module: &[u8], signers: &[(&Key, &Certificate)], hash: Hash) -> Result<Vec<u8>, SignError> {
    let module = strip_signature(module);
    let mut signatures = Vec::new();
    for (key, certificate) in signers {
        if !certificate.matches(key) {
            return Err(SignError::KeyMismatch { subject: certificate.subject_cn().to_owned() });
        }
        signatures.push((*certificate, key.sign(module, hash)?));
    }
    let message = pkcs7::build(&signatures, hash)?;
    let length = u32::try_from(message.len()).map_err(|_| der::Error::from(der::ErrorKind::Overflow))?;
    Ok([module, &message, &appended::trailer(length)].concat())
}

#[cfg(test)]
mod tests;
