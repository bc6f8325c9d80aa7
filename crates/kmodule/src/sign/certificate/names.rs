//! Readable names for the object identifiers in certificates.

use crate::asn1::{RawSequence, elements, first};
use crate::x509::{self, Name};
use der::oid::ObjectIdentifier;
use rsa::pkcs1;
use spki::SubjectPublicKeyInfoRef;
use std::fmt;

/// The type of a certificate's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyType {
    /// RSA, with the number of bits of the modulus.
    Rsa(usize),
    /// Elliptic curve (ECDSA), with the name or the object identifier of the curve.
    Ec(String),
    /// Ed25519 or Ed448.
    Edwards(&'static str),
    /// Another algorithm, by its object identifier.
    Other(String),
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyType::Rsa(bits) => write!(f, "RSA {bits}"),
            KeyType::Ec(curve) => write!(f, "EC {curve}"),
            KeyType::Edwards(name) => f.write_str(name),
            KeyType::Other(name) => write!(f, "algorithm {name}"),
        }
    }
}

/// The type of a public key; unknown if the key is damaged.
pub(super) fn key_type(info: &SubjectPublicKeyInfoRef<'_>) -> KeyType {
    let key_type = match info.algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => rsa_bits(info).map(KeyType::Rsa),
        "1.2.840.10045.2.1" => curve_name(info).map(KeyType::Ec),
        "1.3.101.112" => Some(KeyType::Edwards("Ed25519")),
        "1.3.101.113" => Some(KeyType::Edwards("Ed448")),
        other => Some(KeyType::Other(other.to_owned())),
    };
    key_type.unwrap_or_else(|| KeyType::Other("unknown".to_owned()))
}

fn rsa_bits(info: &SubjectPublicKeyInfoRef<'_>) -> Option<usize> {
    let key: pkcs1::RsaPublicKey<'_> = first(info.subject_public_key.as_bytes()?).ok()?;
    let modulus = key.modulus.as_bytes();
    let zeros = modulus.first()?.leading_zeros() as usize;
    Some(modulus.len() * 8 - zeros)
}

fn curve_name(info: &SubjectPublicKeyInfoRef<'_>) -> Option<String> {
    let curve = info.algorithm.parameters?.decode_as::<ObjectIdentifier>().ok()?.to_string();
    let name = match curve.as_str() {
        "1.2.840.10045.3.1.1" => "P-192",
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        other => other,
    };
    Some(name.to_owned())
}

/// A name as `CN=Name, O=Organisation`, in file order.
pub(super) fn distinguished_name(name: Name<'_>) -> String {
    let parts = x509::attributes(name).map(|attribute| {
        let id = attribute.id.to_string();
        let kind = match id.as_str() {
            "2.5.4.3" => "CN",
            "2.5.4.6" => "C",
            "2.5.4.7" => "L",
            "2.5.4.8" => "ST",
            "2.5.4.10" => "O",
            "2.5.4.11" => "OU",
            "1.2.840.113549.1.9.1" => "emailAddress",
            other => other,
        };
        format!("{kind}={}", attribute.text())
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The purposes in an extendedKeyUsage extension.
pub(super) fn key_usages(value: &[u8]) -> Vec<String> {
    let Ok(list) = first::<RawSequence<'_>>(value) else { return Vec::new() };
    let name = |usage: ObjectIdentifier| match usage.to_string().as_str() {
        "1.3.6.1.5.5.7.3.3" => "codeSigning".to_owned(),
        // shim does not start programs that are signed with a key for this purpose.
        "1.3.6.1.4.1.2312.16.1.2" => "kernel modules only".to_owned(),
        other => other.to_owned(),
    };
    elements(list.0).map(name).collect()
}

#[cfg(test)]
mod tests {
    use crate::mok::{OsRng, generate};
    use crate::sign::{Certificate, KeyType};

    #[test]
    fn our_own_certificate() {
        let (_, der) = generate("DKMS module signing key", 1, &mut OsRng, 0).unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(*certificate.key_type(), KeyType::Rsa(2048));
        assert_eq!(certificate.subject(), "CN=DKMS module signing key");
        assert!(!certificate.is_ca());
        assert_eq!(certificate.extended_key_usage(), ["codeSigning"]);
        // Firmware pads its lists.
        let padded = [&der[..], &[0; 9]].concat();
        assert_eq!(Certificate::parse(&padded), Ok(certificate));
    }
}
