//! A module file with its exports and its dependencies.

use super::index::SoftDeps;
use crate::kernel::installed::MODULE_LIMIT;
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::elf::Module;
use kmodule::symvers::Symvers;
use kmodule::verdict::File;
use std::path::{Path, PathBuf};

/// A module file that is not the kernel's own, or is judged as if it were not.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: ModuleName,
    pub(super) path: PathBuf,
    pub(super) exports: Symvers,
    /// Whether none of its exports has a CRC.
    pub(super) without_crc: bool,
    pub(super) undefined: Vec<String>,
    pub(super) softdeps: SoftDeps,
}

impl Unit {
    /// Reads a module; `None` if it is not a readable module.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let stem = module_stem(path.file_name()?.to_str()?)?;
        let bytes = dkms_sys::fs::read(path).ok()?;
        let file = File::read(&bytes, MODULE_LIMIT);
        let module = file.module()?;
        let exports = if module.exports.is_empty() {
            Symvers::default()
        } else {
            kmodule::exports::read_module(file.plain(), stem).ok()?
        };
        let without_crc = exports.iter().all(|entry| entry.crc == 0);
        Some(Self {
            name: ModuleName::new(stem),
            path: path.to_owned(),
            without_crc,
            exports,
            undefined: module.undefined.iter().map(|needed| needed.name.clone()).collect(),
            softdeps: own_softdeps(module),
        })
    }
}

/// The soft dependencies that the module itself lists.
pub(super) fn own_softdeps(module: &Module) -> SoftDeps {
    let mut softdeps = SoftDeps::default();
    module.modinfo.all("softdep").for_each(|words| softdeps.add(words));
    softdeps
}
