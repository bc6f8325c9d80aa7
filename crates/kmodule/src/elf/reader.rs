//! Bounds-checked access to ELF headers, sections and symbols. Memory is only allocated for bytes that
//! exist in the file.

use super::error::{Class, ElfError};

pub(crate) const SHT_NULL: u32 = 0;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_REL: u32 = 9;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;

pub(crate) struct Reader<'a> {
    data: &'a [u8],
    pub class: Class,
    pub little_endian: bool,
    pub machine: u16,
    e_type: u16,
    pub section_table: u64,
    pub section_size: u16,
    pub section_count: u16,
    pub names_index: u16,
}

#[derive(Clone)]
pub(crate) struct Section<'a> {
    pub name: &'a [u8],
    /// The offset of its name in the table of section names.
    pub name_offset: u32,
    pub kind: u32,
    pub link: u32,
    /// In a table of relocations: the section that they change.
    pub info: u32,
    /// Its address in a linked image.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    pub flags: u64,
    /// The offset of its contents in the file.
    pub offset: u64,
    pub align: u64,
}

impl Section<'_> {
    /// It occupies memory at run time.
    pub(crate) fn is_allocated(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    /// It is in the file and, at run time, in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        self.flags & SHF_ALLOC != 0 && self.kind != SHT_NOBITS
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Symbol {
    pub name: usize,
    pub bind: u8,
    /// `STT_FUNC` and the like.
    pub kind: u8,
    pub section: u16,
    pub value: u64,
    pub size: u64,
}

pub(crate) struct Relocation {
    /// Offset in the section that it changes.
    pub offset: u64,
    /// Index into the symbol table.
    pub symbol: u64,
    pub kind: u32,
    /// `None`: the addend is at the place that is changed.
    pub addend: Option<u64>,
}

/// The string at an offset in a string table, cut off at [`LONGEST_NAME`]; empty if the offset is outside the
/// table.
pub(crate) fn string_at(strings: &[u8], offset: usize) -> &[u8] {
    let rest = strings.get(offset..).unwrap_or_default();
    until_nul(rest.get(..LONGEST_NAME).unwrap_or(rest))
}

/// Names are read up to this length. The kernel's symbols have less than 512 bytes (`KSYM_NAME_LEN`), so a
/// longer name does not match any. In a forged file, many entries could share one long string.
pub(crate) const LONGEST_NAME: usize = 1024;

/// The bytes before the first NUL, or all of them.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl<'a> Reader<'a> {
    /// For a relocatable file: a module or another object file.
    pub(crate) fn new(data: &'a [u8]) -> Result<Reader<'a>, ElfError> {
        const ET_REL: u16 = 1;
        let reader = Reader::any(data)?;
        let e_type = reader.e_type;
        if e_type == ET_REL { Ok(reader) } else { Err(ElfError::WrongType { e_type }) }
    }

    /// For an ELF file of any type.
    pub(crate) fn any(data: &'a [u8]) -> Result<Reader<'a>, ElfError> {
        if !data.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf { empty: data.is_empty() });
        }
        let ident: &[u8; 16] =
            data.get(4..).and_then(<[u8]>::first_chunk).ok_or_else(|| truncated(data, "ELF header", 20))?;
        // For x86-64 and arm64, kernels check only the machine and ignore class and byte order; for riscv,
        // they ignore the byte order.
        let (class, order) = match *ident {
            [.., 62 | 183, 0] => (2, 1),
            [class, .., 243, 0] => (class, 1),
            [class, order, ..] => (class, order),
        };
        let class = match class {
            1 => Class::Elf32,
            2 => Class::Elf64,
            value => return Err(ElfError::UnknownVariant { what: "the class", value }),
        };
        let little_endian = match order {
            1 => true,
            2 => false,
            value => return Err(ElfError::UnknownVariant { what: "the byte order", value }),
        };
        let mut reader = Reader {
            data,
            class,
            little_endian,
            machine: 0,
            e_type: 0,
            section_table: 0,
            section_size: 0,
            section_count: 0,
            names_index: 0,
        };
        reader.read_header()?;
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<(), ElfError> {
        let (header_size, shoff, shentsize) = match self.class {
            Class::Elf32 => (52, (32, 4), 46),
            Class::Elf64 => (64, (40, 8), 58),
        };
        let header = self.range("ELF header", 0, header_size)?;
        self.e_type = self.half(header, 16);
        self.machine = self.half(header, 18);
        self.section_table = self.field(header, shoff.0, shoff.1);
        self.section_size = self.half(header, shentsize);
        self.section_count = self.half(header, shentsize + 2);
        self.names_index = self.half(header, shentsize + 4);
        Ok(())
    }

    /// All sections with their names. In files with more than 65,279 sections, the first entry contains the
    /// number of sections and the index of the name table.
    pub(crate) fn sections(&self) -> Result<Vec<Section<'a>>, ElfError> {
        const SHN_XINDEX: u16 = 0xffff;
        let expected = match self.class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        };
        if self.section_table == 0 {
            return Err(ElfError::NoSections);
        }
        if self.section_size < expected {
            let size = self.section_size;
            return Err(ElfError::Malformed(format!("section headers of {size} bytes, {expected} expected")));
        }
        let size = u64::from(self.section_size);
        let first = self.raw_section(self.range("section table", self.section_table, size)?);
        let count = if self.section_count == 0 { first.size } else { u64::from(self.section_count) };
        let names_index = match self.names_index {
            SHN_XINDEX => u64::from(first.link),
            index => u64::from(index),
        };
        let bytes = count
            .checked_mul(size)
            .ok_or_else(|| ElfError::Malformed(format!("{count} sections cannot be in a file")))?;
        let table = self.range("section table", self.section_table, bytes)?;
        let mut sections = self.headers(table);
        let names = usize::try_from(names_index)
            .ok()
            .and_then(|index| sections.get(index))
            .ok_or_else(|| ElfError::Malformed("the table of section names is missing".to_owned()))?;
        let names = self.range("section .shstrtab", names.offset, names.size)?;
        for section in &mut sections {
            section.name = string_at(names, usize::try_from(section.name_offset).unwrap_or(usize::MAX));
        }
        // The kernel refuses a file if any section is outside it, even one that it does not need.
        for section in sections.iter().filter(|section| section.kind != SHT_NULL) {
            self.contents(section)?;
        }
        Ok(sections)
    }

    /// The section headers in the bytes of a section table, without their names.
    pub(crate) fn headers(&self, table: &[u8]) -> Vec<Section<'a>> {
        let size = usize::from(self.section_size).max(1);
        table.chunks_exact(size).map(|entry| self.raw_section(entry)).collect()
    }

    /// One section header, without its name.
    fn raw_section(&self, entry: &[u8]) -> Section<'a> {
        let word = |at| low_word(self.field(entry, at, 4));
        let wide = |at| self.field(entry, at, 8);
        match self.class {
            Class::Elf32 => Section {
                name: &[],
                name_offset: word(0),
                kind: word(4),
                flags: word(8).into(),
                address: word(12).into(),
                offset: word(16).into(),
                size: word(20).into(),
                link: word(24),
                info: word(28),
                align: word(32).into(),
            },
            Class::Elf64 => Section {
                name: &[],
                name_offset: word(0),
                kind: word(4),
                flags: wide(8),
                address: wide(16),
                offset: wide(24),
                size: wide(32),
                link: word(40),
                info: word(44),
                align: wide(48),
            },
        }
    }

    /// The bytes of a section; empty if it occupies no space in the file.
    pub(crate) fn contents(&self, section: &Section<'_>) -> Result<&'a [u8], ElfError> {
        if section.kind == SHT_NOBITS {
            return Ok(&[]);
        }
        let name = || format!("section {}", String::from_utf8_lossy(section.name));
        self.part(name, section.offset, section.size)
    }

    /// The entries in the bytes of a symbol table.
    pub(crate) fn symbols_in<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = Symbol> + use<'b, '_, 'a> {
        bytes.chunks_exact(self.symbol_size()).map(move |entry| self.raw_symbol(entry))
    }

    /// One entry of a symbol table; `None` past its end.
    pub(crate) fn symbol(&self, table: &Section<'_>, index: u64) -> Result<Option<Symbol>, ElfError> {
        Ok(self.symbol_in(self.contents(table)?, index))
    }

    /// One entry in the bytes of a symbol table; `None` past its end.
    pub(crate) fn symbol_in(&self, bytes: &[u8], index: u64) -> Option<Symbol> {
        let size = self.symbol_size();
        let start = usize::try_from(index).ok()?.checked_mul(size)?;
        bytes.get(start..start.checked_add(size)?).map(|entry| self.raw_symbol(entry))
    }

    /// The standard size. Kernels ignore the size of an entry in the section header.
    fn symbol_size(&self) -> usize {
        match self.class {
            Class::Elf32 => 16,
            Class::Elf64 => 24,
        }
    }

    fn raw_symbol(&self, entry: &[u8]) -> Symbol {
        let (info, section, value, size, word) = match self.class {
            Class::Elf32 => (12, 14, 4, 8, 4),
            Class::Elf64 => (4, 6, 8, 16, 8),
        };
        let info = entry.get(info).copied().unwrap_or_default();
        Symbol {
            name: usize::try_from(self.field(entry, 0, 4)).unwrap_or(usize::MAX),
            bind: info >> 4,
            kind: info & 0xf,
            section: self.half(entry, section),
            value: self.field(entry, value, word),
            size: self.field(entry, size, word),
        }
    }

    /// The relocations in a section; none if it is not a table of relocations.
    pub(crate) fn relocations(
        &self,
        table: &Section<'_>,
    ) -> Result<impl Iterator<Item = Relocation>, ElfError> {
        let word = usize::from(self.class.bits() / 8);
        let (bytes, words) = match table.kind {
            SHT_RELA => (self.contents(table)?, 3),
            SHT_REL => (self.contents(table)?, 2),
            _ => (&[][..], 2),
        };
        Ok(bytes.chunks_exact(words * word).map(move |entry| {
            let (symbol, kind) = self.relocation_info(self.field(entry, word, word));
            let addend = (words == 3).then(|| self.sign_extended(entry, 2 * word, word));
            Relocation { offset: self.field(entry, 0, word), symbol, kind, addend }
        }))
    }

    /// `r_info`: symbol and type. Little-endian 64-bit MIPS has the symbol in the first four bytes as well.
    fn relocation_info(&self, info: u64) -> (u64, u32) {
        const EM_MIPS: u16 = 8;
        let (symbol, kind) = match self.class {
            Class::Elf32 => (info >> 8, info & 0xff),
            Class::Elf64 if self.machine == EM_MIPS && self.little_endian => (info & 0xffff_ffff, info >> 56),
            Class::Elf64 => (info >> 32, info & 0xffff_ffff),
        };
        (symbol, low_word(kind))
    }

    /// A signed number of four or eight bytes, extended to 64 bits.
    pub(crate) fn sign_extended(&self, entry: &[u8], at: usize, length: usize) -> u64 {
        let value = self.field(entry, at, length);
        if length == 4 && value >> 31 == 1 { value | 0xffff_ffff_0000_0000 } else { value }
    }

    /// Reads up to eight bytes as a number in the file's byte order.
    pub(crate) fn number(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// A field of an entry; zero if the entry is too short for it.
    pub(crate) fn field(&self, entry: &[u8], at: usize, length: usize) -> u64 {
        self.number(entry.get(at..at.saturating_add(length)).unwrap_or_default())
    }

    fn half(&self, entry: &[u8], at: usize) -> u16 {
        let [first, second, ..] = self.field(entry, at, 2).to_le_bytes();
        u16::from_le_bytes([first, second])
    }

    fn range(&self, part: &str, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        self.part(|| part.to_owned(), offset, size)
    }

    /// The bytes of the file from an offset to the end; empty if the offset is beyond the end.
    pub(crate) fn rest_at(&self, offset: u64) -> &'a [u8] {
        usize::try_from(offset).ok().and_then(|start| self.data.get(start..)).unwrap_or_default()
    }

    /// `size` bytes at an offset, if the file has them.
    pub(crate) fn bytes_at(&self, offset: u64, size: u64) -> Option<&'a [u8]> {
        self.rest_at(offset).get(..usize::try_from(size).ok()?)
    }

    /// `size` bytes at an offset. `name` names that part of the file for the error.
    fn part(&self, name: impl Fn() -> String, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        let missing = || truncated(self.data, &name(), offset.saturating_add(size));
        self.bytes_at(offset, size).ok_or_else(missing)
    }
}

/// The lower four bytes of a number.
pub(crate) fn low_word(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn truncated(data: &[u8], part: &str, needed: u64) -> ElfError {
    ElfError::Truncated { part: part.to_owned(), needed, have: data.len() as u64 }
}
