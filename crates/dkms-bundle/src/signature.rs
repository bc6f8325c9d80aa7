//! Signatures of records: ECDSA with P-256 and SHA-256, the key type of cosign.
//!
//! What is signed is DSSE's pre-authentication encoding ([`pae`]) of the record's bytes, so that a signature
//! of a record can never be taken for one of something else. A manifest carries each signature in the
//! annotation
//! `dev.dkms.signature.<key id>`, as base64 of its ASN.1 form. To verify one with openssl:
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

/// The type of what is signed; also the media type of the record in a manifest.
pub const PAYLOAD_TYPE: &str = "application/vnd.dkms.build.v1+json";

/// The annotation's name, before the key id.
pub const ANNOTATION: &str = "dev.dkms.signature.";

/// Annotations of a manifest with this many signatures are refused: verifying takes time.
const MAX_SIGNATURES: usize = 16;

/// Names a key: the first 16 hexadecimal digits of the SHA-256 of its SubjectPublicKeyInfo (DER).
///
/// To compute it with openssl: `openssl pkey -pubin -in key.pub -outform DER | sha256sum | cut -c -16`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A private key of the older form.
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
        /// What the file contains.
        found: String,
        /// What was needed.
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
    /// The numbers that the system gave are no key, several times.
    #[error("cannot get random numbers: they are not random")]
    NotRandom,
}

/// The label of the first PEM block, without the parameters that openssl may write in front of a key.
fn pem_label(pem: &str) -> Option<&str> {
    let mut labels =
        pem.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    labels.find(|label| *label != "EC PARAMETERS")
}

fn require_label(pem: &str, wanted: &'static str) -> Result<(), KeyError> {
    match pem_label(pem) {
        None => Err(KeyError::NotPem(wanted)),
        Some(label) if label == wanted => Ok(()),
        Some("EC PRIVATE KEY") if wanted == "PRIVATE KEY" => Err(KeyError::Sec1),
        Some(label) if label.contains("ENCRYPTED") && wanted == "PRIVATE KEY" => {
            Err(KeyError::Encrypted(label.chars().take(60).collect()))
        }
        Some(label) => Err(KeyError::Kind { found: label.chars().take(60).collect(), wanted }),
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
    /// A new key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        use rand_core::RngCore;
        let mut bytes = p256::FieldBytes::default();
        // Nearly every 32 bytes are a key.
        for _ in 0..8 {
            rand_core::OsRng.try_fill_bytes(&mut bytes)?;
            if let Ok(key) = ecdsa::SigningKey::from_bytes(&bytes) {
                return Ok(Self(key));
            }
        }
        Err(KeyError::NotRandom)
    }

    /// From PKCS#8 in PEM form.
    ///
    /// # Errors
    /// Each variant of [`KeyError`] except the last.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        require_label(pem, "PRIVATE KEY")?;
        // The format allows nothing but white space around a block.
        let start = pem.find("-----BEGIN PRIVATE KEY").unwrap_or_default();
        let block = pem.get(start..).unwrap_or_default().trim_end();
        Ok(Self(ecdsa::SigningKey::from_pkcs8_pem(block)?))
    }

    /// As PKCS#8 in PEM form.
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

    /// Signs bytes as they are: ASN.1. The same key and bytes give the same signature (RFC 6979).
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

    /// From SubjectPublicKeyInfo in PEM form.
    ///
    /// # Errors
    /// It is another kind of file or another kind of key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        require_label(pem, "PUBLIC KEY")?;
        let start = pem.find("-----BEGIN PUBLIC KEY").unwrap_or_default();
        let block = pem.get(start..).unwrap_or_default().trim_end();
        Self::new(ecdsa::VerifyingKey::from_public_key_pem(block)?)
    }

    /// From SubjectPublicKeyInfo in DER form, as a PKCS#11 token gives it.
    ///
    /// # Errors
    /// It is another kind of key.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::new(ecdsa::VerifyingKey::from_public_key_der(der)?)
    }

    /// As SubjectPublicKeyInfo in PEM form.
    ///
    /// # Errors
    /// Never, with a complete key.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        Ok(self.key.to_public_key_pem(LineEnding::LF)?)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whether an ASN.1 signature in base64 is one of these bytes.
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

/// Why no signature of a record is accepted.
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
    /// A trusted key's signature does not belong to these bytes.
    #[error("its signature of the trusted key {0} is wrong: it was changed after it was signed")]
    Wrong(KeyId),
    /// An attempt to keep us busy.
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

/// The name and the value of the annotation for an ASN.1 signature of [`pae`], made elsewhere (PKCS#11).
#[must_use]
pub fn annotation(key: &KeyId, der: &[u8]) -> (String, String) {
    (format!("{ANNOTATION}{key}"), Base64::encode_string(der))
}

/// Finds a valid signature of a trusted key. Signatures of other keys are ignored, so that a record can be
/// signed with an old and a new key while keys are exchanged. The id in an annotation is only a hint which
/// key to use.
///
/// # Errors
/// There is none.
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

/// `key 0123…` or `keys 0123…, 4567…`, for a message. The ids come from a stranger.
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
