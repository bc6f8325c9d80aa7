//! A machine owner key: the key pair this system signs its own modules with.
//!
//! RSA 2048, self-signed with SHA-256, for code signing only. The certificate follows RFC 5280; key identifiers
//! are made as `openssl req -x509` makes them (method 1 of section 4.2.1.2).

use crate::der::{self, OCTET_STRING, OID, SEQUENCE, SET, element, oid, wrap};
use crate::pem;
use crate::sign::{Hash, Key, SignError};
use rand_core::CryptoRngCore;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, pkcs8::EncodePrivateKey};
use sha1::Digest;

/// The name dkms has always given its key.
pub const COMMON_NAME: &str = "DKMS module signing key";
/// How long the certificate is valid: a hundred years. Nobody wants a module to stop loading one day.
pub const DAYS: u32 = 36_500;
/// Key size in bits. Firmware that cannot read larger keys is still around.
const BITS: usize = 2048;

/// The system's random number generator, to hand to [`generate`].
pub use rand_core::OsRng;

/// Why no key could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MokError {
    /// X.509 allows 1 to 64 characters for a common name (RFC 5280, ub-common-name).
    #[error("a certificate's common name has 1 to 64 characters, \"{0}\" does not")]
    CommonName(String),
    /// The certificate would end after the year 9999, or the clock is before 1970 or far off.
    #[error(
        "the certificate's dates cannot be written: {now} seconds since 1970 plus {days} days; check the clock"
    )]
    Dates {
        /// The time given.
        now: u64,
        /// The validity given.
        days: u32,
    },
    /// No key could be computed.
    #[error("no RSA key could be made: {0}")]
    Key(String),
    /// The certificate could not be signed.
    #[error("the new certificate could not be signed: {0}")]
    Sign(#[from] SignError),
}

/// Makes a key and its self-signed certificate: `(private key as PEM PKCS#8, certificate as DER)`.
///
/// `common_name` is issuer and subject ([`COMMON_NAME`]); the certificate is valid for `days` days
/// ([`DAYS`]) from `now_unix_seconds`; `rng` is [`OsRng`] outside tests. The caller stores the key readable for
/// root only. Takes a quarter of a second or so.
///
/// # Errors
/// [`MokError`] for a name or time a certificate cannot hold, or without random numbers.
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
    rng.try_fill_bytes(&mut serial).map_err(|error| SignError::NoRandomness(error.to_string()))?;
    // Positive, and of full length: at most 20 bytes (RFC 5280, section 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let key = RsaPrivateKey::new(rng, BITS).map_err(|error| MokError::Key(error.to_string()))?;
    let pem = key.to_pkcs8_der().map_err(|error| MokError::Key(error.to_string()))?;
    let pem = pem::encode("PRIVATE KEY", pem.as_bytes());
    let certificate = certificate(common_name, &serial, &validity, &Key::from_rsa(key))?;
    Ok((pem.into_bytes(), certificate))
}

/// A certificate (DER) as PEM, for files that hold key and certificate.
#[must_use]
pub fn to_pem(certificate: &[u8]) -> Vec<u8> {
    pem::encode("CERTIFICATE", certificate).into_bytes()
}

fn certificate(common_name: &str, serial: &[u8], validity: &[u8], key: &Key) -> Result<Vec<u8>, SignError> {
    let name = element(
        SEQUENCE,
        &element(
            SET,
            &wrap(
                SEQUENCE,
                &[&element(OID, oid::COMMON_NAME), &element(der::UTF8_STRING, common_name.as_bytes())],
            ),
        ),
    );
    let public = key.public();
    let public =
        wrap(SEQUENCE, &[&der::integer(&public.n().to_bytes_be()), &der::integer(&public.e().to_bytes_be())]);
    let algorithm = der::algorithm_null(oid::SHA256_WITH_RSA);
    let body = wrap(
        SEQUENCE,
        &[
            &element(der::context(0), &der::integer(&[2])), // X.509 v3
            &der::integer(serial),
            &algorithm,
            &name,
            validity,
            &name,
            &wrap(SEQUENCE, &[&der::algorithm_null(oid::RSA_ENCRYPTION), &der::bit_string(&public)]),
            &element(der::context(3), &extensions(&sha1::Sha1::digest(&public))),
        ],
    );
    let signature = key.sign(&body, Hash::Sha256)?;
    Ok(wrap(SEQUENCE, &[&body, &algorithm, &der::bit_string(&signature)]))
}

/// Subject and authority key identifier, basicConstraints CA:FALSE (critical), extendedKeyUsage codeSigning.
fn extensions(key_id: &[u8]) -> Vec<u8> {
    let extension = |oid: &[u8], critical: bool, value: &[u8]| {
        let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
        wrap(SEQUENCE, &[&element(OID, oid), critical, &element(OCTET_STRING, value)])
    };
    wrap(
        SEQUENCE,
        &[
            &extension(oid::SUBJECT_KEY_ID, false, &element(OCTET_STRING, key_id)),
            &extension(oid::AUTHORITY_KEY_ID, false, &element(SEQUENCE, &element(0x80, key_id))),
            // CA:FALSE is the default, and defaults are left out in DER.
            &extension(oid::BASIC_CONSTRAINTS, true, &element(SEQUENCE, &[])),
            &extension(oid::EXTENDED_KEY_USAGE, false, &element(SEQUENCE, &element(OID, oid::CODE_SIGNING))),
        ],
    )
}

fn validity(now: u64, days: u32) -> Option<Vec<u8>> {
    let end = now.checked_add(u64::from(days) * 86_400)?;
    Some(wrap(SEQUENCE, &[&time(now)?, &time(end)?]))
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, section 4.1.2.5).
fn time(seconds: u64) -> Option<Vec<u8>> {
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    match year {
        ..=2049 => Some(element(der::UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())),
        2050..=9999 => Some(element(der::GENERALIZED_TIME, format!("{year}{rest}").as_bytes())),
        _ => None,
    }
}

/// The Gregorian date, a number of days after 1970-01-01.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01, in eras of 400 years; years begin in March.
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
