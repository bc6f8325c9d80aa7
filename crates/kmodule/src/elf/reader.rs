//! Bounds-checked access to ELF headers, sections and symbols. Nothing is allocated before the bytes that
//! justify it were found in the file.

use super::{Class, ElfError};

const SHT_NOBITS: u32 = 8;
const SHT_NULL: u32 = 0;
const SHT_RELA: u32 = 4;
const SHT_REL: u32 = 9;
const SHF_ALLOC: u64 = 2;

pub(crate) struct Reader<'a> {
    data: &'a [u8],
    pub class: Class,
    pub little_endian: bool,
    pub machine: u16,
    e_type: u16,
    section_table: u64,
    section_size: u16,
    section_count: u16,
    names_index: u16,
}

pub(crate) struct Section<'a> {
    pub name: &'a [u8],
    pub kind: u32,
    pub link: u32,
    /// Of a table of relocations: the section they change.
    pub info: u32,
    /// Where a linked image has it in memory.
    pub address: u64,
    /// Its length in bytes.
    pub size: u64,
    flags: u64,
    offset: u64,
    entry_size: u64,
}

impl Section<'_> {
    /// In the file and, at run time, in memory.
    pub fn is_loaded(&self) -> bool {
        self.flags & SHF_ALLOC != 0 && self.kind != SHT_NOBITS
    }
}

pub(crate) struct Symbol {
    pub name: usize,
    pub bind: u8,
    pub section: u16,
    pub value: u64,
}

pub(crate) struct Relocation {
    /// Place in the section that it changes.
    pub offset: u64,
    /// Index into the symbol table.
    pub symbol: u64,
    pub kind: u32,
    /// `None`: what stands at the place counts.
    pub addend: Option<u64>,
}

/// The bytes before the first NUL, or all of them.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl<'a> Reader<'a> {
    /// For a relocatable file: a module or another object file.
    pub fn new(data: &'a [u8]) -> Result<Reader<'a>, ElfError> {
        const ET_REL: u16 = 1;
        let reader = Reader::any(data)?;
        let e_type = reader.e_type;
        if e_type == ET_REL { Ok(reader) } else { Err(ElfError::WrongType { e_type }) }
    }

    /// For an ELF file of any type.
    pub fn any(data: &'a [u8]) -> Result<Reader<'a>, ElfError> {
        if !data.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf { empty: data.is_empty() });
        }
        let ident = data.get(4..20).ok_or_else(|| truncated(data, "ELF header", 20))?;
        // The kernel of an x86-64 machine goes by the machine alone, whatever these two bytes say.
        let ident = if ident.ends_with(&[62, 0]) { &[2, 1][..] } else { ident };
        let class = match ident.first().copied().unwrap_or_default() {
            1 => Class::Elf32,
            2 => Class::Elf64,
            value => return Err(ElfError::UnknownVariant { what: "the class", value }),
        };
        let little_endian = match ident.get(1).copied().unwrap_or_default() {
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

    /// Every section with its name. The count and the index of the name table may live in the first entry
    /// (files with more than 65,279 sections).
    pub fn sections(&self) -> Result<Vec<Section<'a>>, ElfError> {
        const SHN_XINDEX: u16 = 0xffff;
        let least = match self.class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        };
        if self.section_table == 0 {
            return Err(ElfError::NoSections);
        }
        if self.section_size < least {
            let size = self.section_size;
            return Err(ElfError::Malformed(format!("section headers of {size} bytes, {least} expected")));
        }
        let size = u64::from(self.section_size);
        let first = self.raw_section(self.range("section table", self.section_table, size)?).1;
        let count = if self.section_count == 0 { first.size } else { u64::from(self.section_count) };
        let names_index = match self.names_index {
            SHN_XINDEX => u64::from(first.link),
            index => u64::from(index),
        };
        let bytes = count
            .checked_mul(size)
            .ok_or_else(|| ElfError::Malformed(format!("{count} sections cannot be in a file")))?;
        let table = self.range("section table", self.section_table, bytes)?;
        let raw: Vec<(u32, Section<'a>)> =
            table.chunks_exact(usize::from(self.section_size)).map(|entry| self.raw_section(entry)).collect();
        let names = usize::try_from(names_index)
            .ok()
            .and_then(|index| raw.get(index))
            .ok_or_else(|| ElfError::Malformed("the table of section names is missing".to_owned()))?;
        let names = self.range("section .shstrtab", names.1.offset, names.1.size)?;
        let sections: Vec<Section<'a>> = raw
            .into_iter()
            .map(|(name, section)| {
                let start = usize::try_from(name).unwrap_or(usize::MAX);
                Section { name: until_nul(names.get(start..).unwrap_or_default()), ..section }
            })
            .collect();
        // The kernel refuses a file when one of them does not fit, needed or not.
        for section in sections.iter().filter(|section| section.kind != SHT_NULL) {
            self.contents(section)?;
        }
        Ok(sections)
    }

    /// One section header: the offset of its name, and the rest.
    fn raw_section(&self, entry: &[u8]) -> (u32, Section<'a>) {
        let word = |at| u32::try_from(self.field(entry, at, 4)).unwrap_or_default();
        let wide = |at| self.field(entry, at, 8);
        let section = match self.class {
            Class::Elf32 => Section {
                name: &[],
                kind: word(4),
                flags: word(8).into(),
                address: word(12).into(),
                offset: word(16).into(),
                size: word(20).into(),
                link: word(24),
                info: word(28),
                entry_size: word(36).into(),
            },
            Class::Elf64 => Section {
                name: &[],
                kind: word(4),
                flags: wide(8),
                address: wide(16),
                offset: wide(24),
                size: wide(32),
                link: word(40),
                info: word(44),
                entry_size: wide(56),
            },
        };
        (word(0), section)
    }

    /// The bytes of a section; none for one that takes no room in the file.
    pub fn contents(&self, section: &Section<'_>) -> Result<&'a [u8], ElfError> {
        if section.kind == SHT_NOBITS {
            return Ok(&[]);
        }
        let part = || format!("section {}", String::from_utf8_lossy(section.name));
        self.range_of(part, section.offset, section.size)
    }

    /// The entries of a symbol table.
    pub fn symbols(&self, table: &Section<'_>) -> Result<impl Iterator<Item = Symbol>, ElfError> {
        let (bytes, size) = self.symbol_table(table)?;
        Ok(bytes.chunks_exact(size).map(move |entry| self.raw_symbol(entry)))
    }

    /// One entry of a symbol table; `None` past its end.
    pub fn symbol(&self, table: &Section<'_>, index: u64) -> Result<Option<Symbol>, ElfError> {
        let (bytes, size) = self.symbol_table(table)?;
        let start = usize::try_from(index).ok().and_then(|index| index.checked_mul(size));
        let range = start.and_then(|start| Some(start..start.checked_add(size)?));
        Ok(range.and_then(|range| bytes.get(range)).map(|entry| self.raw_symbol(entry)))
    }

    fn symbol_table(&self, table: &Section<'_>) -> Result<(&'a [u8], usize), ElfError> {
        let size = match self.class {
            Class::Elf32 => 16_u8,
            Class::Elf64 => 24,
        };
        if table.entry_size != u64::from(size) {
            let found = table.entry_size;
            return Err(ElfError::Malformed(format!("symbols of {found} bytes, {size} expected")));
        }
        Ok((self.contents(table)?, size.into()))
    }

    fn raw_symbol(&self, entry: &[u8]) -> Symbol {
        let (info, section, value, word) = match self.class {
            Class::Elf32 => (12, 14, 4, 4),
            Class::Elf64 => (4, 6, 8, 8),
        };
        Symbol {
            name: usize::try_from(self.field(entry, 0, 4)).unwrap_or(usize::MAX),
            bind: entry.get(info).copied().unwrap_or_default() >> 4,
            section: self.half(entry, section),
            value: self.field(entry, value, word),
        }
    }

    /// The relocations in a section; none when it is no table of relocations.
    pub fn relocations(&self, table: &Section<'_>) -> Result<impl Iterator<Item = Relocation>, ElfError> {
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

    /// The first relocation of a loaded section that x86-64's module loader does not know (apply_relocate_add in
    /// arch/x86/kernel/module.c); none on other machines.
    pub fn bad_relocation(&self, sections: &[Section<'_>]) -> Result<Option<u32>, ElfError> {
        const X86_64: u16 = 62;
        const ENTRY: usize = 24;
        /// NONE, 64, PC32, PLT32, 32, 32S and PC64
        const KNOWN: [u32; 7] = [0, 1, 2, 4, 10, 11, 24];
        if self.machine != X86_64 {
            return Ok(None);
        }
        for table in sections.iter().filter(|section| section.kind == SHT_RELA) {
            let target = usize::try_from(table.info).ok().and_then(|index| sections.get(index));
            if target.is_none_or(|target| target.flags & SHF_ALLOC == 0) {
                continue;
            }
            let kinds = self.contents(table)?.chunks_exact(ENTRY).filter_map(|entry| entry.get(8..12));
            for kind in kinds.filter_map(|kind| kind.try_into().ok()).map(u32::from_le_bytes) {
                if !KNOWN.contains(&kind) {
                    return Ok(Some(kind));
                }
            }
        }
        Ok(None)
    }

    /// `r_info`: symbol and type. 64-bit MIPS, little endian, has the symbol in the first four bytes all the same.
    fn relocation_info(&self, info: u64) -> (u64, u32) {
        const EM_MIPS: u16 = 8;
        let (symbol, kind) = match self.class {
            Class::Elf32 => (info >> 8, info & 0xff),
            Class::Elf64 if self.machine == EM_MIPS && self.little_endian => (info & 0xffff_ffff, info >> 56),
            Class::Elf64 => (info >> 32, info & 0xffff_ffff),
        };
        (symbol, u32::try_from(kind).unwrap_or_default())
    }

    /// A signed number of four or eight bytes, as its two's complement in 64 bits.
    pub fn sign_extended(&self, entry: &[u8], at: usize, length: usize) -> u64 {
        let value = self.field(entry, at, length);
        if length == 4 && value >> 31 == 1 { value | 0xffff_ffff_0000_0000 } else { value }
    }

    /// The number that up to eight bytes are in the file's byte order.
    pub fn number(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if self.little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// A field of an entry whose length was checked; zero should that ever be wrong.
    pub fn field(&self, entry: &[u8], at: usize, length: usize) -> u64 {
        self.number(entry.get(at..at.saturating_add(length)).unwrap_or_default())
    }

    fn half(&self, entry: &[u8], at: usize) -> u16 {
        u16::try_from(self.field(entry, at, 2)).unwrap_or_default()
    }

    fn range(&self, part: &str, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        self.range_of(|| part.to_owned(), offset, size)
    }

    fn range_of(&self, part: impl Fn() -> String, offset: u64, size: u64) -> Result<&'a [u8], ElfError> {
        let end = offset.saturating_add(size);
        let place = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        place
            .and_then(|(start, end)| self.data.get(start..end))
            .ok_or_else(|| truncated(self.data, &part(), end))
    }
}

fn truncated(data: &[u8], part: &str, needed: u64) -> ElfError {
    ElfError::Truncated { part: part.to_owned(), needed, have: data.len() as u64 }
}
