//! What else a certificate says of its key: its type, what it is for, whose it is.

use super::Certificate;
use crate::der::{self, Reader, SEQUENCE, SET, oid};
use std::fmt;

/// What kind of key a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyType {
    /// RSA, with a modulus of so many bits.
    Rsa(usize),
    /// Elliptic curve (ECDSA), with the curve's name, or its object identifier.
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

impl Certificate {
    /// What kind of key it is for.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.public_key_type().unwrap_or_else(|| KeyType::Other("unknown".to_owned()))
    }

    fn public_key_type(&self) -> Option<KeyType> {
        let mut info = self.fields()?.1;
        let mut algorithm = info.enter(SEQUENCE)?;
        let kind = algorithm.take(der::OID)?.body;
        Some(match kind {
            oid::RSA_ENCRYPTION => {
                let bits = info.take(der::BIT_STRING)?.body.strip_prefix(&[0])?;
                let modulus = Reader::new(bits).enter(SEQUENCE)?.take(der::INTEGER)?.body;
                let modulus = der::unsigned(modulus);
                let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
                KeyType::Rsa(modulus.len() * 8 - zeros)
            }
            b"\x2a\x86\x48\xce\x3d\x02\x01" => KeyType::Ec(match algorithm.take(der::OID)?.body {
                b"\x2a\x86\x48\xce\x3d\x03\x01\x01" => "P-192".to_owned(),
                b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => "P-256".to_owned(),
                b"\x2b\x81\x04\x00\x22" => "P-384".to_owned(),
                b"\x2b\x81\x04\x00\x23" => "P-521".to_owned(),
                other => dotted(other),
            }),
            b"\x2b\x65\x70" => KeyType::Edwards("Ed25519"),
            b"\x2b\x65\x71" => KeyType::Edwards("Ed448"),
            other => KeyType::Other(dotted(other)),
        })
    }

    /// The subject, as `CN=Name, O=Organisation`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.fields().map_or_else(String::new, |(subject, _, _)| distinguished(subject))
    }

    /// Whether it may sign other certificates (basicConstraints). The extension's absence means no.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        let value = self.extension(oid::BASIC_CONSTRAINTS);
        let flag = value.and_then(|value| Reader::new(value).enter(SEQUENCE)?.take(der::BOOLEAN));
        flag.is_some_and(|flag| flag.body.first().is_some_and(|byte| *byte != 0))
    }

    /// What the key may be used for (extendedKeyUsage), by names where they have one here; empty: anything.
    #[must_use]
    pub fn extended_key_usage(&self) -> Vec<String> {
        let Some(mut list) =
            self.extension(oid::EXTENDED_KEY_USAGE).and_then(|value| Reader::new(value).enter(SEQUENCE))
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        while let Some(usage) = list.take(der::OID) {
            found.push(match usage.body {
                oid::CODE_SIGNING => "codeSigning".to_owned(),
                // 1.3.6.1.4.1.2312.16.1.2: shim starts nothing that is signed with such a key.
                b"\x2b\x06\x01\x04\x01\x92\x08\x10\x01\x02" => "kernel modules only".to_owned(),
                other => dotted(other),
            });
        }
        found
    }

    /// The content of an extension's value.
    fn extension(&self, wanted: &[u8]) -> Option<&[u8]> {
        let mut list = self.fields()?.2?.enter(SEQUENCE)?;
        while let Some(mut extension) = list.enter(SEQUENCE) {
            if extension.take(der::OID)?.body == wanted {
                extension.take(der::BOOLEAN);
                return Some(extension.take(der::OCTET_STRING)?.body);
            }
        }
        None
    }

    /// Subject, public key and, if there are any, extensions.
    fn fields(&self) -> Option<(&[u8], Reader<'_>, Option<Reader<'_>>)> {
        let mut fields = Reader::new(&self.der).enter(SEQUENCE)?.enter(SEQUENCE)?;
        fields.take(der::context(0));
        fields.take(der::INTEGER)?;
        // Signature algorithm, issuer, validity.
        for _ in 0..3 {
            fields.take(SEQUENCE)?;
        }
        let subject = fields.take(SEQUENCE)?.whole;
        let public = fields.enter(SEQUENCE)?;
        fields.take(0x81);
        fields.take(0x82);
        Some((subject, public, fields.enter(der::context(3))))
    }
}

/// A Name, in its own order.
fn distinguished(name: &[u8]) -> String {
    let mut found = Vec::new();
    let mut parts = Reader::new(name).enter(SEQUENCE).unwrap_or_else(|| Reader::new(&[]));
    while let Some(mut set) = parts.enter(SET) {
        while let Some(mut pair) = set.enter(SEQUENCE) {
            let Some((kind, value)) = pair.take(der::OID).zip(pair.any()) else { break };
            let kind = match kind.body {
                oid::COMMON_NAME => "CN".to_owned(),
                b"\x55\x04\x06" => "C".to_owned(),
                b"\x55\x04\x07" => "L".to_owned(),
                b"\x55\x04\x08" => "ST".to_owned(),
                b"\x55\x04\x0a" => "O".to_owned(),
                b"\x55\x04\x0b" => "OU".to_owned(),
                b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01" => "emailAddress".to_owned(),
                other => dotted(other),
            };
            found.push(format!("{kind}={}", super::text(value)));
        }
    }
    found.join(", ")
}

/// An object identifier's content as `1.2.840.…`.
fn dotted(content: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0u64;
    for byte in content {
        number = (number & (u64::MAX >> 7)) << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::{KeyType, dotted};
    use crate::mok::{OsRng, generate};
    use crate::sign::Certificate;

    #[test]
    fn our_own_certificate() {
        let (_, der) = generate("DKMS module signing key", 1, &mut OsRng, 0).unwrap();
        let c = Certificate::parse(&der).unwrap();
        assert_eq!(c.key_type(), KeyType::Rsa(2048));
        assert_eq!(c.subject(), "CN=DKMS module signing key");
        assert!(!c.is_ca());
        assert_eq!(c.extended_key_usage(), ["codeSigning"]);
    }

    #[test]
    fn object_identifiers() {
        assert_eq!(dotted(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(b"\x55\x04\x03"), "2.5.4.3");
        assert_eq!(dotted(b"\x2b\x06\x01\x04\x01\x92\x08\x10\x01\x02"), "1.3.6.1.4.1.2312.16.1.2");
        assert_eq!(dotted(b""), "");
        // More than a number holds: some number, no panic.
        dotted(&[0xff; 40]);
    }
}
