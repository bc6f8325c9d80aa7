/// Formats bytes as fingerprints and serial numbers of certificates are printed: `0A:FF:…`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
