//! Generates a machine owner key: the key pair with which this system signs its own modules.
//!
//! RSA 2048, self-signed with SHA-256, for code signing only. The certificate follows RFC 5280. Key
//! identifiers are those of `openssl req -x509` (method 1 of section 4.2.1.2).

use crate::asn1::Raw;
use crate::pem;
use crate::sign::{Hash, Key, SignError};
use crate::x509::{self, Attribute, Extension, TbsCertificate, Time, Validity};
use der::Encode;
use der::asn1::{AnyRef, BitStringRef, OctetStringRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use rand_core::CryptoRngCore;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::{RsaPrivateKey, pkcs8::EncodePrivateKey};
use sha1::Digest;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// The name of the key; dkms 3 uses the same.
pub const COMMON_NAME: &str = "DKMS module signing key";
/// How long the certificate is valid: a hundred years, so that no module stops loading because of a date.
pub const DAYS: u32 = 36_500;
/// Key size in bits. Some firmware cannot read larger keys.
const BITS: usize = 2048;
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// The system's random number generator, for [`generate`].
pub use rand_core::OsRng;

/// Why a key could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum MokError {
    /// X.509 allows 1 to 64 characters for a common name (RFC 5280, ub-common-name).
    #[error("a certificate's common name must have 1 to 64 characters, \"{0}\" does not")]
    CommonName(String),
    /// The certificate would end after the year 9999, or the clock is before 1970 or far off.
    #[error(
        "the certificate's dates cannot be written: {now} seconds since 1970 plus {days} days; check the clock"
    )]
    Dates {
        /// The start, in seconds since 1970.
        now: u64,
        /// The number of days.
        days: u32,
    },
    /// The key could not be computed.
    #[error("the RSA key could not be generated: {0}")]
    Key(#[source] rsa::Error),
    /// The certificate could not be signed.
    #[error("the new certificate could not be signed: {0}")]
    Sign(#[from] SignError),
}

/// Generates a key and its self-signed certificate. Returns the private key (PEM, PKCS#8) and the certificate
/// (DER).
///
/// `common_name` is issuer and subject ([`COMMON_NAME`]); the certificate is valid for `days` days
/// ([`DAYS`]) from `now_unix_seconds`; `rng` is [`OsRng`] outside tests. The caller must store the key in a
/// file that only root can read. This takes about a quarter of a second.
///
/// # Errors
/// [`MokError`]: a name or a time that a certificate cannot contain, or no random numbers.
pub fn generate(
    common_name: &str,
    days: u32,
    rng: &mut impl CryptoRngCore,
    now_unix_seconds: u64,
) -> Result<(Vec<u8>, Vec<u8>), MokError> {
    if !(1..=64).contains(&common_name.chars().count()) || common_name.contains('\0') {
        return Err(MokError::CommonName(common_name.to_owned()));
    }
    let validity = validity(now_unix_seconds, days).ok_or(MokError::Dates { now: now_unix_seconds, days })?;
    let mut serial = [0; 20];
    rng.try_fill_bytes(&mut serial).map_err(SignError::NoRandomness)?;
    // Positive, and of full length: at most 20 bytes (RFC 5280, section 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let key = RsaPrivateKey::new(rng, BITS).map_err(MokError::Key)?;
    let pem = key.to_pkcs8_der().map_err(|error| MokError::Key(error.into()))?;
    let pem = pem::encode("PRIVATE KEY", pem.as_bytes());
    let certificate = certificate(common_name, &serial, validity, &Key::from_rsa(key))?;
    Ok((pem.into_bytes(), certificate))
}

/// Encodes a certificate (DER) as PEM, for files that contain both the key and the certificate.
#[must_use]
pub fn to_pem(certificate: &[u8]) -> Vec<u8> {
    pem::encode("CERTIFICATE", certificate).into_bytes()
}

fn certificate(
    common_name: &str,
    serial: &[u8],
    validity: Validity,
    key: &Key,
) -> Result<Vec<u8>, SignError> {
    let name = Attribute { id: x509::COMMON_NAME, value: Utf8StringRef::new(common_name)?.into() };
    let name = x509::encode_name(&name)?;
    let public = key.public().to_pkcs1_der().map_err(|error| SignError::Rsa(error.into()))?;
    let key_id = sha1::Sha1::digest(public.as_bytes());
    let extensions = extensions(&key_id)?;
    let algorithm = |oid| AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) };
    let body = TbsCertificate {
        version: Some(2), // X.509 v3
        serial: Raw(serial),
        algorithm: algorithm(SHA256_WITH_RSA),
        issuer: Raw(&name),
        validity,
        subject: Raw(&name),
        public_key: SubjectPublicKeyInfoRef {
            algorithm: algorithm(x509::RSA_ENCRYPTION),
            subject_public_key: BitStringRef::from_bytes(public.as_bytes())?,
        },
        issuer_id: None,
        subject_id: None,
        extensions: Some(Raw(&extensions)),
    };
    let body = body.to_der()?;
    let signature = key.sign(&body, Hash::Sha256)?;
    let certificate = x509::Certificate {
        tbs: AnyRef::try_from(body.as_slice())?.decode_as()?,
        algorithm: algorithm(SHA256_WITH_RSA),
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(certificate.to_der()?)
}

/// The content of the list of extensions: subject and authority key identifier, basicConstraints CA:FALSE
/// (critical), extendedKeyUsage codeSigning.
fn extensions(key_id: &[u8]) -> der::Result<Vec<u8>> {
    let extension = |id, critical, value: Vec<u8>| {
        Extension { id, critical, value: OctetStringRef::new(&value)? }.to_der()
    };
    let key_id = OctetStringRef::new(key_id)?;
    let no_ca = x509::BasicConstraints { ca: false, longest_path: None };
    let list = [
        extension(x509::SUBJECT_KEY_ID, false, key_id.to_der()?)?,
        extension(x509::AUTHORITY_KEY_ID, false, x509::AuthorityKeyId { key_id }.to_der()?)?,
        extension(x509::BASIC_CONSTRAINTS, true, no_ca.to_der()?)?,
        extension(x509::EXTENDED_KEY_USAGE, false, [x509::CODE_SIGNING].to_der()?)?,
    ];
    Ok(list.concat())
}

fn validity(now: u64, days: u32) -> Option<Validity> {
    let end = now.checked_add(u64::from(days) * 86_400)?;
    Some(Validity { not_before: Time::from_unix(now)?, not_after: Time::from_unix(end)? })
}

#[cfg(test)]
mod tests;
