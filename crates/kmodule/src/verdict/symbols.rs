//! Checks the symbols that a module needs: whether they are exported, with which CRC, and for which modules
//! (resolve_symbol in kernel/module/main.c).

use super::kernel::KernelView;
use super::license::is_gpl_compatible;
use super::lookup::ExportedSymbol;
use super::outcome::Verdict;
use super::reason::Reason;
use crate::elf::Module;
use crate::name::ModuleName;
use crate::symvers::Entry;
use std::collections::HashMap;

/// Every module contains the CRC of this symbol, which depends on the layout of the kernel's central
/// structures.
const LAYOUT: &str = "module_layout";

/// Compares the CRC of [`LAYOUT`], which the kernel does first (check_modstruct_version).
pub(super) fn check_layout(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    if !kernel.modversions {
        return;
    }
    if !module.has_versions {
        let list = if kernel.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        return list.push(Reason::NoVersions);
    }
    let Some(export) = kernel.symbols.and_then(|symbols| symbols.find(LAYOUT)) else { return };
    let listed = module.versions.iter().find(|(name, _)| name == LAYOUT);
    check_crc(export.entry, listed.map(|(_, crc)| *crc), kernel, verdict);
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

/// Whether the module's licence or name taints it.
fn taints_itself(module: &Module) -> bool {
    !is_gpl_compatible(module.modinfo.license().unwrap_or_default())
        || module.modinfo.name().is_some_and(|name| DISTRUSTED.contains(&name))
}

/// Resolves the symbols that the module needs, in the order of its symbol table, as the kernel does: after
/// the first symbol of a proprietary module, GPL-only symbols are hidden; after the first GPL-only symbol,
/// symbols of proprietary modules are.
pub(super) fn check(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let taint = taints_itself(module).then_some(Taint::Own);
    verdict.proprietary = taint.is_some();
    let Some(symbols) = kernel.symbols else {
        if !module.undefined.is_empty() {
            verdict.doubts.push(Reason::NoSymvers);
        }
        return;
    };
    // If a name has several CRCs, the first one counts.
    let versions: HashMap<&str, u64> =
        module.versions.iter().rev().map(|(symbol, crc)| (symbol.as_str(), *crc)).collect();
    let first = verdict.refusals.len();
    let mut resolver = Resolver { module, kernel, taint, uses_gpl_only: false };
    for needed in &module.undefined {
        let symbol = needed.name.as_str();
        // 64-bit PowerPC (ABI 1) marks function entry points with a dot; the kernel ignores it.
        let bare = symbol.strip_prefix('.').unwrap_or(symbol);
        let export = symbols.find(symbol).or_else(|| symbols.find(bare));
        let export = match resolver.resolve(symbol, export, &mut verdict.notes) {
            Ok(export) => export,
            Err(reason) => {
                if !needed.weak && !made_by_loader(module.machine, symbol) {
                    verdict.refusals.push(reason);
                }
                continue;
            }
        };
        if kernel.modversions && module.has_versions && !export.without_crc {
            let crc = versions.get(bare).or_else(|| versions.get(symbol)).copied();
            check_crc(export.entry, crc, kernel, verdict);
        }
        check_namespace(module, export.entry, kernel, verdict);
    }
    verdict.proprietary = resolver.taint.is_some();
    // The kernel reports every symbol and returns the error of the last one.
    if let Some(last) = verdict.refusals.get(first..).and_then(<[Reason]>::last).map(Reason::errno) {
        if let Some(of_symbols) = verdict.refusals.get_mut(first..) {
            of_symbols.sort_by_key(|reason| reason.errno() != last);
        }
    }
}

/// Resolves the symbols of a module one after the other. The taint depends on the symbols before.
struct Resolver<'m> {
    module: &'m Module,
    kernel: &'m KernelView<'m>,
    taint: Option<Taint>,
    uses_gpl_only: bool,
}

impl Resolver<'_> {
    /// Checks that the module can use a symbol, and updates its taint (find_symbol, inherit_taint). `export`
    /// is the exported symbol; `None` if nothing exports it.
    fn resolve<'s>(
        &mut self,
        symbol: &str,
        export: Option<ExportedSymbol<'s>>,
        notes: &mut Vec<Reason>,
    ) -> Result<ExportedSymbol<'s>, Reason> {
        let symbol = symbol.to_owned();
        let Some(export) = export else { return Err(Reason::UnknownSymbol { symbol }) };
        let owner = || export.entry.module.to_owned();
        if export.missing {
            return Err(Reason::OwnerMissing { symbol, owner: owner() });
        }
        if export.entry.export_gpl {
            match &self.taint {
                Some(Taint::Own) => {
                    let license = self.module.modinfo.license().unwrap_or_default().to_owned();
                    return Err(Reason::GplOnly { symbol, license });
                }
                Some(Taint::Inherited(from)) => {
                    return Err(Reason::GplOnlyHidden { symbol, owner: from.clone() });
                }
                None => self.uses_gpl_only = true,
            }
        }
        if export.proprietary && self.kernel.inherits_taint {
            if self.uses_gpl_only {
                return Err(Reason::ProprietaryOwner { symbol, owner: owner() });
            }
            if self.taint.is_none() {
                self.taint = Some(Taint::Inherited(owner()));
                notes.push(Reason::InheritsTaint { symbol, owner: owner() });
            }
        }
        Ok(export)
    }
}

/// Compares a CRC in the module with that of the exported symbol.
fn check_crc(entry: Entry<'_>, module_crc: Option<u64>, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let symbol = entry.symbol.to_owned();
    match module_crc {
        Some(module_crc) if module_crc != u64::from(entry.crc) => {
            verdict.refusals.push(Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc: entry.crc })
        }
        Some(_) => {}
        None if kernel.missing_crcs => verdict.notes.push(Reason::NoSymbolVersion { symbol }),
        None => verdict.refusals.push(Reason::NoSymbolVersion { symbol }),
    }
}

fn check_namespace(module: &Module, entry: Entry<'_>, kernel: &KernelView<'_>, verdict: &mut Verdict) {
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

/// Whether the kernel's module loader provides or ignores this symbol in modules for this `e_machine`
/// (ignore_undef_symbol, arch/powerpc).
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
