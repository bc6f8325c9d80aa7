//! The parts of X.509 certificates (RFC 5280) that are needed to sign and to check modules.
//!
//! An extension or a key that cannot be read counts as absent: firmware contains unusual certificates, and
//! kernels only compare the bytes of most parts.

use super::error::VerifyError;
use super::hash::Hash;
use super::key::{Key, MAX_BITS};
use crate::asn1::{elements, first, unsigned};
use crate::pem::{self, Content};
use crate::x509::{self, Extension, RSA_ENCRYPTION, TbsCertificate};
use der::Encode;
use der::asn1::OctetStringRef;
use der::oid::ObjectIdentifier;
use rsa::{BigUint, RsaPublicKey, pkcs1};
use sha2::Digest;
use spki::SubjectPublicKeyInfoRef;

mod names;
pub use names::KeyType;

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither a PEM nor a DER certificate.
    #[error("the file contains no X.509 certificate (PEM or DER)")]
    NotACertificate,
    /// It begins like a certificate, but a field is missing or wrong.
    #[error("the X.509 certificate is damaged: {0}")]
    Damaged(der::Error),
}

/// A certificate: the name and the uses of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    issuer: Vec<u8>,
    raw_serial: Vec<u8>,
    subject: String,
    subject_cn: String,
    not_before: i64,
    not_after: i64,
    key_type: KeyType,
    /// The key, if it is RSA and has at most [`MAX_BITS`].
    public: Option<RsaPublicKey>,
    key_id: Option<Vec<u8>>,
    is_ca: bool,
    extended_key_usage: Vec<String>,
}

impl Certificate {
    /// Reads the first certificate of a PEM file (which may contain keys as well), or a DER file.
    ///
    /// # Errors
    /// [`CertificateError`] distinguishes a damaged certificate from another kind of file.
    pub fn parse(data: &[u8]) -> Result<Certificate, CertificateError> {
        if !pem::is_pem(data) {
            return read(data);
        }
        let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
        let block = pem::blocks(data).into_iter().find(|block| labels.contains(&block.label.as_str()));
        match block.map(|block| block.content) {
            Some(Content::Der(bytes)) => read(&bytes),
            _ => Err(CertificateError::NotACertificate),
        }
    }

    /// The whole certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The part that the issuer signed (TBSCertificate), DER. Lists of revoked certificates contain its
    /// digest.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The content of the issuer's name, DER, as it is in the certificate.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject, as `CN=Name, O=Organisation`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The subject's common name; empty if there is none.
    #[must_use]
    pub fn subject_cn(&self) -> &str {
        &self.subject_cn
    }

    /// The serial number, most significant byte first, without a leading zero.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        unsigned(&self.raw_serial)
    }

    /// The serial number as it is in the certificate, with the zero that keeps it positive.
    #[must_use]
    pub fn raw_serial(&self) -> &[u8] {
        &self.raw_serial
    }

    /// Start of the validity, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of the validity, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// SHA-256 of the DER bytes, as mokutil and openssl print it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha2::Sha256::digest(&self.der).into()
    }

    /// SHA-1 of the DER bytes, as `mokutil --list-enrolled` prints it.
    #[must_use]
    pub fn fingerprint_sha1(&self) -> [u8; 20] {
        sha1::Sha1::digest(&self.der).into()
    }

    /// The subject key identifier extension.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    /// The type of its key.
    #[must_use]
    pub fn key_type(&self) -> &KeyType {
        &self.key_type
    }

    /// Whether it may sign other certificates (basicConstraints). Without that extension, it may not.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The allowed purposes of the key (extendedKeyUsage): names, or object identifiers of unknown purposes.
    /// Empty means all purposes.
    #[must_use]
    pub fn extended_key_usage(&self) -> &[String] {
        &self.extended_key_usage
    }

    /// Whether the certificate is for this key.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        self.public.as_ref() == Some(key.public())
    }

    pub(super) fn verify(&self, content: &[u8], hash: Hash, signature: &[u8]) -> Result<(), VerifyError> {
        let public = self.public.as_ref().ok_or(VerifyError::UnsupportedKeyType)?;
        public.verify(hash.padding(), &hash.digest(content), signature).map_err(|_| VerifyError::BadSignature)
    }
}

/// Reads a DER certificate. Bytes after it are ignored, because firmware pads its lists.
fn read(data: &[u8]) -> Result<Certificate, CertificateError> {
    let outer: x509::Certificate<'_> = first(data).map_err(|_| CertificateError::NotACertificate)?;
    read_fields(&outer).map_err(CertificateError::Damaged)
}

fn read_fields(outer: &x509::Certificate<'_>) -> der::Result<Certificate> {
    let tbs = outer.tbs.to_der()?;
    let fields: TbsCertificate<'_> = first(&tbs)?;
    let extension = |id| fields.extensions.and_then(|list| find_extension(list.0, id));
    Ok(Certificate {
        der: outer.to_der()?,
        issuer: fields.issuer.0.to_vec(),
        raw_serial: fields.serial.0.to_vec(),
        subject: names::distinguished_name(fields.subject),
        subject_cn: x509::common_name(fields.subject).unwrap_or_default(),
        not_before: seconds(&fields.validity.not_before)?,
        not_after: seconds(&fields.validity.not_after)?,
        key_type: names::key_type(&fields.public_key),
        public: rsa_key(&fields.public_key),
        key_id: extension(x509::SUBJECT_KEY_ID).and_then(key_id),
        is_ca: extension(x509::BASIC_CONSTRAINTS).is_some_and(is_ca),
        extended_key_usage: extension(x509::EXTENDED_KEY_USAGE).map(names::key_usages).unwrap_or_default(),
        tbs,
    })
}

fn seconds(time: &x509::Time) -> der::Result<i64> {
    time.to_unix().try_into().map_err(|_| der::ErrorKind::DateTime.into())
}

/// The value of an extension.
fn find_extension(extensions: &[u8], id: ObjectIdentifier) -> Option<&[u8]> {
    let mut extensions = elements::<Extension<'_>>(extensions);
    extensions.find(|extension| extension.id == id).map(|extension| extension.value.as_bytes())
}

fn key_id(value: &[u8]) -> Option<Vec<u8>> {
    first::<OctetStringRef<'_>>(value).ok().map(|id| id.as_bytes().to_vec())
}

fn is_ca(value: &[u8]) -> bool {
    first::<x509::BasicConstraints>(value).is_ok_and(|constraints| constraints.ca)
}

/// The key in a SubjectPublicKeyInfo, if it is RSA and has at most [`MAX_BITS`].
fn rsa_key(info: &SubjectPublicKeyInfoRef<'_>) -> Option<RsaPublicKey> {
    let bits = Some(info.subject_public_key.as_bytes()?).filter(|_| info.algorithm.oid == RSA_ENCRYPTION)?;
    let key: pkcs1::RsaPublicKey<'_> = first(bits).ok()?;
    let [modulus, exponent] =
        [key.modulus, key.public_exponent].map(|number| BigUint::from_bytes_be(number.as_bytes()));
    RsaPublicKey::new_with_max_size(modulus, exponent, MAX_BITS).ok()
}
