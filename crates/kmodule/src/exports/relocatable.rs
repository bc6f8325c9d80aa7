//! The fields of modules: relocations fill them when the module is loaded. The target of a field is symbol
//! plus addend, stored as an address or as a distance.

use super::table::{ExportsError, Layout, TableReader, Target, find_names, name_at};
use crate::elf::ElfError;
use crate::elf::reader::{Reader, Relocation, Section, Symbol};

const SHN_UNDEF: u16 = 0;
const SHN_ABS: u16 = 0xfff1;

pub(super) struct Object<'r, 'a> {
    reader: &'r Reader<'a>,
    sections: &'r [Section<'a>],
    /// Index and bytes of the names.
    strings: (usize, &'a [u8]),
}

pub(super) struct Table<'a> {
    bytes: &'a [u8],
    /// Sorted by place.
    relocations: Vec<Relocation>,
    /// The index of the symbol table they use.
    symbols: usize,
}

impl<'r, 'a> Object<'r, 'a> {
    pub(super) fn new(
        reader: &'r Reader<'a>,
        sections: &'r [Section<'a>],
    ) -> Result<Object<'r, 'a>, ExportsError> {
        let strings = find_names(reader, sections)?.unwrap_or((usize::MAX, &[]));
        Ok(Object { reader, sections, strings })
    }

    /// The symbol and the addend that fill the field at `at`.
    fn relocation_at(&self, table: &Table<'a>, at: usize) -> Option<(Symbol, u64)> {
        let place = at as u64;
        let index = table.relocations.partition_point(|relocation| relocation.offset < place);
        let relocation = table.relocations.get(index).filter(|found| found.offset == place)?;
        let symbols = self.sections.get(table.symbols)?;
        let symbol = self.reader.symbol(symbols, relocation.symbol).ok()??;
        let addend = relocation.addend.unwrap_or_else(|| self.reader.sign_extended(table.bytes, at, 4));
        Some((symbol, addend))
    }

    /// The CRC that a relocation leads to. An absolute symbol is the CRC itself, any other symbol is its
    /// address, and an undefined symbol means that there is no CRC.
    fn relocated_crc(&self, symbol: &Symbol, addend: u64) -> Option<u32> {
        let value = symbol.value.wrapping_add(addend);
        match symbol.section {
            SHN_UNDEF => Some(0),
            SHN_ABS => u32::try_from(value & 0xffff_ffff).ok(),
            index => {
                let bytes = self.reader.contents(self.sections.get(usize::from(index))?).ok()?;
                let offset = usize::try_from(value).ok()?;
                u32::try_from(self.reader.number(bytes.get(offset..offset.checked_add(4)?)?)).ok()
            }
        }
    }
}

impl<'a> TableReader<'a> for Object<'_, 'a> {
    type Table = Table<'a>;

    fn table(&self, index: usize) -> Result<Table<'a>, ExportsError> {
        let bytes = self.sections.get(index).map(|section| self.reader.contents(section)).transpose()?;
        let mut table = Table { bytes: bytes.unwrap_or_default(), relocations: Vec::new(), symbols: 0 };
        for section in self.sections.iter().filter(|section| usize::try_from(section.info) == Ok(index)) {
            let mut relocations = self.reader.relocations(section)?.peekable();
            if relocations.peek().is_some() {
                table.symbols = usize::try_from(section.link)
                    .map_err(|_| ElfError::Malformed("relocations without symbols".to_owned()))?;
                let machine = self.reader.machine;
                let kept = relocations.filter(|relocation| !subtracts(machine, relocation.kind));
                table.relocations.extend(kept);
            }
        }
        table.relocations.sort_by_key(|relocation| relocation.offset);
        Ok(table)
    }

    fn field(&self, table: &Table<'a>, at: usize, layout: Layout) -> Target<'a> {
        let Some((symbol, addend)) = self.relocation_at(table, at) else {
            let value = self.reader.field(table.bytes, at, layout.field);
            return if value == 0 { Target::Nothing } else { Target::Other };
        };
        if usize::from(symbol.section) != self.strings.0 {
            return Target::Other;
        }
        name_at(self.strings.1, symbol.value.wrapping_add(addend)).map_or(Target::Other, Target::Text)
    }

    fn crcs(&self, table: &Table<'a>, count: usize, width: usize) -> Result<Vec<u32>, ExportsError> {
        let read_crc = |at: usize| match self.relocation_at(table, at) {
            Some((symbol, addend)) => self.relocated_crc(&symbol, addend),
            None => u32::try_from(self.reader.field(table.bytes, at, width) & 0xffff_ffff).ok(),
        };
        let reason = "a CRC lies outside the file";
        (0..count)
            .map(|index| read_crc(index * width))
            .collect::<Option<Vec<u32>>>()
            .ok_or_else(|| ExportsError::Damaged { section: "__kcrctab".to_owned(), reason })
    }
}

/// The second half of a difference, on machines that write `a - b` as two relocations (RISC-V and LoongArch
/// ELF psABI: R_RISCV_SUB32 and 64, R_LARCH_SUB32 and 64).
fn subtracts(machine: u16, kind: u32) -> bool {
    matches!((machine, kind), (243, 39 | 40) | (258, 55 | 56))
}
