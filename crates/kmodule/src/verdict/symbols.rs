//! The symbols a module needs: offered by whom, with which CRC, to whom (resolve_symbol in kernel/module/main.c).

use super::{KernelView, Reason, Verdict, is_gpl_compatible};
use crate::elf::Module;
use crate::symvers::{Entry, Symvers};
use std::collections::HashMap;

/// Where symbols are looked up.
pub trait Symbols {
    /// The symbol as it will be offered when the module is loaded; `None`: by nobody.
    fn find(&self, symbol: &str) -> Option<Found<'_>>;
    /// The kernel image itself exports it.
    fn in_kernel(&self, symbol: &str) -> bool {
        self.find(symbol).is_some_and(|found| found.entry.module == "vmlinux")
    }
}

/// Who offers a symbol, and how.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The symbol and its CRC.
    pub entry: Entry<'a>,
    /// The module that exports it is not installed for this kernel.
    pub missing: bool,
    /// That module taints the kernel as proprietary.
    pub proprietary: bool,
}

impl Symbols for Symvers {
    fn find(&self, symbol: &str) -> Option<Found<'_>> {
        Some(Found { entry: self.lookup(symbol)?, missing: false, proprietary: false })
    }
}

/// Every module is built with the CRC of this symbol: it stands for the layout of the kernel's central structures.
const LAYOUT: &str = "module_layout";

/// The first comparison of all: that of [`LAYOUT`] (check_modstruct_version).
pub(super) fn layout(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    if !k.modversions {
        return;
    }
    if !module.has_versions {
        let list = if k.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        return list.push(Reason::NoVersions);
    }
    let Some(found) = k.symbols.and_then(|symbols| symbols.find(LAYOUT)) else { return };
    let listed = module.versions.iter().find(|(name, _)| name == LAYOUT);
    crc(found.entry, listed.map(|(_, crc)| *crc), k, verdict);
}

pub(super) fn check(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(symbols) = k.symbols else {
        if !module.undefined.is_empty() {
            verdict.doubts.push(Reason::NoSymvers);
        }
        return;
    };
    let license = module.modinfo.license().unwrap_or_default();
    let gpl = is_gpl_compatible(license);
    // The first of a name counts.
    let versions: HashMap<&str, u64> =
        module.versions.iter().rev().map(|(symbol, crc)| (symbol.as_str(), *crc)).collect();
    let mut needs_gpl_only = false;
    for needed in &module.undefined {
        let symbol = needed.name.as_str();
        // 64-bit PowerPC (ABI 1) marks function entry points with a dot; the kernel looks without.
        let bare = symbol.strip_prefix('.').unwrap_or(symbol);
        let Some(found) = symbols.find(symbol).or_else(|| symbols.find(bare)) else {
            if !needed.weak && !made_by_loader(module.machine, symbol) {
                verdict.refusals.push(Reason::UnknownSymbol { symbol: symbol.to_owned() });
            }
            continue;
        };
        let entry = found.entry;
        if found.missing {
            if !needed.weak {
                let (symbol, owner) = (symbol.to_owned(), entry.module.to_owned());
                verdict.refusals.push(Reason::OwnerMissing { symbol, owner });
            }
            continue;
        }
        if entry.export_gpl && !gpl {
            let reason = Reason::GplOnly { symbol: symbol.to_owned(), license: license.to_owned() };
            verdict.refusals.push(reason);
            continue;
        }
        needs_gpl_only |= entry.export_gpl;
        if found.proprietary && needs_gpl_only {
            let (symbol, owner) = (symbol.to_owned(), entry.module.to_owned());
            verdict.refusals.push(Reason::ProprietaryOwner { symbol, owner });
            continue;
        }
        if k.modversions && module.has_versions {
            crc(entry, versions.get(bare).or_else(|| versions.get(symbol)).copied(), k, verdict);
        }
        namespace(module, entry, k, verdict);
    }
}

fn crc(entry: Entry<'_>, wanted: Option<u64>, k: &KernelView<'_>, verdict: &mut Verdict) {
    let symbol = entry.symbol.to_owned();
    match wanted {
        Some(module_crc) if module_crc != u64::from(entry.crc) => {
            verdict.refusals.push(Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc: entry.crc })
        }
        Some(_) => {}
        None if k.missing_crcs => verdict.notes.push(Reason::NoSymbolVersion { symbol }),
        None => verdict.refusals.push(Reason::NoSymbolVersion { symbol }),
    }
}

fn namespace(module: &Module, entry: Entry<'_>, k: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(namespace) = entry.namespace else { return };
    let allowed = match namespace.strip_prefix("module:") {
        // Linux 6.16: only for the modules listed, where a `*` at the end stands for anything.
        Some(list) => module.modinfo.name().is_none_or(|name| named(list, &name.replace('-', "_"))),
        None => module.modinfo.all("import_ns").any(|import| import == namespace),
    };
    if !allowed {
        let reason = Reason::Namespace { symbol: entry.symbol.to_owned(), namespace: namespace.to_owned() };
        if k.allow_missing_namespaces { verdict.notes.push(reason) } else { verdict.refusals.push(reason) }
    }
}

fn named(list: &str, name: &str) -> bool {
    list.split(',').any(|pattern| {
        let pattern = pattern.replace('-', "_");
        pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
    })
}

/// Symbols that the kernel's module loader provides itself or ignores (ignore_undef_symbol, arch/powerpc), for an
/// `e_machine`.
#[must_use]
pub fn made_by_loader(machine: u16, symbol: &str) -> bool {
    const I386: u16 = 3;
    const PPC: u16 = 20;
    const PPC64: u16 = 21;
    const X86_64: u16 = 62;
    const REGISTER_SAVERS: [&str; 8] = [
        "_restgpr",
        "_savegpr",
        "_rest32gpr_",
        "_save32gpr_",
        "_restfpr_",
        "_savefpr_",
        "_restvr_",
        "_savevr_",
    ];
    match machine {
        I386 | X86_64 => symbol == "_GLOBAL_OFFSET_TABLE_",
        PPC | PPC64 => symbol == ".TOC." || REGISTER_SAVERS.iter().any(|prefix| symbol.starts_with(prefix)),
        _ => false,
    }
}
