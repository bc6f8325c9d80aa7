//! The private signing key: PKCS#8 or PKCS#1, PEM or DER.

use super::error::SignError;
use super::hash::Hash;
use crate::pem::{self, Content};
use crate::x509::RSA_ENCRYPTION;
use der::asn1::AnyRef;
use der::oid::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use rand_core::{OsRng, RngCore};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use spki::AlgorithmIdentifierRef;
use std::fmt;

/// The largest accepted modulus in bits. Larger ones only waste time.
pub(super) const MAX_BITS: usize = 16_384;

/// Why a file cannot be used as a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither a PEM nor a DER private key.
    #[error("the file contains no private key (PEM or DER)")]
    NotAKey,
    /// Protected by a passphrase: the kernel's sign-file can ask for it (KBUILD_SIGN_PIN).
    #[error("the private key is encrypted with a passphrase")]
    Encrypted,
    /// Another type of key, e.g. elliptic curve. The kernel's sign-file may support it.
    #[error("the private key is not RSA ({0})")]
    UnsupportedKeyType(String),
    /// An RSA key that is cut short, or whose numbers are inconsistent.
    #[error("the RSA private key is damaged: {0}")]
    Damaged(#[from] KeyFault),
}

/// The damage of an RSA key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The lines of the PEM block cannot be decoded.
    #[error("its PEM block is not base64")]
    NotBase64,
    /// The file is too long for a key.
    #[error("{0} bytes are too many for a key")]
    TooLong(usize),
    /// The key itself is too long.
    #[error("{0} bits are more than {MAX_BITS}")]
    TooManyBits(usize),
    /// The structure of the file is invalid.
    #[error(transparent)]
    Structure(#[from] der::Error),
    /// The numbers of the key are invalid.
    #[error(transparent)]
    Contents(#[from] rsa::Error),
}

/// An RSA private key. Debug output does not show it; memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(RsaPrivateKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(RSA, {} bits)", self.bits())
    }
}

impl Key {
    /// Reads a key file: PEM (PKCS#8 or PKCS#1; other blocks, such as certificates, are skipped) or DER.
    ///
    /// # Errors
    /// After [`KeyError::Encrypted`] and [`KeyError::UnsupportedKeyType`], the caller can try the kernel's
    /// own sign-file. After other errors, the file cannot be used at all.
    pub fn parse(data: &[u8]) -> Result<Key, KeyError> {
        if !pem::is_pem(data) {
            return from_der(data);
        }
        for block in pem::blocks(data) {
            match (block.label.as_str(), block.content) {
                ("ENCRYPTED PRIVATE KEY", _) => return Err(KeyError::Encrypted),
                ("PRIVATE KEY" | "RSA PRIVATE KEY", content) => {
                    return match content {
                        Content::Der(bytes) => from_der(&bytes),
                        Content::Encrypted => Err(KeyError::Encrypted),
                        Content::Damaged => Err(KeyFault::NotBase64.into()),
                    };
                }
                ("EC PRIVATE KEY" | "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY", _) => {
                    return Err(KeyError::UnsupportedKeyType(block.label));
                }
                _ => {}
            }
        }
        Err(KeyError::NotAKey)
    }

    /// Size of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.0.n().bits()
    }

    pub(crate) fn from_rsa(key: RsaPrivateKey) -> Key {
        Key(key)
    }

    pub(crate) fn public(&self) -> &RsaPublicKey {
        self.0.as_ref()
    }

    /// The PKCS#1 v1.5 signature of `data`. The computation is blinded with random numbers, so that its
    /// timing reveals nothing about the key (RUSTSEC-2023-0071). They do not change the result.
    pub(crate) fn sign(&self, data: &[u8], hash: Hash) -> Result<Vec<u8>, SignError> {
        // Without randomness, OsRng panics later. Check it here, where an error can be returned.
        OsRng.try_fill_bytes(&mut [0; 32]).map_err(SignError::NoRandomness)?;
        self.0.sign_with_rng(&mut OsRng, hash.padding(), &hash.digest(data)).map_err(|error| match error {
            rsa::Error::MessageTooLong => SignError::KeyTooShort { bits: self.bits(), hash },
            other => SignError::Rsa(other),
        })
    }
}

/// Reads a DER file. The first two elements of its outer SEQUENCE show which format it has.
fn from_der(data: &[u8]) -> Result<Key, KeyError> {
    // A key of MAX_BITS has about 9,400 bytes.
    const LONGEST: usize = 16 * 1024;
    if data.first() != Some(&0x30) {
        return Err(KeyError::NotAKey);
    }
    if data.len() > LONGEST {
        return Err(KeyFault::TooLong(data.len()).into());
    }
    let outer = AnyRef::from_der(data).map_err(KeyFault::from)?;
    let mut fields = SliceReader::new(outer.value()).map_err(KeyFault::from)?;
    let first = AnyRef::decode(&mut fields).map_err(KeyFault::from)?.tag();
    let key = match (first, fields.peek_tag().map_err(KeyFault::from)?) {
        // PKCS#8: version, algorithm, key.
        (Tag::Integer, Tag::Sequence) => {
            let algorithm = AlgorithmIdentifierRef::decode(&mut fields).map_err(KeyFault::from)?.oid;
            if algorithm != RSA_ENCRYPTION {
                return Err(KeyError::UnsupportedKeyType(algorithm_name(algorithm)));
            }
            RsaPrivateKey::from_pkcs8_der(data).map_err(|error| KeyFault::Contents(error.into()))?
        }
        // PKCS#1: version, modulus …
        (Tag::Integer, Tag::Integer) => {
            RsaPrivateKey::from_pkcs1_der(data).map_err(|error| KeyFault::Contents(error.into()))?
        }
        // SEC 1: version, private key as octets.
        (Tag::Integer, Tag::OctetString) => {
            return Err(KeyError::UnsupportedKeyType("EC PRIVATE KEY".to_owned()));
        }
        // Encrypted PKCS#8: algorithm, ciphertext.
        (Tag::Sequence, Tag::OctetString) => return Err(KeyError::Encrypted),
        _ => return Err(KeyError::NotAKey),
    };
    if key.n().bits() > MAX_BITS {
        return Err(KeyFault::TooManyBits(key.n().bits()).into());
    }
    Ok(Key(key))
}

fn algorithm_name(algorithm: ObjectIdentifier) -> String {
    let name = match algorithm.to_string().as_str() {
        "1.2.840.10045.2.1" => "elliptic curve",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "1.2.840.10040.4.1" => "DSA",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        other => return format!("algorithm {other}"),
    };
    name.to_owned()
}
