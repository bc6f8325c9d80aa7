//! The relocations of riscv64 (RISC-V ELF psABI), with the checks of apply_relocate_add and
//! module_frob_arch_sections in arch/riscv/kernel. The kernel does not check the place that it writes to, and
//! most of its handlers accept every value.

use super::super::format::Image;
use super::super::kernel::KernelView;
use super::super::reason::Reason;
use super::super::release::since;
use super::{Run, SHN_ABS, SHN_UNDEF, STB_WEAK, describe_place, goal};
use crate::elf::RISCV;
use crate::elf::reader::{Relocation, Symbol, string_at};
use std::collections::BTreeSet;

const WORD32: u32 = 1;
const WORD64: u32 = 2;
const GOT_HI20: u32 = 20;
const PCREL_HI20: u32 = 23;
const PCREL_LO12: [u32; 2] = [24, 25];

/// The kernel's reaction to a kind of relocation.
#[derive(Debug, PartialEq, Eq)]
enum Handler {
    /// It writes this number of bytes.
    Writes(u64),
    /// It refuses the module, with these words in its log.
    Refuses(&'static str),
    /// It does not support the kind.
    Unknown,
}

/// The handlers of Linux since 6.8.
fn handler(kind: u32) -> Handler {
    Handler::Writes(match kind {
        // RELAX
        51 => 0,
        // ADD8, SUB8, SUB6, SET6, SET8, and the first byte of numbers of variable length.
        33 | 37 | 52..=54 | 60 | 61 => 1,
        // ADD16, SUB16, compressed branches, SET16.
        34 | 38 | 44 | 45 | 55 => 2,
        // Values and distances; BRANCH and JAL; halves of addresses; ADD32, SUB32, SET32, PLT32.
        WORD32 | 16 | 17 | GOT_HI20 | PCREL_HI20..=28 | 35 | 39 | 56 | 57 | 59 => 4,
        // Calls are two instructions; ADD64 and SUB64.
        WORD64 | 18 | 19 | 36 | 40 => 8,
        3..=11 | 58 => return Handler::Refuses("Dynamic linking not supported in kernel modules"),
        21 | 22 | 29..=32 => return Handler::Refuses("Thread local storage not supported in kernel modules"),
        43 => return Handler::Refuses("The unexpected relocation type 'R_RISCV_ALIGN'"),
        _ => return Handler::Unknown,
    })
}

/// Whether kernels before 6.8 treat the kind in the same way.
fn is_old(kind: u32) -> bool {
    matches!(kind, WORD32 | WORD64 | 16..=20 | PCREL_HI20..=28 | 34..=36 | 38..=40 | 43..=45 | 51)
}

/// Checks for the sections that every module needs if the kernel extends them.
pub(in super::super) fn lacks_tables(image: &Image<'_>, kernel: &KernelView<'_>) -> Option<Reason> {
    if image.reader.machine != RISCV || kernel.module_sections != Some(true) {
        return None;
    }
    let tables = [(".plt", "PLT"), (".got", "GOT"), (".got.plt", "GOT.PLT")];
    let (missing, word) = tables.into_iter().find(|(name, _)| !image.has_section(name))?;
    Some(Reason::InvalidElf {
        log: format!("module {word} section(s) missing"),
        what: format!("it has no section {missing}"),
    })
}

impl Run<'_, '_> {
    /// The first relocation of a section that the kernel refuses.
    pub(super) fn check_riscv(&mut self, target: usize, relocations: &[Relocation]) -> Option<Reason> {
        let is_high = |relocation: &&Relocation| matches!(relocation.kind, PCREL_HI20 | GOT_HI20);
        let high: BTreeSet<u64> =
            relocations.iter().filter(is_high).map(|relocation| relocation.offset).collect();
        relocations.iter().find_map(|relocation| self.check_one_riscv(target, relocation, &high))
    }

    /// `high`: the places of the upper halves of addresses in this section.
    fn check_one_riscv(
        &mut self,
        target: usize,
        relocation: &Relocation,
        high: &BTreeSet<u64>,
    ) -> Option<Reason> {
        let kind = relocation.kind;
        let symbol = self.existing_symbol(relocation)?;
        let image = self.image;
        let refused = |log| {
            Some(Reason::RelocationRefused { kind, place: describe_place(image, target, relocation), log })
        };
        if !is_old(kind) && !since(self.kernel.release, 6, 8) {
            self.doubts.add(|| format!("whether this kernel applies relocation type {kind} is not known"));
            return None;
        }
        let size = match handler(kind) {
            Handler::Writes(0) => return None,
            Handler::Writes(size) => size,
            Handler::Refuses(log) => return refused(log),
            Handler::Unknown => return refused("Unknown relocation type"),
        };
        if kind == GOT_HI20 && self.kernel.module_sections == Some(false) {
            return refused("can not generate the GOT entry");
        }
        if kind == PCREL_HI20 && self.is_weak_and_missing(&symbol) {
            return refused("can not be addressed by the 32-bit offset");
        }
        let leads_to = self.symbol_section(&symbol);
        // The symbol of a lower half is the place of the upper half.
        let has_upper_half = leads_to == Some(target) && high.contains(&symbol.value);
        if PCREL_LO12.contains(&kind) && !has_upper_half {
            return refused("Can not find HI20 relocation information");
        }
        if !self.add_place(target, relocation, &symbol, size, kind == WORD64) {
            return None;
        }
        self.check_target(&symbol, relocation, leads_to, target);
        if kind == WORD32 && self.is_out_of_range(&symbol, relocation, leads_to) {
            return refused("out of range for 32-bit field");
        }
        None
    }

    /// Whether the symbol is weak and nothing exports it, so that its address is zero. Without tables for
    /// distant symbols, there is no address randomization either, and all modules are more than 2 GiB below
    /// zero.
    fn is_weak_and_missing(&self, symbol: &Symbol) -> bool {
        let name = string_at(self.image.names_to_end(), symbol.name);
        self.kernel.module_sections == Some(false)
            && symbol.section == SHN_UNDEF
            && symbol.bind == STB_WEAK
            && self
                .kernel
                .symbols
                .is_some_and(|symbols| symbols.find(&String::from_utf8_lossy(name)).is_none())
    }

    /// Whether the value is certainly not an unsigned number of 32 bits. Modules, like the kernel, are in the
    /// upper half of the addresses.
    fn is_out_of_range(&self, symbol: &Symbol, relocation: &Relocation, leads_to: Option<usize>) -> bool {
        let value = goal(symbol, relocation);
        if symbol.section == SHN_ABS {
            return !(0..1 << 32).contains(&value);
        }
        leads_to.is_some_and(|index| self.image.is_in_memory(index)) && value.unsigned_abs() < 1 << 40
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_relocations() {
        for (kind, size) in [(1, 4), (2, 8), (18, 8), (19, 8), (23, 4), (24, 4), (35, 4), (44, 2), (51, 0)] {
            assert_eq!(handler(kind), Handler::Writes(size), "{kind}");
            assert!(is_old(kind), "{kind}");
        }
        for kind in [0, 12, 15, 41, 46, 50, 62, 191, 200] {
            assert_eq!(handler(kind), Handler::Unknown, "{kind}");
        }
        for kind in [3, 11, 21, 22, 29, 32, 43, 58] {
            assert!(matches!(handler(kind), Handler::Refuses(_)), "{kind}");
        }
        for kind in [33, 37, 52, 57, 59, 60, 61] {
            assert!(matches!(handler(kind), Handler::Writes(_)) && !is_old(kind), "{kind}");
        }
    }
}
