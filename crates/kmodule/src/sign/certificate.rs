//! X.509 certificates (RFC 5280), as far as signing and checking modules needs them.

use super::key::MAX_BITS;
use super::{Hash, Key, VerifyError};
use crate::der::{self, Element, Reader, SEQUENCE, SET, oid};
use crate::pem;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPublicKey};
use sha2::Digest;

mod facts;
pub use facts::KeyType;

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither a PEM nor a DER certificate.
    #[error("the file holds no X.509 certificate (PEM or DER)")]
    NotACertificate,
    /// It begins like one, but a field is missing or wrong.
    #[error("the X.509 certificate is damaged: {0}")]
    Damaged(&'static str),
}

/// A certificate: whom a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    issuer: Vec<u8>,
    raw_serial: Vec<u8>,
    subject_cn: String,
    issuer_cn: String,
    not_before: i64,
    not_after: i64,
    public: Option<RsaPublicKey>,
    key_id: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads the first certificate of a PEM file (which may hold keys as well), or a DER file.
    ///
    /// # Errors
    /// [`CertificateError`] tells whether it is none at all or a damaged one.
    pub fn parse(data: &[u8]) -> Result<Certificate, CertificateError> {
        if !pem::is_pem(data) {
            return read(data);
        }
        let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
        let block = pem::blocks(data).into_iter().find(|block| labels.contains(&block.label.as_str()));
        read(&block.ok_or(CertificateError::NotACertificate)?.bytes)
    }

    /// The whole certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The part that the issuer signed (TBSCertificate), DER: lists of revoked certificates name it by its digest.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        let outer = Reader::new(&self.der).take(SEQUENCE);
        outer.and_then(|outer| Reader::new(outer.body).take(SEQUENCE)).map_or(&[], |tbs| tbs.whole)
    }

    /// The issuer's Name, DER, as it stands in the certificate.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The issuer's common name; empty when there is none.
    #[must_use]
    pub fn issuer_cn(&self) -> &str {
        &self.issuer_cn
    }

    /// The subject's common name; empty when there is none.
    #[must_use]
    pub fn subject_cn(&self) -> &str {
        &self.subject_cn
    }

    /// The serial number, most significant byte first, without a leading zero.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        der::unsigned(&self.raw_serial)
    }

    /// The serial number as it stands in the certificate, with the zero that keeps it positive.
    #[must_use]
    pub fn raw_serial(&self) -> &[u8] {
        &self.raw_serial
    }

    /// Valid from, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Valid to, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// SHA-256 of the DER bytes; mokutil and openssl show the same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha2::Sha256::digest(&self.der).into()
    }

    /// SHA-1 of the DER bytes, as `mokutil --list-enrolled` shows it.
    #[must_use]
    pub fn fingerprint_sha1(&self) -> [u8; 20] {
        sha1::Sha1::digest(&self.der).into()
    }

    /// The subject key identifier extension.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    /// True when the certificate is for this key.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        let ours = key.public();
        self.public.as_ref().is_some_and(|public| public.n() == ours.n() && public.e() == ours.e())
    }

    pub(super) fn verify(&self, content: &[u8], hash: Hash, signature: &[u8]) -> Result<(), VerifyError> {
        let public = self.public.as_ref().ok_or(VerifyError::UnsupportedKeyType)?;
        public.verify(hash.padding(), &hash.digest(content), signature).map_err(|_| VerifyError::BadSignature)
    }
}

fn read(data: &[u8]) -> Result<Certificate, CertificateError> {
    use CertificateError::{Damaged, NotACertificate};
    let outer = Reader::new(data).take(SEQUENCE).ok_or(NotACertificate)?;
    let mut fields = Reader::new(outer.body).enter(SEQUENCE).ok_or(NotACertificate)?;
    fields.take(der::context(0));
    let raw_serial = fields.take(der::INTEGER).ok_or(NotACertificate)?.body.to_vec();
    fields.take(SEQUENCE).ok_or(NotACertificate)?;
    let issuer = fields.take(SEQUENCE).ok_or(Damaged("no issuer"))?;
    let mut validity = fields.enter(SEQUENCE).ok_or(Damaged("no validity"))?;
    let mut time = || validity.any().and_then(time).ok_or(Damaged("a date cannot be read"));
    let (not_before, not_after) = (time()?, time()?);
    let subject = fields.take(SEQUENCE).ok_or(Damaged("no subject"))?;
    let public = fields.enter(SEQUENCE).ok_or(Damaged("no public key"))?;
    fields.take(0x81);
    fields.take(0x82);
    Ok(Certificate {
        der: outer.whole.to_vec(),
        issuer: issuer.whole.to_vec(),
        raw_serial,
        subject_cn: common_name(subject.whole).unwrap_or_default(),
        issuer_cn: common_name(issuer.whole).unwrap_or_default(),
        not_before,
        not_after,
        public: rsa_key(public),
        key_id: fields.enter(der::context(3)).and_then(key_id),
    })
}

/// The key in a SubjectPublicKeyInfo, when it is RSA and of a sane size.
fn rsa_key(mut info: Reader<'_>) -> Option<RsaPublicKey> {
    info.enter(SEQUENCE)?.take(der::OID).filter(|oid| oid.body == oid::RSA_ENCRYPTION)?;
    let bits = info.take(der::BIT_STRING)?.body.strip_prefix(&[0])?;
    let mut key = Reader::new(bits).enter(SEQUENCE)?;
    let mut number = || key.take(der::INTEGER).map(|element| BigUint::from_bytes_be(element.body));
    let (modulus, exponent) = (number()?, number()?);
    RsaPublicKey::new_with_max_size(modulus, exponent, MAX_BITS).ok()
}

fn key_id(mut extensions: Reader<'_>) -> Option<Vec<u8>> {
    let mut list = extensions.enter(SEQUENCE)?;
    while let Some(mut extension) = list.enter(SEQUENCE) {
        if extension.take(der::OID)?.body == oid::SUBJECT_KEY_ID {
            let value = extension.take(der::OCTET_STRING)?.body;
            return Some(Reader::new(value).take(der::OCTET_STRING)?.body.to_vec());
        }
    }
    None
}

/// The last common name in a Name (a SEQUENCE of SETs of type and value).
pub(super) fn common_name(name: &[u8]) -> Option<String> {
    let mut parts = Reader::new(name).enter(SEQUENCE)?;
    let mut found = None;
    while let Some(mut set) = parts.enter(SET) {
        while let Some(mut pair) = set.enter(SEQUENCE) {
            if pair.take(der::OID)?.body == oid::COMMON_NAME {
                found = pair.any().map(text);
            }
        }
    }
    found
}

/// BMPString is UTF-16; the other string types are read as UTF-8.
fn text(value: Element<'_>) -> String {
    const BMP_STRING: u8 = 0x1e;
    if value.tag != BMP_STRING {
        return String::from_utf8_lossy(value.body).into_owned();
    }
    let units =
        value.body.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, byte| (sum << 8) | u16::from(*byte)));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// UTCTime `YYMMDDhhmmssZ` (1950 to 2049) or GeneralizedTime `YYYYMMDDhhmmssZ` as seconds since 1970.
fn time(value: Element<'_>) -> Option<i64> {
    let digits = std::str::from_utf8(value.body).ok()?.strip_suffix('Z')?;
    let (year, rest) = match value.tag {
        der::UTC_TIME => {
            let year: i64 = number(digits.get(..2)?)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        der::GENERALIZED_TIME => (number(digits.get(..4)?)?, digits.get(4..)?),
        _ => return None,
    };
    let part = |index: usize| number(rest.get(2 * index..2 * index + 2)?);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &str) -> Option<i64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (years begin in March, so the leap day is last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
