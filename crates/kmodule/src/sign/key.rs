//! The private signing key: PKCS#8 or PKCS#1, PEM or DER.

use super::{Hash, SignError};
use crate::der::{self, Reader, oid};
use crate::pem;
use rand_core::{OsRng, RngCore};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use std::fmt;

/// The largest modulus we compute with, in bits; larger ones only waste time.
pub(super) const MAX_BITS: usize = 16_384;

/// Why a key cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither a PEM nor a DER private key.
    #[error("the file holds no private key (PEM or DER)")]
    NotAKey,
    /// Protected by a passphrase: the kernel's sign-file can ask for it (KBUILD_SIGN_PIN).
    #[error("the private key is encrypted with a passphrase")]
    Encrypted,
    /// Another kind of key, e.g. elliptic curve: the kernel's sign-file may know it.
    #[error("the private key is not RSA ({0})")]
    UnsupportedKeyType(String),
    /// An RSA key with numbers that do not fit together.
    #[error("the RSA private key is damaged: {0}")]
    Invalid(String),
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
    /// Reads a key file: PEM (PKCS#8 or PKCS#1; other blocks such as certificates are passed over) or DER.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`] and [`KeyError::UnsupportedKeyType`] are for the caller to try the kernel's own
    /// sign-file; the others mean that the file is of no use.
    pub fn parse(data: &[u8]) -> Result<Key, KeyError> {
        if !pem::is_pem(data) {
            return if Reader::new(data).enter(der::SEQUENCE).is_some() {
                from_der(data)
            } else {
                Err(KeyError::NotAKey)
            };
        }
        for block in pem::blocks(data) {
            match block.label.as_str() {
                "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
                "PRIVATE KEY" | "RSA PRIVATE KEY" if block.encrypted => return Err(KeyError::Encrypted),
                "PRIVATE KEY" | "RSA PRIVATE KEY" => return from_der(&block.bytes),
                "EC PRIVATE KEY" | "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY" => {
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

    /// The PKCS#1 v1.5 signature of `data`. Blinded with random numbers, so that timing says nothing about the
    /// key (RUSTSEC-2023-0071); the result is the same with any of them.
    pub(crate) fn sign(&self, data: &[u8], hash: Hash) -> Result<Vec<u8>, SignError> {
        // OsRng panics later where the system has no randomness: find out while an error can be returned.
        OsRng.try_fill_bytes(&mut [0; 32]).map_err(|error| SignError::NoRandomness(error.to_string()))?;
        self.0.sign_with_rng(&mut OsRng, hash.padding(), &hash.digest(data)).map_err(|error| match error {
            rsa::Error::MessageTooLong => SignError::KeyTooShort { bits: self.bits(), hash },
            other => SignError::Rsa(other.to_string()),
        })
    }
}

/// What a DER file is, seen from the first elements of its outer SEQUENCE.
fn from_der(data: &[u8]) -> Result<Key, KeyError> {
    // A key of MAX_BITS has some 9,400 bytes; more would only keep the arithmetic busy.
    if data.len() > 16 * 1024 {
        return Err(KeyError::Invalid(format!("{} bytes are too many for a key", data.len())));
    }
    let damaged = || KeyError::Invalid("it ends too early or is not DER".to_owned());
    let mut outer = Reader::new(data).enter(der::SEQUENCE).ok_or_else(damaged)?;
    let key = match outer.any().map(|element| element.tag).zip(outer.peek()) {
        // PKCS#8: version, algorithm, key.
        Some((der::INTEGER, der::SEQUENCE)) => {
            let algorithm = outer.enter(der::SEQUENCE).and_then(|mut inner| inner.take(der::OID));
            let algorithm = algorithm.ok_or_else(damaged)?.body;
            if algorithm != oid::RSA_ENCRYPTION {
                return Err(KeyError::UnsupportedKeyType(algorithm_name(algorithm)));
            }
            RsaPrivateKey::from_pkcs8_der(data).map_err(|error| error.to_string())
        }
        // PKCS#1: version, modulus …
        Some((der::INTEGER, der::INTEGER)) => {
            RsaPrivateKey::from_pkcs1_der(data).map_err(|error| error.to_string())
        }
        // SEC 1: version, private key as octets.
        Some((der::INTEGER, der::OCTET_STRING)) => {
            return Err(KeyError::UnsupportedKeyType("EC PRIVATE KEY".to_owned()));
        }
        // Encrypted PKCS#8: algorithm, ciphertext.
        Some((der::SEQUENCE, der::OCTET_STRING)) => return Err(KeyError::Encrypted),
        _ => return Err(KeyError::NotAKey),
    };
    let key = key.map_err(KeyError::Invalid)?;
    if key.n().bits() > MAX_BITS {
        return Err(KeyError::Invalid(format!("{} bits are more than {MAX_BITS}", key.n().bits())));
    }
    Ok(Key(key))
}

fn algorithm_name(oid: &[u8]) -> String {
    match oid {
        b"\x2a\x86\x48\xce\x3d\x02\x01" => "elliptic curve".to_owned(),
        b"\x2b\x65\x70" => "Ed25519".to_owned(),
        b"\x2b\x65\x71" => "Ed448".to_owned(),
        b"\x2a\x86\x48\xce\x38\x04\x01" => "DSA".to_owned(),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" => "RSA-PSS".to_owned(),
        b"\x60\x86\x48\x01\x65\x03\x04\x03\x11" => "ML-DSA-44".to_owned(),
        b"\x60\x86\x48\x01\x65\x03\x04\x03\x12" => "ML-DSA-65".to_owned(),
        b"\x60\x86\x48\x01\x65\x03\x04\x03\x13" => "ML-DSA-87".to_owned(),
        other => format!("algorithm {}", super::hex(other)),
    }
}
