//! Reads the exports and the dependencies of a module file.

use super::index::SoftDeps;
use crate::kernel::installed::MODULE_LIMIT;
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::elf::Module;
use kmodule::symvers::Symvers;
use kmodule::verdict::File;
use std::path::{Path, PathBuf};

/// A module file that is not part of the kernel, or that is judged as if it were not.
#[derive(Debug)]
pub(super) struct ExternalModule {
    pub(super) name: ModuleName,
    pub(super) path: PathBuf,
    pub(super) exports: Symvers,
    /// Whether none of its exports has a CRC.
    pub(super) without_crc: bool,
    /// The symbols that it needs.
    pub(super) undefined: Vec<String>,
    pub(super) softdeps: SoftDeps,
}

impl ExternalModule {
    /// Reads a module file; `None` if it cannot be read or is not a module.
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

/// Returns the soft dependencies in the module's modinfo.
pub(super) fn own_softdeps(module: &Module) -> SoftDeps {
    let mut softdeps = SoftDeps::default();
    module.modinfo.all("softdep").for_each(|words| softdeps.add(words));
    softdeps
}
