//! Checks relocations without applying them: in the kernel's order (apply_relocations in
//! kernel/module/main.c), with the checks of x86-64 (apply_relocate_add in arch/x86/kernel/module.c), arm64
//! (`aarch64`) and riscv64 (`riscv`). On other machines, only the limits of the sections are checked.

use super::doubts::Doubts;
use super::format::{Image, text};
use super::kernel::KernelView;
use super::machine::X86_64;
use super::reason::Reason;
use crate::elf::reader::{Relocation, SHT_NOBITS, SHT_REL, SHT_RELA, Section, Symbol};
use crate::elf::{AARCH64, Class, RISCV};
use std::collections::BTreeMap;

pub(super) mod aarch64;
pub(super) mod riscv;

const SHN_UNDEF: u16 = 0;
const SHN_LORESERVE: u16 = 0xff00;
const SHN_ABS: u16 = 0xfff1;
const STB_WEAK: u8 = 2;

/// Relocation types of the x86-64 psABI that its kernels apply.
mod kind {
    pub(super) const NONE: u32 = 0;
    pub(super) const WORD64: u32 = 1;
    pub(super) const PC32: u32 = 2;
    pub(super) const PLT32: u32 = 4;
    pub(super) const WORD32: u32 = 10;
    pub(super) const SIGNED32: u32 = 11;
    pub(super) const PC64: u32 = 24;
}

/// The place that a relocation writes, and its target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub offset: u64,
    /// The section of its symbol; `None`: the symbol is defined elsewhere or not at all.
    pub leads_to: Option<usize>,
    /// Symbol and addend.
    pub goal: u64,
    /// The whole address is written.
    pub is_address: bool,
}

/// The places that relocations write in each section, in file order.
pub(super) type Places = BTreeMap<usize, Vec<Place>>;

#[derive(Debug, Default)]
pub(super) struct Relocated {
    /// The first relocation that the kernel refuses; it stops there.
    pub refusal: Option<Reason>,
    /// An earlier relocation can crash the kernel, so it may not reach the refusal.
    pub can_crash: bool,
    pub doubts: Vec<Reason>,
    pub places: Places,
}

/// The value that an earlier relocation wrote to a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    Untouched,
    /// The first byte of a value that is certainly not zero.
    Filled,
    /// Some other value.
    Written,
}

/// Checks all relocations of a module.
pub(super) fn check(image: &Image<'_>, kernel: &KernelView<'_>) -> Relocated {
    let mut run = Run {
        image,
        kernel,
        can_crash: false,
        doubts: Doubts::default(),
        places: Places::new(),
        written: BTreeMap::new(),
    };
    // In a forged table, every section can cover the whole file.
    let total: u64 = image.sections.iter().map(|section| file_size(section)).fold(0, u64::saturating_add);
    let refusal = if total > image.length.saturating_mul(2) {
        run.doubts.add(|| "sections overlap".to_owned());
        None
    } else {
        (1..image.sections.len()).find_map(|index| run.check_table(index))
    };
    let can_crash = run.can_crash;
    Relocated {
        refusal: refusal.filter(|_| !can_crash),
        can_crash,
        doubts: run.doubts.into_reasons(),
        places: run.places,
    }
}

/// The same bits as a signed number.
fn signed(value: u64) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

/// The place in section `target` that a relocation writes to, for messages.
fn describe_place(image: &Image<'_>, target: usize, relocation: &Relocation) -> String {
    format!("byte {:#x} of {}", relocation.offset, image.section_name(target))
}

/// Symbol plus addend.
fn goal(symbol: &Symbol, relocation: &Relocation) -> i128 {
    i128::from(signed(symbol.value)) + i128::from(signed(relocation.addend.unwrap_or_default()))
}

fn file_size(section: &Section<'_>) -> u64 {
    if section.kind == SHT_NOBITS { 0 } else { section.size }
}

struct Run<'r, 'a> {
    image: &'r Image<'a>,
    kernel: &'r KernelView<'r>,
    can_crash: bool,
    doubts: Doubts,
    places: Places,
    written: BTreeMap<usize, Vec<Byte>>,
}

impl Run<'_, '_> {
    /// Checks a section, if it is a table of relocations for a section in memory.
    fn check_table(&mut self, index: usize) -> Option<Reason> {
        const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;
        let image = self.image;
        let table = image.sections.get(index)?;
        let target = usize::try_from(table.info).ok().filter(|target| *target < image.sections.len())?;
        if !image.is_in_memory(target) {
            return None;
        }
        if table.flags & SHF_RELA_LIVEPATCH != 0 {
            self.doubts.add(|| format!("{} is for live patching, which is not checked", text(table.name)));
            return None;
        }
        let machine = image.reader.machine;
        if table.kind == SHT_REL && matches!(machine, X86_64 | AARCH64 | RISCV) && table.size > 0 {
            return Some(Reason::RelocationTable);
        }
        if !matches!(table.kind, SHT_REL | SHT_RELA) {
            return None;
        }
        let relocations = image.reader.relocations(table).ok()?;
        if machine == AARCH64 {
            let ordered = self.in_order(target, relocations.collect());
            return ordered.iter().find_map(|relocation| self.check_aarch64(target, relocation));
        }
        if machine == RISCV && image.reader.class == Class::Elf64 {
            return self.check_riscv(target, &relocations.collect::<Vec<_>>());
        }
        if machine != X86_64 {
            for relocation in relocations {
                self.check_limits(target, &relocation);
            }
            return None;
        }
        relocations.into_iter().find_map(|relocation| self.check(target, &relocation))
    }

    /// Checks a relocation of other machines.
    fn check_limits(&mut self, target: usize, relocation: &Relocation) {
        let Some(section) = self.image.sections.get(target) else { return };
        if relocation.offset > section.size {
            self.doubt_outside(target, relocation);
        }
    }

    fn doubt_outside(&mut self, target: usize, relocation: &Relocation) {
        self.can_crash = true;
        let name = || self.image.section_name(target);
        self.doubts.add(|| {
            format!("a relocation writes at {:#x} of {}, which is shorter", relocation.offset, name())
        });
    }

    fn symbol(&self, relocation: &Relocation) -> Option<Symbol> {
        self.image.reader.symbol_in(self.image.bytes(self.image.symbols), relocation.symbol)
    }

    /// The symbol of a relocation. The kernel reads it before it checks the type.
    fn existing_symbol(&mut self, relocation: &Relocation) -> Option<Symbol> {
        let symbol = self.symbol(relocation);
        if symbol.is_none() {
            self.can_crash = true;
            self.doubts
                .add(|| format!("a relocation uses symbol {}, which does not exist", relocation.symbol));
        }
        symbol
    }

    /// Records the place that a relocation writes to. Returns whether it is inside its section.
    fn add_place(
        &mut self,
        target: usize,
        relocation: &Relocation,
        symbol: &Symbol,
        size: u64,
        is_address: bool,
    ) -> bool {
        let goal = symbol.value.wrapping_add(relocation.addend.unwrap_or_default());
        let place =
            Place { offset: relocation.offset, leads_to: self.symbol_section(symbol), goal, is_address };
        self.places.entry(target).or_default().push(place);
        let Some(section) = self.image.sections.get(target) else { return false };
        let is_inside = relocation.offset.checked_add(size).is_some_and(|end| end <= section.size);
        if !is_inside {
            self.doubt_outside(target, relocation);
        }
        is_inside
    }

    /// The index of the section that contains a symbol; `None` if it is defined elsewhere or not at all.
    fn symbol_section(&self, symbol: &Symbol) -> Option<usize> {
        let index = usize::from(symbol.section);
        let inside = symbol.section != SHN_UNDEF && symbol.section < SHN_LORESERVE;
        (inside && index < self.image.sections.len()).then_some(index)
    }

    fn check(&mut self, target: usize, relocation: &Relocation) -> Option<Reason> {
        let symbol = self.existing_symbol(relocation)?;
        let size: u8 = match relocation.kind {
            kind::NONE => return None,
            kind::WORD64 | kind::PC64 => 8,
            kind::PC32 | kind::PLT32 | kind::WORD32 | kind::SIGNED32 => 4,
            other => return Some(Reason::Relocation { kind: other, machine: X86_64 }),
        };
        let leads_to = self.symbol_section(&symbol);
        if !self.add_place(target, relocation, &symbol, size.into(), relocation.kind == kind::WORD64) {
            return None;
        }
        let kind = relocation.kind;
        if self.is_taken(target, relocation, &symbol, size.into()) {
            let place = describe_place(self.image, target, relocation);
            return Some(Reason::RelocationTarget { kind, place });
        }
        self.check_target(&symbol, relocation, leads_to, target);
        self.overflows(&symbol, relocation, leads_to).then(|| Reason::RelocationOverflow {
            kind,
            place: describe_place(self.image, target, relocation),
        })
    }

    /// Whether the place already has a value; marks it as written.
    fn is_taken(&mut self, target: usize, relocation: &Relocation, symbol: &Symbol, size: usize) -> bool {
        let image = self.image;
        let bits = image.sections.get(target).filter(|section| section.kind != SHT_NOBITS);
        let Some(start) = usize::try_from(relocation.offset).ok().filter(|_| bits.is_some()) else {
            self.doubts.add(|| "a relocation writes into a section without contents".to_owned());
            return false;
        };
        let bytes = image.bytes(target);
        if bytes.get(start..start + size).is_some_and(|old| old.iter().any(|byte| *byte != 0)) {
            return true;
        }
        let written = self.written.entry(target).or_insert_with(|| vec![Byte::Untouched; bytes.len()]);
        let Some(marks) = written.get_mut(start..start + size) else { return false };
        if marks.first() == Some(&Byte::Filled) {
            return true;
        }
        let overlaps = marks.iter().any(|mark| *mark != Byte::Untouched);
        marks.fill(Byte::Written);
        let strong = symbol.bind != STB_WEAK && symbol.section != SHN_ABS;
        let absolute = matches!(relocation.kind, kind::WORD64 | kind::SIGNED32);
        if strong && (absolute || symbol.section == SHN_UNDEF) {
            if let Some(first) = marks.first_mut() {
                *first = Byte::Filled;
            }
        }
        if overlaps {
            self.doubts.add(|| format!("two relocations write at {:#x}", relocation.offset));
        }
        false
    }

    /// Adds doubts about a symbol that is not in memory, or an addend that points out of its section.
    fn check_target(
        &mut self,
        symbol: &Symbol,
        relocation: &Relocation,
        leads_to: Option<usize>,
        target: usize,
    ) {
        /// Compilers use addresses before and after an array, and instructions count from their own end.
        const SLACK: i64 = 0x10_0000;
        /// An instruction cannot reach further than this past a symbol of another module.
        const FAR: i64 = 0x1_0000_0000;
        let addend = signed(relocation.addend.unwrap_or_default());
        let Some(index) = leads_to else {
            if addend.unsigned_abs() > FAR.unsigned_abs() {
                self.doubts.add(|| format!("a relocation points {addend} bytes past its symbol"));
            }
            return;
        };
        let Some(section) = self.image.sections.get(index) else { return };
        if !self.image.is_in_memory(index) && self.image.percpu != Some(index) {
            self.doubts.add(|| format!("a relocation points to {}, which is not loaded", text(section.name)));
        }
        let size = i64::try_from(section.size).unwrap_or(i64::MAX);
        let value = signed(symbol.value);
        if value < 0 || value > size {
            self.doubts.add(|| {
                format!("symbol {} is outside its section {}", relocation.symbol, text(section.name))
            });
        }
        let goal = value.wrapping_add(addend);
        if goal < -SLACK || goal > size.saturating_add(SLACK) {
            let place = || format!("{:#x} of {}", relocation.offset, self.image.section_name(target));
            self.doubts.add(|| format!("a relocation at {} points out of {}", place(), text(section.name)));
        }
    }

    /// Whether the value certainly does not fit. Modules are in the upper two gigabytes.
    fn overflows(&mut self, symbol: &Symbol, relocation: &Relocation, leads_to: Option<usize>) -> bool {
        const LOWEST: i128 = -0x8000_0000;
        const HIGHEST: i128 = -0x100_0000;
        let with_sign = match relocation.kind {
            kind::WORD32 => false,
            kind::SIGNED32 => true,
            _ => return false,
        };
        let fits = |value: i128| {
            // The kernel computes in 64 bits.
            let value = (value & i128::from(u64::MAX)) as u64;
            if with_sign { i32::try_from(signed(value)).is_ok() } else { u32::try_from(value).is_ok() }
        };
        let distance = goal(symbol, relocation);
        let bases = match leads_to {
            Some(index) if self.image.is_in_memory(index) => (LOWEST, HIGHEST),
            // Per-processor addresses are distances.
            Some(_) => return false,
            None if symbol.section == SHN_ABS => (0, 0),
            None if symbol.bind == STB_WEAK => return false,
            None => (LOWEST, HIGHEST),
        };
        let (low, high) = (fits(bases.0 + distance), fits(bases.1 + distance));
        if low && high {
            return false;
        }
        // Symbols of the kernel can be per-processor distances as well.
        if low || high || symbol.section == SHN_UNDEF {
            self.doubts.add(|| {
                format!("whether relocation type {} overflows depends on addresses", relocation.kind)
            });
            return false;
        }
        true
    }
}
