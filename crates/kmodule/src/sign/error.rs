//! Errors of signing modules and of checking signatures.

use super::hash::Hash;

/// Why a module could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The certificate is for another key: the kernel would reject the signature.
    #[error(
        "the signing key does not belong to the certificate (subject \"{subject}\"); use a key and a certificate that were created together"
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
    /// The system provides no random bytes, which are needed to blind the computation.
    #[error("the system provides no random numbers: {0}")]
    NoRandomness(#[source] rand_core::Error),
    /// The computation failed: the numbers of the key are inconsistent.
    #[error("RSA signing failed: {0}")]
    Rsa(#[source] rsa::Error),
    /// A part of the signature or certificate is too large for its format.
    #[error("the signature cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// Why a signature is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature at the end of the file.
    #[error("the module is not signed")]
    NotSigned,
    /// There is a signature, but it cannot be read.
    #[error("the module's signature is damaged: {0}")]
    Malformed(#[from] SignatureFault),
    /// The signature has another format. Kernels since 4.3 read only PKCS#7.
    #[error("the module's signature is not PKCS#7")]
    OtherKind,
    /// Another key signed the module.
    #[error("the module was signed by \"{signer}\" (serial {serial}), not with this certificate")]
    OtherSigner {
        /// The issuer's common name in the signature.
        signer: String,
        /// Serial number in the signature, hexadecimal.
        serial: String,
    },
    /// The certificate's key is not RSA.
    #[error("the certificate's public key is not RSA; dkms can check only RSA signatures")]
    UnsupportedKeyType,
    /// The signature is not for these bytes.
    #[error("the signature does not match: the module was changed after it was signed")]
    BadSignature,
}

/// Why a signature cannot be read, or why no kernel accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The file is shorter than `struct module_signature`.
    #[error("the file is too short for a signature")]
    TooShort,
    /// The length in its header is larger than the file.
    #[error("it does not fit in the file")]
    DoesNotFit,
    /// Header fields that must be zero are not.
    #[error("fields of its header that must be zero are not")]
    NonZeroFields,
    /// The message is not SignedData with one signer.
    #[error("it is not a PKCS#7 message")]
    NotPkcs7,
    /// The message contains data of its own, and does not sign the module before it.
    #[error("it contains data of its own")]
    ContainsData,
    /// The digest is not one of [`enum@Hash`].
    #[error("its digest is unknown")]
    UnknownDigest,
    /// The message has signed attributes.
    #[error("it has signed attributes, which kernels do not accept")]
    SignedAttributes,
}
