//! The symbols that a module needs: what exports them, with which CRC, for which modules (resolve_symbol in
//! kernel/module/main.c).

use super::kernel::KernelView;
use super::license::is_gpl_compatible;
use super::lookup::Found;
use super::outcome::Verdict;
use super::reason::Reason;
use crate::elf::Module;
use crate::name::ModuleName;
use crate::symvers::Entry;
use std::collections::HashMap;

/// Every module is built with the CRC of this symbol: it stands for the layout of the kernel's central
/// structures.
const LAYOUT: &str = "module_layout";

/// The first comparison: the CRC of [`LAYOUT`] (check_modstruct_version).
pub(super) fn layout(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    if !kernel.modversions {
        return;
    }
    if !module.has_versions {
        let list = if kernel.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        return list.push(Reason::NoVersions);
    }
    let Some(found) = kernel.symbols.and_then(|symbols| symbols.find(LAYOUT)) else { return };
    let listed = module.versions.iter().find(|(name, _)| name == LAYOUT);
    crc(found.entry, listed.map(|(_, crc)| *crc), kernel, verdict);
}

/// The origin of the taint "proprietary module" of a module.
enum Taint {
    /// From its own licence, or its name.
    Own,
    /// From the module that exports a symbol it uses.
    Inherited(String),
}

/// Modules that the kernel treats as proprietary regardless of their licence (load_module in
/// kernel/module/main.c).
const DISTRUSTED: [&str; 2] = ["driverloader", "lve"];

/// The module's licence or name taints it.
fn taints_itself(module: &Module) -> bool {
    !is_gpl_compatible(module.modinfo.license().unwrap_or_default())
        || module.modinfo.name().is_some_and(|name| DISTRUSTED.contains(&name))
}

/// Resolves the symbols that the module needs, in the order of its symbol table, as the kernel does: after
/// the first symbol of a proprietary module, GPL-only symbols are hidden; after the first GPL-only symbol,
/// symbols of proprietary modules are.
pub(super) fn check(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let mut taint = taints_itself(module).then_some(Taint::Own);
    verdict.proprietary = taint.is_some();
    let Some(symbols) = kernel.symbols else {
        if !module.undefined.is_empty() {
            verdict.doubts.push(Reason::NoSymvers);
        }
        return;
    };
    // Of several CRCs of a name the first counts.
    let versions: HashMap<&str, u64> =
        module.versions.iter().rev().map(|(symbol, crc)| (symbol.as_str(), *crc)).collect();
    let first = verdict.refusals.len();
    let mut uses_gpl_only = false;
    for needed in &module.undefined {
        let symbol = needed.name.as_str();
        // 64-bit PowerPC (ABI 1) marks function entry points with a dot; the kernel ignores it.
        let bare = symbol.strip_prefix('.').unwrap_or(symbol);
        let found = symbols.find(symbol).or_else(|| symbols.find(bare));
        let resolved = resolve(module, symbol, found, &mut taint, &mut uses_gpl_only, kernel, verdict);
        let found = match resolved {
            Ok(found) => found,
            Err(reason) => {
                if !needed.weak && !made_by_loader(module.machine, symbol) {
                    verdict.refusals.push(reason);
                }
                continue;
            }
        };
        if kernel.modversions && module.has_versions && !found.without_crc {
            crc(found.entry, versions.get(bare).or_else(|| versions.get(symbol)).copied(), kernel, verdict);
        }
        namespace(module, found.entry, kernel, verdict);
    }
    verdict.proprietary = taint.is_some();
    // The kernel reports every symbol and returns the error of the last one.
    if let Some(last) = verdict.refusals.get(first..).and_then(<[Reason]>::last).map(Reason::errno) {
        if let Some(of_symbols) = verdict.refusals.get_mut(first..) {
            of_symbols.sort_by_key(|reason| reason.errno() != last);
        }
    }
}

/// Whether a module can use a symbol, and how that changes its taint (find_symbol, inherit_taint).
fn resolve<'s>(
    module: &Module,
    symbol: &str,
    found: Option<Found<'s>>,
    taint: &mut Option<Taint>,
    uses_gpl_only: &mut bool,
    kernel: &KernelView<'_>,
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
    if found.proprietary && kernel.inherits_taint {
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

fn crc(entry: Entry<'_>, wanted: Option<u64>, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let symbol = entry.symbol.to_owned();
    match wanted {
        Some(module_crc) if module_crc != u64::from(entry.crc) => {
            verdict.refusals.push(Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc: entry.crc })
        }
        Some(_) => {}
        None if kernel.missing_crcs => verdict.notes.push(Reason::NoSymbolVersion { symbol }),
        None => verdict.refusals.push(Reason::NoSymbolVersion { symbol }),
    }
}

fn namespace(module: &Module, entry: Entry<'_>, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(namespace) = entry.namespace else { return };
    let allowed = match namespace.strip_prefix("module:") {
        // Linux 6.16: only for the listed modules; a `*` at the end matches any text.
        Some(list) => module.modinfo.name().is_none_or(|name| matches_list(list, &ModuleName::new(name))),
        None => module.modinfo.all("import_ns").any(|import| import == namespace),
    };
    if !allowed {
        let reason = Reason::Namespace { symbol: entry.symbol.to_owned(), namespace: namespace.to_owned() };
        if kernel.allow_missing_namespaces {
            verdict.notes.push(reason)
        } else {
            verdict.refusals.push(reason)
        }
    }
}

fn matches_list(list: &str, name: &ModuleName) -> bool {
    list.split(',').any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.as_str().starts_with(ModuleName::new(start).as_str()),
        None => ModuleName::new(pattern) == *name,
    })
}

/// Symbols that the kernel's module loader provides itself or ignores (ignore_undef_symbol, arch/powerpc),
/// for an `e_machine`.
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
