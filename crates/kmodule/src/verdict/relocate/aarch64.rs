//! The relocations of AArch64 (ELF for the Arm 64-bit Architecture, AAELF64), with the checks of
//! apply_relocate_add and module_frob_arch_sections in arch/arm64/kernel. The kernel does not check the place
//! that it writes to, and replaces its contents.

use super::super::format::Image;
use super::super::kernel::KernelView;
use super::super::reason::Reason;
use super::{Run, SHN_ABS, describe_place, goal};
use crate::elf::AARCH64;
use crate::elf::reader::{Relocation, SHF_EXECINSTR, Symbol};

const ABS64: u32 = 257;

/// The number of bytes that the kernel writes for a kind of relocation: 4 for instructions. `None`: it does
/// not apply this kind.
fn size(kind: u32) -> Option<u64> {
    Some(match kind {
        // Nothing.
        0 | 256 => 0,
        ABS64 | 260 => 8,
        258 | 261 => 4,
        259 | 262 => 2,
        // Moves of an absolute or relative value (263 to 272, 287 to 293), loads, addresses, branches.
        263..=280 | 282..=293 | 299 => 4,
        _ => return None,
    })
}

/// The lowest and the highest accepted value, for the kinds whose value is an address or a distance within a
/// section.
fn range(kind: u32) -> Option<(i128, i128)> {
    let bits = |count: u32| 1_i128 << count;
    Some(match kind {
        258 => (-bits(31), bits(32) - 1),
        259 => (-bits(15), bits(16) - 1),
        261 => (-bits(31), bits(31) - 1),
        262 => (-bits(15), bits(15) - 1),
        263 => (0, bits(16) - 1),
        265 => (0, bits(32) - 1),
        273 | 274 | 280 => (-bits(20), bits(20) - 1),
        279 => (-bits(15), bits(15) - 1),
        // Longer branches go through a table that the kernel creates.
        _ => return None,
    })
}

/// Whether the value is a distance from the place, and not an address.
fn is_relative(kind: u32) -> bool {
    matches!(kind, 260..=262 | 273..=276 | 279..=283 | 287..=293)
}

/// Checks for the sections that every module needs if the kernel extends them.
pub(in super::super) fn lacks_tables(image: &Image<'_>, kernel: &KernelView<'_>) -> Option<Reason> {
    if image.reader.machine != AARCH64 || !kernel.module_plts {
        return None;
    }
    let missing = [".plt", ".init.plt"].into_iter().find(|name| !image.has_section(name))?;
    Some(Reason::InvalidElf {
        log: "module PLT section(s) missing".to_owned(),
        what: format!("it has no section {missing}"),
    })
}

/// Moves the matching elements to the front, in the same order as the kernel (partition_branch_plt_relas).
fn partition<T>(items: &mut [T], matches: impl Fn(&T) -> bool) {
    let (mut first, mut last) = (0, items.len().saturating_sub(1));
    while first < last {
        if items.get(first).is_some_and(&matches) {
            first += 1;
        } else if items.get(last).is_some_and(&matches) {
            items.swap(first, last);
        } else {
            last -= 1;
        }
    }
}

impl Run<'_, '_> {
    /// The relocations of a section in the order in which the kernel applies them: in code, branches that
    /// leave the section come first.
    pub(super) fn in_order(&self, target: usize, mut relocations: Vec<Relocation>) -> Vec<Relocation> {
        let is_code =
            self.image.sections.get(target).is_some_and(|section| section.flags & SHF_EXECINSTR != 0);
        if is_code {
            partition(&mut relocations, |relocation| {
                let leaves =
                    self.symbol(relocation).is_some_and(|symbol| usize::from(symbol.section) != target);
                leaves && matches!(relocation.kind, 282 | 283)
            });
        }
        relocations
    }

    pub(super) fn check_aarch64(&mut self, target: usize, relocation: &Relocation) -> Option<Reason> {
        let symbol = self.existing_symbol(relocation)?;
        let Some(size) = size(relocation.kind) else {
            return Some(Reason::Relocation { kind: relocation.kind, machine: AARCH64 });
        };
        if size == 0 {
            return None;
        }
        let leads_to = self.symbol_section(&symbol);
        if !self.add_place(target, relocation, &symbol, size, relocation.kind == ABS64) {
            return None;
        }
        self.check_target(&symbol, relocation, leads_to, target);
        let place = || describe_place(self.image, target, relocation);
        self.overflows_aarch64(target, relocation, &symbol, leads_to)
            .then(|| Reason::RelocationOverflow { kind: relocation.kind, place: place() })
    }

    /// Whether the value certainly does not fit. Modules, like the kernel, are in the upper half of the
    /// addresses.
    fn overflows_aarch64(
        &self,
        target: usize,
        relocation: &Relocation,
        symbol: &Symbol,
        leads_to: Option<usize>,
    ) -> bool {
        let Some((lowest, highest)) = range(relocation.kind) else { return false };
        let fits = |value: i128| (lowest..=highest).contains(&value);
        let value = goal(symbol, relocation);
        if is_relative(relocation.kind) {
            // Between sections, the distance depends on how the kernel lays them out.
            return leads_to == Some(target) && !fits(value - i128::from(relocation.offset));
        }
        if symbol.section == SHN_ABS {
            return !fits(value);
        }
        // The first address of modules with 48 bits, and the last one.
        let (first, last) = (-(1_i128 << 48), -1_i128);
        let is_small = value.unsigned_abs() < 1 << 40;
        // Other symbols, of the kernel, of other modules, or per processor, can be absolute values or
        // distances.
        let is_address = leads_to.is_some_and(|index| self.image.is_in_memory(index));
        is_address && is_small && !fits(first + value) && !fits(last - (1 << 40) + value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_come_first_in_the_order_of_the_kernel() {
        let mut items = [311, 312, 283, 275, 282];
        partition(&mut items, |kind| matches!(kind, 282 | 283));
        assert_eq!(items, [282, 283, 312, 275, 311]);
        partition(&mut [0; 0], |_| true);
        partition(&mut [1], |_| false);
    }

    #[test]
    fn kinds_of_relocations() {
        for kind in [0, 256] {
            assert_eq!(size(kind), Some(0));
        }
        assert_eq!([257, 258, 259, 260, 261, 262].map(size), [8, 4, 2, 8, 4, 2].map(Some));
        for kind in [263, 272, 275, 278, 280, 282, 283, 286, 287, 293, 299] {
            assert_eq!(size(kind), Some(4), "{kind}");
        }
        // The kernel does not know them: GOT, thread-local storage, dynamic linking.
        for kind in [1, 200, 255, 281, 294, 298, 300, 309, 311, 312, 512, 1024, 1025] {
            assert_eq!(size(kind), None, "{kind}");
        }
    }
}
