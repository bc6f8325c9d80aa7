//! Signatures of records: ECDSA with P-256 and SHA-256, the key type of cosign.
//!
//! The signed message is DSSE's pre-authentication encoding ([`pae`]) of the record's bytes, so that a
//! signature of a record is never valid for other data. A manifest contains each signature in the annotation
//! `dev.dkms.signature.<key id>`, in base64 of its ASN.1 form. To verify one with openssl:
//!
//! ```text
//! openssl dgst -sha256 -verify key.pub -signature SIGNATURE PAE
//! ```

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{self, DerSignature};
use p256::pkcs8::{
    self, DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding, spki,
};

use crate::digest::sha256_hex;

/// The type of the signed data, which is also the media type of the record in a manifest.
pub const PAYLOAD_TYPE: &str = "application/vnd.dkms.build.v1+json";

/// The name of an annotation with a signature, without the key id at its end.
pub const ANNOTATION: &str = "dev.dkms.signature.";

/// The maximum number of signatures in a manifest. To verify more would take too much time.
const MAX_SIGNATURES: usize = 16;

/// The id of a key: the first 16 hexadecimal digits of the SHA-256 of its SubjectPublicKeyInfo (DER).
///
/// To compute it with openssl: `openssl pkey -pubin -in key.pub -outform DER | sha256sum | cut -c -16`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The reason why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A private key in the older form.
    #[error(
        "it is a private key in the older form 'EC PRIVATE KEY'; convert it with: \
         openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW-FILE"
    )]
    Sec1,
    /// A private key with a pass phrase.
    #[error(
        "its private key is encrypted ('{0}'), which is not supported; use an unencrypted key in PKCS#8 form \
         ('dkms registry-key generate' creates one)"
    )]
    Encrypted(String),
    /// A public key where a private one is needed, or the opposite.
    #[error("it contains '{found}', not '{wanted}'")]
    Kind {
        /// The label in the file.
        found: String,
        /// The label of the expected kind of key.
        wanted: &'static str,
    },
    /// Not a PEM file.
    #[error("it is not a PEM file with a '{0}'")]
    NotPem(&'static str),
    /// Another algorithm or a damaged file.
    #[error("it is not an ECDSA key for the curve P-256: {0}")]
    Private(#[from] pkcs8::Error),
    /// The same for a public key.
    #[error("it is not an ECDSA key for the curve P-256: {0}")]
    Public(#[from] spki::Error),
    /// The system has no random numbers.
    #[error("cannot get random numbers: {0}")]
    Random(#[from] rand_core::Error),
    /// Several random numbers of the system are not valid keys.
    #[error("cannot get random numbers: they are not random")]
    NotRandom,
}

/// Returns the label of the first PEM block, and the text from there on. Skips the parameters that openssl may
/// write before a key.
fn first_block(pem: &str) -> Option<(&str, &str)> {
    let block = |(start, _)| {
        let (before, block) = pem.split_at_checked(start)?;
        let starts_line = before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
        let label = block.lines().next()?.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        starts_line.then_some((label, block))
    };
    pem.match_indices("-----BEGIN ").filter_map(block).find(|(label, _)| *label != "EC PARAMETERS")
}

/// Returns the PEM block with this label. The parsers accept only white space around it.
fn pem_block<'a>(pem: &'a str, wanted: &'static str) -> Result<&'a str, KeyError> {
    match first_block(pem) {
        None => Err(KeyError::NotPem(wanted)),
        Some((label, block)) if label == wanted => Ok(block.trim_end()),
        Some(("EC PRIVATE KEY", _)) if wanted == "PRIVATE KEY" => Err(KeyError::Sec1),
        Some((label, _)) if label.contains("ENCRYPTED") && wanted == "PRIVATE KEY" => {
            Err(KeyError::Encrypted(label.chars().take(60).collect()))
        }
        Some((label, _)) => Err(KeyError::Kind { found: label.chars().take(60).collect(), wanted }),
    }
}

/// A key that signs records.
pub struct SigningKey(ecdsa::SigningKey);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Creates a new key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        use rand_core::RngCore;
        let mut bytes = p256::FieldBytes::default();
        // Nearly all numbers of 32 bytes are valid keys.
        for _ in 0..8 {
            rand_core::OsRng.try_fill_bytes(&mut bytes)?;
            if let Ok(key) = ecdsa::SigningKey::from_bytes(&bytes) {
                return Ok(Self(key));
            }
        }
        Err(KeyError::NotRandom)
    }

    /// Parses a key in PKCS#8 and PEM form.
    ///
    /// # Errors
    /// Each variant of [`KeyError`] except the last.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Ok(Self(ecdsa::SigningKey::from_pkcs8_pem(pem_block(pem, "PRIVATE KEY")?)?))
    }

    /// The key in PKCS#8 and PEM form.
    ///
    /// # Errors
    /// Never, with a complete key.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        Ok(self.0.to_pkcs8_pem(LineEnding::LF)?.as_str().to_owned())
    }

    /// The public half.
    ///
    /// # Errors
    /// Never, with a complete key.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::new(*self.0.verifying_key())
    }

    /// Signs these bytes. Returns the signature in ASN.1 form, which is the same every time (RFC 6979).
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }

    /// Signs a record. Returns the name and the value of the annotation.
    ///
    /// # Errors
    /// Never, with a complete key.
    pub fn sign(&self, record: &[u8]) -> Result<(String, String), KeyError> {
        Ok(annotation(self.public()?.id(), &self.sign_raw(&pae(PAYLOAD_TYPE, record))))
    }
}

/// A key that verifies records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: ecdsa::VerifyingKey,
    id: KeyId,
}

impl PublicKey {
    fn new(key: ecdsa::VerifyingKey) -> Result<Self, KeyError> {
        let der = key.to_public_key_der()?;
        let id: String = sha256_hex(der.as_bytes()).chars().take(16).collect();
        Ok(Self { key, id: KeyId(id) })
    }

    /// Parses a SubjectPublicKeyInfo in PEM form.
    ///
    /// # Errors
    /// It is another kind of file or another kind of key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::new(ecdsa::VerifyingKey::from_public_key_pem(pem_block(pem, "PUBLIC KEY")?)?)
    }

    /// Parses a SubjectPublicKeyInfo in DER form, in which a PKCS#11 token returns it.
    ///
    /// # Errors
    /// It is another kind of key.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::new(ecdsa::VerifyingKey::from_public_key_der(der)?)
    }

    /// The key as SubjectPublicKeyInfo in PEM form.
    ///
    /// # Errors
    /// Never, with a complete key.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        Ok(self.key.to_public_key_pem(LineEnding::LF)?)
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns whether this is a valid signature of these bytes, in ASN.1 form and base64.
    pub(crate) fn verifies_raw(&self, message: &[u8], base64: &str) -> bool {
        // A P-256 signature has at most 72 bytes.
        if base64.len() > 128 {
            return false;
        }
        let Ok(bytes) = Base64::decode_vec(base64) else { return false };
        let Ok(signature) = ecdsa::Signature::from_der(&bytes) else { return false };
        self.key.verify(message, &signature).is_ok()
    }
}

/// The reason why no signature of a record is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// This machine trusts no key.
    #[error("this machine trusts no key: put the builder's public key into /etc/dkms/registry.d/NAME.pub")]
    NoKeys,
    /// Signed, but not by a trusted key.
    #[error("it is signed with {0}, which is not trusted here (see /etc/dkms/registry.d)")]
    Untrusted(String),
    /// The signature of a trusted key is not valid for these bytes.
    #[error("its signature of the trusted key {0} is wrong: it was changed after it was signed")]
    Wrong(KeyId),
    /// There are so many signatures that verifying them would take too much time.
    #[error("it has more than {MAX_SIGNATURES} signatures")]
    TooMany,
}

/// DSSE's pre-authentication encoding: `DSSEv1 LENGTH TYPE LENGTH BODY`.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The name and the value of the annotation for a signature of [`pae`] in ASN.1 form.
#[must_use]
pub fn annotation(key: &KeyId, der: &[u8]) -> (String, String) {
    (format!("{ANNOTATION}{key}"), Base64::encode_string(der))
}

/// Finds a valid signature of a trusted key, and returns the id of the key. Signatures of other keys are
/// ignored, so that a record can be signed with an old and a new key while keys are replaced. The id in an
/// annotation only selects the key to verify with.
///
/// # Errors
/// No signature is valid, or there are too many.
pub fn verify(
    record: &[u8],
    annotations: &BTreeMap<String, String>,
    trusted: &[PublicKey],
) -> Result<KeyId, SignatureError> {
    let signatures: Vec<(&str, &str)> = annotations
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(ANNOTATION)?, value.as_str())))
        .collect();
    if signatures.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(SignatureError::TooMany);
    }
    if trusted.is_empty() {
        return Err(SignatureError::NoKeys);
    }
    let message = pae(PAYLOAD_TYPE, record);
    let mut wrong = None;
    for (id, signature) in &signatures {
        for key in trusted.iter().filter(|key| key.id.0 == *id) {
            if key.verifies_raw(&message, signature) {
                return Ok(key.id.clone());
            }
            wrong = Some(key.id.clone());
        }
    }
    Err(match wrong {
        Some(key) => SignatureError::Wrong(key),
        None => SignatureError::Untrusted(list_ids(&signatures)),
    })
}

/// `key 0123…` or `keys 0123…, 4567…`, for a message. The ids are not trusted.
fn list_ids(signatures: &[(&str, &str)]) -> String {
    let ids: Vec<String> = signatures
        .iter()
        .take(4)
        .map(|(id, _)| id.chars().filter(char::is_ascii_alphanumeric).take(16).collect())
        .collect();
    format!("{} {}", if ids.len() == 1 { "key" } else { "keys" }, ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl ecparam -name prime256v1 -genkey | openssl pkcs8 -topk8 -nocrypt`.
    const PRIVATE: &str = include_str!("../tests/key.pem");
    const PUBLIC: &str = include_str!("../tests/key.pub");

    fn signed(keys: &[&SigningKey], record: &[u8]) -> BTreeMap<String, String> {
        keys.iter().map(|key| key.sign(record).unwrap()).collect()
    }

    #[test]
    fn keys_are_those_of_openssl() {
        let key = SigningKey::from_pem(PRIVATE).unwrap();
        let public = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!(key.public().unwrap(), public);
        assert_eq!(public.to_pem().unwrap(), PUBLIC);
        assert_eq!(SigningKey::from_pem(&key.to_pem().unwrap()).unwrap().public().unwrap(), public);
        assert_eq!(public.id().to_string(), include_str!("../tests/key.id").trim());
    }

    #[test]
    fn the_encoding_is_that_of_dsse() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn a_signature_of_openssl_is_accepted() {
        let public = PublicKey::from_pem(PUBLIC).unwrap();
        let signature = include_str!("../tests/hello.sig").trim().to_owned();
        let annotations = BTreeMap::from([(format!("{ANNOTATION}{}", public.id()), signature)]);
        assert_eq!(verify(b"hello", &annotations, std::slice::from_ref(&public)), Ok(public.id().clone()));
    }

    #[test]
    fn one_signature_of_a_trusted_key_is_enough() {
        let keys = [
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        ];
        let public: Vec<PublicKey> = keys.iter().map(|key| key.public().unwrap()).collect();
        let both = signed(&[&keys[0], &keys[1]], b"record");
        assert_eq!(both.len(), 2);
        // The keys change: machines trust the old key, both, or the new one.
        for trusted in [&public[..1], &public[..2], &public[1..2], &public[1..]] {
            assert!(verify(b"record", &both, trusted).is_ok());
        }
        let untrusted = verify(b"record", &both, &public[2..]);
        assert!(matches!(untrusted, Err(SignatureError::Untrusted(_))), "{untrusted:?}");
        assert_eq!(verify(b"record", &both, &[]), Err(SignatureError::NoKeys));
        assert_eq!(verify(b"record", &BTreeMap::new(), &public), Err(SignatureError::Unsigned));
        let changed = verify(b"recorD", &both, &public[..1]);
        assert_eq!(changed, Err(SignatureError::Wrong(public[0].id().clone())));
        // A signature under the name of another key is not one of that key.
        let (_, signature) = keys[1].sign(b"record").unwrap();
        let stolen = BTreeMap::from([(format!("{ANNOTATION}{}", public[0].id()), signature)]);
        let wrong = verify(b"record", &stolen, &public);
        assert_eq!(wrong, Err(SignatureError::Wrong(public[0].id().clone())));
        let many = (0..100).map(|i| (format!("{ANNOTATION}{i}"), String::new())).collect();
        assert_eq!(verify(b"record", &many, &public), Err(SignatureError::TooMany));
    }

    #[test]
    fn other_keys_are_refused_with_the_reason() {
        let begin = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let cases = [
            (begin("EC PRIVATE KEY"), "openssl pkcs8 -topk8"),
            (begin("EC PARAMETERS") + &begin("EC PRIVATE KEY"), "openssl pkcs8 -topk8"),
            (begin("ENCRYPTED PRIVATE KEY"), "encrypted"),
            (begin("ENCRYPTED COSIGN PRIVATE KEY"), "encrypted"),
            (begin("ENCRYPTED SIGSTORE PRIVATE KEY"), "encrypted"),
            (begin("CERTIFICATE"), "contains 'CERTIFICATE'"),
            (begin("PRIVATE KEY"), "P-256"),
            (PUBLIC.to_owned(), "contains 'PUBLIC KEY'"),
            (String::new(), "not a PEM file"),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), "P-256"),
        ];
        for (pem, expected) in cases {
            let error = SigningKey::from_pem(&pem).unwrap_err().to_string();
            assert!(error.contains(expected), "{pem}: {error}");
        }
        for pem in [PRIVATE.to_owned(), begin("PUBLIC KEY"), begin("RSA PUBLIC KEY"), "x".to_owned()] {
            assert!(PublicKey::from_pem(&pem).is_err(), "{pem}");
        }
    }
}
