//! The modules and packages that a kernel must have.

use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use std::path::Path;

/// A requirement: a package with its modules, or a module of the kernel itself.
#[derive(Debug)]
pub(super) enum Required {
    Package(String),
    Module(String),
}

/// The modules in a list of files such as `modules.builtin`.
pub(super) fn own_names(list: &Path) -> Vec<ModuleName> {
    let text = dkms_sys::fs::read_text(list, dkms_sys::fs::Limit::INDEX).unwrap_or_default();
    let name_of = |line: &str| {
        let file = Path::new(line).file_name().and_then(|n| n.to_str());
        file.and_then(module_stem).map(ModuleName::new)
    };
    text.lines().filter_map(name_of).collect()
}
