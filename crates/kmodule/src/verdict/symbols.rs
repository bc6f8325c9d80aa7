//! The symbols a module needs: offered by whom, with which CRC, to whom (resolve_symbol in kernel/module/main.c).

use super::kernel::KernelView;
use super::license::is_gpl_compatible;
use super::lookup::Found;
use super::outcome::Verdict;
use super::reason::Reason;
use crate::elf::Module;
use crate::symvers::Entry;
use std::collections::HashMap;

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

/// Where the taint "proprietary module" of a module comes from.
enum Taint {
    /// From its own licence, or its name.
    Own,
    /// From the module that exports a symbol it uses.
    Inherited(String),
}

/// Modules that the kernel takes for proprietary whatever their licence says (load_module in kernel/module/main.c).
const DISTRUSTED: [&str; 2] = ["driverloader", "lve"];

/// The module's licence or name taints it.
fn taints_itself(module: &Module) -> bool {
    !is_gpl_compatible(module.modinfo.license().unwrap_or_default())
        || module.modinfo.name().is_some_and(|name| DISTRUSTED.contains(&name))
}

/// Resolves what the module needs in the order of its symbol table, as the kernel does: from the first symbol of a
/// proprietary module on, GPL-only symbols are hidden; and from the first GPL-only symbol on, symbols of proprietary modules
/// are.
pub(super) fn check(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    let mut taint = taints_itself(module).then_some(Taint::Own);
    verdict.proprietary = taint.is_some();
    let Some(symbols) = k.symbols else {
        if !module.undefined.is_empty() {
            verdict.doubts.push(Reason::NoSymvers);
        }
        return;
    };
    // The first of a name counts.
    let versions: HashMap<&str, u64> =
        module.versions.iter().rev().map(|(symbol, crc)| (symbol.as_str(), *crc)).collect();
    let first = verdict.refusals.len();
    let mut uses_gpl_only = false;
    for needed in &module.undefined {
        let symbol = needed.name.as_str();
        // 64-bit PowerPC (ABI 1) marks function entry points with a dot; the kernel looks without.
        let bare = symbol.strip_prefix('.').unwrap_or(symbol);
        let found = symbols.find(symbol).or_else(|| symbols.find(bare));
        let resolved = resolve(module, symbol, found, &mut taint, &mut uses_gpl_only, k, verdict);
        let found = match resolved {
            Ok(found) => found,
            Err(reason) => {
                if !needed.weak && !made_by_loader(module.machine, symbol) {
                    verdict.refusals.push(reason);
                }
                continue;
            }
        };
        if k.modversions && module.has_versions && !found.without_crc {
            crc(found.entry, versions.get(bare).or_else(|| versions.get(symbol)).copied(), k, verdict);
        }
        namespace(module, found.entry, k, verdict);
    }
    verdict.proprietary = taint.is_some();
    // The kernel complains about every symbol and returns the error of the last one.
    if let Some(last) = verdict.refusals.get(first..).and_then(<[Reason]>::last).map(Reason::errno) {
        if let Some(of_symbols) = verdict.refusals.get_mut(first..) {
            of_symbols.sort_by_key(|reason| reason.errno() != last);
        }
    }
}

/// Whether a module sees a symbol, and what using it does to its taint (find_symbol, inherit_taint).
fn resolve<'s>(
    module: &Module,
    symbol: &str,
    found: Option<Found<'s>>,
    taint: &mut Option<Taint>,
    uses_gpl_only: &mut bool,
    k: &KernelView<'_>,
    verdict: &mut Verdict,
) -> Result<Found<'s>, Reason> {
    let name = symbol.to_owned();
    let Some(found) = found else { return Err(Reason::UnknownSymbol { symbol: name }) };
    let owner = || found.entry.module.to_owned();
    if found.missing {
        return Err(Reason::OwnerMissing { symbol: name, owner: owner() });
    }
    if found.entry.export_gpl {
        match taint {
            Some(Taint::Own) => {
                let license = module.modinfo.license().unwrap_or_default().to_owned();
                return Err(Reason::GplOnly { symbol: name, license });
            }
            Some(Taint::Inherited(from)) => {
                return Err(Reason::GplOnlyHidden { symbol: name, owner: from.clone() });
            }
            None => *uses_gpl_only = true,
        }
    }
    if found.proprietary && k.inherits_taint {
        if *uses_gpl_only {
            return Err(Reason::ProprietaryOwner { symbol: name, owner: owner() });
        }
        if taint.is_none() {
            verdict.notes.push(Reason::InheritsTaint { symbol: name, owner: owner() });
            *taint = Some(Taint::Inherited(owner()));
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests;
