//! Hexadecimal numbers of certificates.

/// Formats bytes in the usual form of fingerprints and serial numbers: `0A:FF:…`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
