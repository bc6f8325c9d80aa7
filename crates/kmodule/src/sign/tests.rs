use super::appended::INFO_LENGTH;
use super::{Certificate, CertificateError, Hash, MAGIC, signature, strip_signature, verify};

/// A file that ends like a signed module, with any message.
fn signed(module: &[u8], message: &[u8], kind: u8, length: u32) -> Vec<u8> {
    let info = [&[0, 0, kind, 0, 0, 0, 0, 0][..], &length.to_be_bytes()].concat();
    assert_eq!(info.len(), INFO_LENGTH);
    [module, message, &info, MAGIC].concat()
}

#[test]
fn only_a_signature_that_fits_is_removed() {
    let cases: [(Vec<u8>, &[u8]); 5] = [
        (b"plain".to_vec(), b"plain"),
        (signed(b"module", b"message", 2, 7), b"module"),
        (signed(&signed(b"module", b"one", 2, 3), b"two", 2, 3), b"module"),
        (MAGIC.to_vec(), MAGIC),
        (signed(b"", b"", 2, 0), b""),
    ];
    for (file, module) in cases {
        assert_eq!(strip_signature(&file), module);
        assert_eq!(signature(&file), None);
    }
    let too_long = signed(b"module", b"message", 2, 1000);
    assert_eq!(strip_signature(&too_long), too_long);
}

#[test]
fn names_of_digests() {
    for hash in Hash::ALL {
        assert_eq!(Hash::from_config_name(hash.config_name()), Some(hash));
        assert_eq!(Hash::from_oid(hash.oid()), Some(hash));
    }
    assert_eq!(Hash::from_config_name("md4"), None);
}

#[test]
fn damaged_certificates_are_errors() {
    assert_eq!(Certificate::parse(b""), Err(CertificateError::NotACertificate));
    assert_eq!(Certificate::parse(b"\x30\x03\x02\x01\x00"), Err(CertificateError::NotACertificate));
    let empty = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    assert_eq!(Certificate::parse(empty), Err(CertificateError::NotACertificate));
    let (_, der) = crate::mok::generate("x", 1, &mut crate::mok::OsRng, 0).unwrap();
    let certificate = Certificate::parse(&der).unwrap();
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_err());
    }
    let file = signed(b"module", b"message", 2, 7);
    assert!(verify(&file, &certificate).unwrap_err().to_string().contains("PKCS#7"));
    assert!(verify(&signed(b"m", b"m", 1, 1), &certificate).is_err());
}
