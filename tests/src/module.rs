//! Facts about an installed kernel module, from `modinfo` and its bytes.

use crate::tree::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// One module file below `/lib/modules/K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Path below `/lib/modules/K`, such as `updates/dkms/single.ko`.
    pub path: String,
    /// `version`, `vermagic`, `signer`, `sig_hashalgo` … as modinfo names them; the first of each.
    pub fields: BTreeMap<String, String>,
    /// Whether it still carries DWARF debug sections (uncompressed modules only).
    pub debug: bool,
    /// SHA-256 of the bytes without a signature (of the file's bytes when it is compressed).
    pub payload: String,
}

/// Magic that ends a signed module: `include/linux/module_signature.h`.
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Size of `struct module_signature`, which lies before the magic; its last four bytes are the length.
const SIGNATURE_INFO: usize = 12;

/// The module's bytes without an appended signature; all of them when there is none or it is cut short.
#[must_use]
pub fn payload(bytes: &[u8]) -> &[u8] {
    strip_signature(bytes).unwrap_or(bytes)
}

fn strip_signature(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_suffix(SIGNED)?;
    let (rest, info) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_INFO)?)?;
    let length = u32::from_be_bytes(info.get(8..)?.try_into().ok()?);
    rest.get(..rest.len().checked_sub(usize::try_from(length).ok()?)?)
}

/// Inspects one module file; `name` becomes [`Installed::path`].
///
/// # Errors
/// When the file cannot be read or `modinfo` cannot be started.
pub fn inspect(file: &Path, name: String) -> io::Result<Installed> {
    let bytes = fs::read(file)?;
    let output = Command::new("modinfo").arg(file).output()?;
    let mut fields = BTreeMap::new();
    for record in String::from_utf8_lossy(&output.stdout).lines() {
        // A line that begins with blanks continues the signature.
        if let Some((key, value)) = record.split_once(':').filter(|_| !record.starts_with([' ', '\t'])) {
            fields.entry(key.to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    let debug = bytes.windows(11).any(|w| w == b".debug_info");
    Ok(Installed { path: name, fields, debug, payload: sha256(payload(&bytes)) })
}
