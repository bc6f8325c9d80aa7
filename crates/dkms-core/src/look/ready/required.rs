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

/// Returns the modules that are built into a kernel: those in `modules.builtin` in its directory of modules.
pub(super) fn builtin_modules(modules: &Path) -> Vec<ModuleName> {
    let list = modules.join("modules.builtin");
    let text = dkms_sys::fs::read_text(list, dkms_sys::fs::Limit::INDEX).unwrap_or_default();
    let module_name = |line: &str| {
        let file = Path::new(line).file_name()?.to_str()?;
        module_stem(file).map(ModuleName::new)
    };
    text.lines().filter_map(module_name).collect()
}
