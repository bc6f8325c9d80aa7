//! Predicts whether a kernel would load a module, with the checks of kernel/module/{main,signing,version}.c
//! in the same order: signature, format, machine, version magic, symbols, their CRCs, licences and
//! namespaces.

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
mod struct_module;
mod symbols;

pub use file::File;
pub use kernel::{Enforcement, KernelView, Key, Keys, Loader, Signatures};
pub use license::is_gpl_compatible;
pub use lookup::{ExportedSymbol, KERNEL, Symbols};
pub use outcome::{Outcome, Verdict};
pub use reason::{Cause, Reason, Unsupported};
pub use release::since;
pub use symbols::made_by_loader;

#[cfg(test)]
mod tests;
