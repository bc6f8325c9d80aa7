//! The symbols that a kernel and the modules loaded before export.

use crate::symvers::{Entry, Symvers};

/// A source of exported symbols.
pub trait Symbols {
    /// The symbol as it is exported when the module is loaded; `None`: nothing exports it.
    fn find(&self, symbol: &str) -> Option<Found<'_>>;
    /// The module, or [`KERNEL`], that already exports the symbol when the module is loaded. The kernel
    /// refuses a second exporter.
    fn exported_before(&self, symbol: &str) -> Option<&str> {
        self.find(symbol).filter(|found| found.entry.module == "vmlinux").map(|_| KERNEL)
    }
}

/// The name that the kernel uses for itself as the owner of a symbol.
pub const KERNEL: &str = "kernel";

/// An exported symbol and the state of the module that exports it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The symbol and its CRC.
    pub entry: Entry<'a>,
    /// The module that exports it is not installed for this kernel.
    pub missing: bool,
    /// That module is tainted as proprietary: by its own licence, or by a symbol of another module that is.
    pub proprietary: bool,
    /// That module has no CRCs, so there is nothing to compare.
    pub without_crc: bool,
}

impl<'a> Found<'a> {
    /// A symbol of the kernel or of one of its own modules.
    #[must_use]
    pub fn of_kernel(entry: Entry<'a>) -> Found<'a> {
        Found { entry, missing: false, proprietary: false, without_crc: false }
    }
}

impl Symbols for Symvers {
    fn find(&self, symbol: &str) -> Option<Found<'_>> {
        self.lookup(symbol).map(Found::of_kernel)
    }
}
