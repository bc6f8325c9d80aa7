//! The symbols that a kernel and the modules loaded before export.

use crate::symvers::{Entry, Symvers};

/// A source of exported symbols.
pub trait Symbols {
    /// The symbol as it is exported when the module is loaded; `None` if nothing exports it.
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>>;
    /// The module, or [`KERNEL`], that already exports the symbol when the module is loaded. The kernel
    /// refuses a second exporter.
    fn exported_before(&self, symbol: &str) -> Option<&str> {
        self.find(symbol).filter(|export| export.entry.module == "vmlinux").map(|_| KERNEL)
    }
}

/// The name that the kernel uses for itself as the owner of a symbol.
pub const KERNEL: &str = "kernel";

/// An exported symbol and the state of the module that exports it.
#[derive(Debug, Clone, Copy)]
pub struct ExportedSymbol<'a> {
    /// The symbol and its CRC.
    pub entry: Entry<'a>,
    /// The module that exports it is not installed for this kernel.
    pub missing: bool,
    /// That module is tainted as proprietary: by its own licence, or by a symbol of a proprietary module.
    pub proprietary: bool,
    /// That module has no CRCs, so there is nothing to compare.
    pub without_crc: bool,
}

impl<'a> ExportedSymbol<'a> {
    /// A symbol of the kernel or of one of its own modules.
    #[must_use]
    pub fn from_kernel(entry: Entry<'a>) -> ExportedSymbol<'a> {
        ExportedSymbol { entry, missing: false, proprietary: false, without_crc: false }
    }
}

impl Symbols for Symvers {
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>> {
        self.lookup(symbol).map(ExportedSymbol::from_kernel)
    }
}
