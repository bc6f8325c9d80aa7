//! Would this kernel load this module? The checks of kernel/module/{main,signing,version}.c in their order,
//! made before the module is needed: signature, format, machine, version magic, symbols, their CRCs, licences
//! and namespaces.

mod damage;
mod doubts;
mod early;
mod file;
mod format;
mod kernel;
mod license;
mod lookup;
mod machine;
mod outcome;
mod reason;
mod release;
mod relocate;
mod signature;
mod symbols;

pub use file::File;
pub use kernel::{Enforcement, KernelView, Key, Keys, Loader, Signatures};
pub use license::is_gpl_compatible;
pub use lookup::{Found, KERNEL, Symbols};
pub use outcome::{Outcome, Verdict};
pub use reason::{Cause, Reason, Unsupported};
pub use release::since;
pub use symbols::made_by_loader;

use crate::elf::Module;

/// Checks what a module says about itself against everything known about the kernel. Signatures and the
/// structure of the file need its bytes: [`File::judge`] checks them too.
#[must_use]
pub fn check(module: &Module, kernel: &KernelView<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if let Err(reason) = machine::check(module.class, module.machine, module.little_endian, kernel) {
        verdict.refusals.push(reason);
    }
    if !module.has_symbols {
        verdict.refusals.push(Reason::Stripped);
    }
    let counts = since(kernel.release, 6, 4);
    match (module.this_module_size, kernel.struct_module.filter(|_| counts)) {
        (None, _) => verdict.refusals.push(Reason::NotLinked { counted: counts }),
        (Some(module), Some(kernel)) if module != kernel => {
            verdict.refusals.push(Reason::StructModule { module, kernel });
        }
        _ => {}
    }
    early::check(module, kernel, &mut verdict);
    symbols::check(module, kernel, &mut verdict);
    verdict
}

#[cfg(test)]
mod tests;
