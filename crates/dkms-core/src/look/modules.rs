//! Reads the version and the signer of a module file.

use crate::kernel::installed::decompressed;
use std::path::Path;

/// The data in an installed module file.
#[derive(Debug, Default)]
pub struct Facts {
    /// The signer.
    pub signer: Option<String>,
    /// MODULE_VERSION
    pub version: Option<String>,
    /// The checksum of its sources; not every module has one.
    pub srcversion: Option<String>,
}

impl Facts {
    /// Reads a module file. If it cannot be read, all fields are empty.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let Some(bytes) = dkms_sys::fs::read(path).ok().and_then(|bytes| decompressed(&bytes).ok()) else {
            return Self::default();
        };
        let signer = kmodule::sign::signature(&bytes).map(|signature| match signature.signer.as_str() {
            "" => format!("key {}", signature.serial_hex()),
            name => name.to_owned(),
        });
        let Ok(module) = kmodule::elf::Module::parse(&bytes) else {
            return Self { signer, ..Self::default() };
        };
        Self {
            signer,
            version: module.modinfo.version().map(str::to_owned),
            srcversion: module.modinfo.srcversion().map(str::to_owned),
        }
    }
}
