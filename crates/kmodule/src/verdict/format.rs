//! Reads a module as the kernel's loader does, with the loader's checks of the file's structure in the same
//! order, and with the messages of its log.
//!
//! There are three generations of kernel/module/main.c: `elf_validity_check` and `setup_load_info` (before
//! 6.4), one `elf_validity_cache_copy` that also counts sections (6.4 to 6.12), and several functions with
//! further checks (since 6.13). [`super::damage`] checks the parts that the kernel does not check.

use super::doubts::{MOST, unchecked};
use super::kernel::KernelView;
use super::machine;
use super::reason::Reason;
use super::release::Generation;
use crate::elf::reader::{
    Reader, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NULL, SHT_SYMTAB, Section, string_at,
    until_nul,
};
use crate::elf::{Class, ElfError, Module, Parts};
use std::collections::HashSet;

const THIS_MODULE: &str = ".gnu.linkonce.this_module";

/// The sections of a module, as one generation of kernels finds them.
pub(super) struct Image<'a> {
    pub reader: Reader<'a>,
    /// Length of the file without its signature.
    pub length: u64,
    pub sections: Vec<Section<'a>>,
    pub modinfo: Option<usize>,
    pub this_module: usize,
    pub symbols: usize,
    /// The names of the symbols.
    pub names: usize,
    pub versions: Option<usize>,
    pub extended_versions: Option<(usize, usize)>,
    pub percpu: Option<usize>,
    /// Damage that the kernel does not check.
    pub doubts: Vec<Reason>,
}

/// A refusal with the message of the kernel's log.
fn invalid(log: &str, what: impl Into<String>) -> Reason {
    Reason::InvalidElf { log: log.to_owned(), what: what.into() }
}

impl<'a> Image<'a> {
    /// Reads a module of `length` bytes (`data` includes its signature).
    ///
    /// # Errors
    /// The reason why the kernel refuses it, or a [`Reason::Unchecked`] that makes further checks impossible.
    pub(super) fn read(data: &'a [u8], length: usize, kernel: &KernelView<'_>) -> Result<Image<'a>, Reason> {
        let generation = Generation::from_release(kernel.release);
        let reader = Reader::new(data).map_err(|error| Reason::NotModule { error })?;
        machine::check(reader.class, reader.machine, reader.little_endian, kernel)?;
        let length = length as u64;
        let sections = section_table(&reader, length)?;
        let mut image = Image {
            reader,
            length,
            sections,
            modinfo: None,
            this_module: 0,
            symbols: 0,
            names: 0,
            versions: None,
            extended_versions: None,
            percpu: None,
            doubts: Vec::new(),
        };
        if generation.split {
            image.check_first_section()?;
            image.check_contents(generation)?;
            image.name_sections(generation)?;
            image.check_all_names()?;
        } else {
            image.name_sections(generation)?;
            image.check_first_section()?;
            image.check_contents(generation)?;
        }
        image.find_sections(generation, kernel)?;
        image.versions = image.allocated("__versions");
        image.percpu = image.allocated(".data..percpu");
        if generation.extended {
            image.find_extended_versions()?;
        }
        if generation.symbol_names {
            image.check_symbol_names()?;
        } else {
            image.doubt_symbol_names()?;
        }
        Ok(image)
    }

    /// Finds the table of section names and sets the name of each section. The kernel also reads names that
    /// start outside the table.
    fn name_sections(&mut self, generation: Generation) -> Result<(), Reason> {
        let index = usize::from(self.reader.names_index);
        let Some(table) = self.sections.get(index).filter(|_| index != 0) else {
            let what = format!("e_shstrndx is {index} of {} sections", self.sections.len());
            return Err(invalid("Invalid ELF section name index", what));
        };
        self.check_type(generation, "section name table", table)?;
        if !generation.split && !self.fits(table) {
            return Err(invalid("Invalid ELF section hdr", "the table of section names is outside the file"));
        }
        let Some(names) = self.reader.bytes_at(table.offset, table.size) else {
            return Err(unchecked("the table of section names is outside the file"));
        };
        match names.last() {
            None => return Err(invalid("empty section name table", "the table of section names is empty")),
            Some(0) => {}
            Some(_) => {
                return Err(invalid("section name table isn't null terminated", "its last byte is not NUL"));
            }
        }
        let from_table = self.reader.rest_at(table.offset);
        let mut outside = false;
        for section in &mut self.sections {
            let start = usize::try_from(section.name_offset).unwrap_or(usize::MAX);
            outside |= start >= names.len();
            section.name = string_at(from_table, start);
        }
        if outside {
            self.doubts.push(unchecked("a section's name starts outside the table of section names"));
        }
        Ok(())
    }

    fn check_type(&self, generation: Generation, name: &str, table: &Section<'_>) -> Result<(), Reason> {
        const SHT_STRTAB: u32 = 3;
        if !generation.typed || table.kind == SHT_STRTAB {
            return Ok(());
        }
        let log = format!("Invalid ELF {name} type: {}", table.kind);
        Err(invalid(&log, "it is not a string table"))
    }

    fn check_first_section(&self) -> Result<(), Reason> {
        match self.sections.first() {
            Some(first) if first.kind == SHT_NULL && first.size == 0 && first.address == 0 => Ok(()),
            Some(first) => {
                let what = format!(
                    "section 0 has type {}, size {} and address {}; all must be 0",
                    first.kind, first.size, first.address
                );
                Err(invalid("ELF Spec violation: section 0", what))
            }
            // Without sections the kernel reads memory that does not belong to the file.
            None => Err(unchecked("there are no sections")),
        }
    }

    /// Checks that each section's bytes are in the file.
    fn check_contents(&self, generation: Generation) -> Result<(), Reason> {
        for (index, section) in self.sections.iter().enumerate().skip(1) {
            if matches!(section.kind, SHT_NULL | SHT_NOBITS) {
                continue;
            }
            if section.kind == SHT_SYMTAB && !generation.split {
                self.string_table(section)?;
            }
            if !self.fits(section) {
                let what = format!(
                    "section {index} ({}) goes from byte {} to {}, the file without signature has {}",
                    text(section.name),
                    section.offset,
                    section.offset.saturating_add(section.size),
                    self.length
                );
                return Err(invalid("Invalid ELF section in module", what));
            }
            if section.is_allocated() && !generation.split {
                self.check_name(index, section)?;
            }
        }
        Ok(())
    }

    fn check_all_names(&self) -> Result<(), Reason> {
        let mut named = self.sections.iter().enumerate().filter(|(_, section)| section.kind != SHT_NULL);
        named.try_for_each(|(index, section)| self.check_name(index, section))
    }

    fn check_name(&self, index: usize, section: &Section<'_>) -> Result<(), Reason> {
        let table = self.sections.get(usize::from(self.reader.names_index));
        let size = table.map_or(0, |table| table.size);
        if u64::from(section.name_offset) < size {
            return Ok(());
        }
        let what = format!("the name of section {index} starts at byte {} of {size}", section.name_offset);
        Err(invalid("Invalid ELF section name in module", what))
    }

    /// The index of the string table of a symbol table.
    fn string_table(&self, symbols: &Section<'_>) -> Result<usize, Reason> {
        let link = usize::try_from(symbols.link).unwrap_or(usize::MAX);
        if link != 0 && link < self.sections.len() {
            return Ok(link);
        }
        let what = format!("sh_link of the symbol table is {link}, of {} sections", self.sections.len());
        Err(invalid("Invalid ELF sh_link!=SHN_UNDEF", what))
    }

    fn fits(&self, section: &Section<'_>) -> bool {
        section.offset.checked_add(section.size).is_some_and(|end| end <= self.length)
    }

    /// The first section with a name that occupies memory (find_sec).
    pub(super) fn allocated(&self, name: &str) -> Option<usize> {
        let named = |section: &Section<'_>| section.is_allocated() && section.name == name.as_bytes();
        self.sections.iter().skip(1).position(named).map(|index| index + 1)
    }

    /// Finds the sections that must exist once, as this generation counts them.
    fn find_sections(&mut self, generation: Generation, kernel: &KernelView<'_>) -> Result<(), Reason> {
        let first_two = |name: &str| -> Vec<usize> {
            let kind =
                |section: &Section<'_>| generation.split || !matches!(section.kind, SHT_NULL | SHT_NOBITS);
            let named = self.sections.iter().enumerate().skip(1);
            let named = named.filter(|(_, section)| kind(section) && section.name == name.as_bytes());
            named.map(|(index, _)| index).take(2).collect()
        };
        let tables =
            self.sections.iter().enumerate().skip(1).filter(|(_, section)| section.kind == SHT_SYMTAB);
        let tables: Vec<usize> = tables.map(|(index, _)| index).take(2).collect();
        if !generation.counts {
            self.modinfo = self.allocated(".modinfo");
            self.symbols = tables.first().copied().ok_or(Reason::Stripped)?;
            self.this_module = self.allocated(THIS_MODULE).ok_or(Reason::NotLinked { counted: false })?;
            self.names = self.sections.get(self.symbols).map_or(Ok(0), |table| self.string_table(table))?;
            return Ok(());
        }
        self.modinfo = match first_two(".modinfo")[..] {
            [] => None,
            [index] => Some(index),
            _ => {
                return Err(invalid(
                    "Only one .modinfo section must exist",
                    "there is more than one .modinfo",
                ));
            }
        };
        let symbols = match tables[..] {
            [index] => Ok(index),
            _ => Err(Reason::Stripped),
        };
        if !generation.split {
            symbols.clone()?;
        }
        self.this_module = match first_two(THIS_MODULE)[..] {
            [index] => index,
            _ => return Err(Reason::NotLinked { counted: true }),
        };
        self.check_this_module(kernel)?;
        self.symbols = symbols?;
        self.names = self.sections.get(self.symbols).map_or(Ok(0), |table| self.string_table(table))?;
        self.sections
            .get(self.names)
            .map_or(Ok(()), |table| self.check_type(generation, "symbol string table", table))
    }

    fn check_this_module(&self, kernel: &KernelView<'_>) -> Result<(), Reason> {
        let Some(section) = self.sections.get(self.this_module) else { return Ok(()) };
        if section.kind == SHT_NOBITS {
            let log = ".gnu.linkonce.this_module section must have a size set";
            return Err(invalid(log, "it has no contents (SHT_NOBITS)"));
        }
        if !section.is_allocated() {
            let log = ".gnu.linkonce.this_module must occupy memory during process execution";
            return Err(invalid(log, "it lacks SHF_ALLOC"));
        }
        match kernel.struct_module.filter(|size| *size != section.size) {
            Some(kernel) => Err(Reason::StructModule { module: section.size, kernel }),
            None => Ok(()),
        }
    }

    fn find_extended_versions(&mut self) -> Result<(), Reason> {
        let (crcs, names) =
            match (self.allocated("__version_ext_crcs"), self.allocated("__version_ext_names")) {
                (Some(crcs), Some(names)) => (crcs, names),
                (None, None) => return Ok(()),
                _ => {
                    let log = "extended version crc+name presence does not match";
                    return Err(invalid(log, "one of __version_ext_crcs and __version_ext_names is missing"));
                }
            };
        let count = self.sections.get(crcs).map_or(0, |section| section.size / 4);
        let ends = self.bytes(names).iter().filter(|byte| **byte == 0).count() as u64;
        if ends < count {
            let what = format!("__version_ext_crcs has {count} entries, __version_ext_names {ends}");
            return Err(invalid("more extended version crcs than names", what));
        }
        self.extended_versions = Some((crcs, names));
        Ok(())
    }

    /// Checks the string table of the symbols (elf_validity_cache_strtab).
    fn check_symbol_names(&self) -> Result<(), Reason> {
        let names = self.bytes(self.names);
        let what = "the string table of the symbols is damaged";
        match (names.first(), names.last()) {
            (None, _) | (_, None) => return Err(invalid("empty symbol string table", what)),
            (Some(0), Some(0)) => {}
            (Some(0), _) => return Err(invalid("symbol string table isn't NUL terminated", what)),
            _ => return Err(invalid("symbol string table missing leading NUL", what)),
        }
        if self.reader.symbols_in(self.bytes(self.symbols)).any(|symbol| symbol.name >= names.len()) {
            return Err(invalid("symbol name out of bounds in string table", what));
        }
        Ok(())
    }

    /// Adds a doubt if a name starts outside the table: older kernels read it anyway.
    fn doubt_symbol_names(&mut self) -> Result<(), Reason> {
        let Some(table) = self.sections.get(self.names) else { return Ok(()) };
        let rest = self.reader.rest_at(table.offset).len();
        let last = self.reader.symbols_in(self.bytes(self.symbols)).map(|symbol| symbol.name).max();
        let Some(last) = last.filter(|last| *last as u64 >= table.size) else { return Ok(()) };
        let what = format!("a symbol's name starts at byte {last} of a table of {} bytes", table.size);
        if last >= rest {
            return Err(unchecked(what));
        }
        self.doubts.push(unchecked(what));
        Ok(())
    }

    /// A section's bytes in the file, even if its type is `SHT_NOBITS`; empty if they are outside the file.
    pub(super) fn bytes(&self, index: usize) -> &'a [u8] {
        let section = self.sections.get(index);
        section.and_then(|section| self.reader.bytes_at(section.offset, section.size)).unwrap_or_default()
    }

    /// The file from the start of the symbols' string table to the end: kernels before 6.13 read names that
    /// start or end outside the table.
    pub(super) fn names_to_end(&self) -> &'a [u8] {
        self.sections.get(self.names).map_or(&[], |table| self.reader.rest_at(table.offset))
    }

    /// Whether there is a section with this name.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.name == name.as_bytes())
    }

    /// The name of a section, for messages.
    pub(super) fn section_name(&self, index: usize) -> String {
        self.sections.get(index).map(|section| text(section.name)).unwrap_or_default()
    }

    /// Like [`Self::bytes`], but extended to the end of the last string if that is outside the section.
    fn text(&self, index: usize) -> &'a [u8] {
        let bytes = self.bytes(index);
        let Some(section) = self.sections.get(index).filter(|_| bytes.last().is_some_and(|last| *last != 0))
        else {
            return bytes;
        };
        let beyond = until_nul(self.reader.rest_at(section.offset.saturating_add(section.size))).len();
        self.reader.bytes_at(section.offset, section.size.saturating_add(beyond as u64)).unwrap_or(bytes)
    }

    /// The parsed module, as this kernel reads it.
    pub(super) fn module(&self) -> Module {
        let parts = Parts {
            modinfo: self.modinfo.map(|index| self.text(index)),
            this_module_size: self.sections.get(self.this_module).map(|section| section.size),
            symbols: Some(self.bytes(self.symbols)),
            names: self.names_to_end(),
            versions: self.versions.map(|index| self.bytes(index)),
            extended_versions: self
                .extended_versions
                .map(|(crcs, names)| (self.bytes(crcs), self.bytes(names))),
        };
        Module::assemble(&self.reader, &parts)
    }

    /// The checks that the kernel makes when it lays out memory: after those of `.modinfo`, before those of
    /// symbols.
    pub(super) fn layout(&self, kernel: &KernelView<'_>) -> Option<Reason> {
        const PAGE: u64 = 4096;
        /// `PCPU_MIN_UNIT_SIZE`
        const PERCPU: u64 = 32 << 10;
        let both = SHF_WRITE | SHF_EXECINSTR;
        let strict_rwx =
            matches!(kernel.arch, "x86_64" | "amd64" | "aarch64" | "arm64" | "riscv64" | "s390x");
        if let Some(section) = self.sections.iter().find(|section| strict_rwx && section.flags & both == both)
        {
            let what = format!("section {} is writable and executable", text(section.name));
            return Some(invalid("has invalid WRITE|EXEC flags", what));
        }
        let percpu =
            self.percpu.and_then(|index| self.sections.get(index)).filter(|section| section.size > 0);
        if let Some(section) = percpu {
            let align = section.align.clamp(4, PAGE);
            if section.size > PERCPU || !align.is_power_of_two() {
                return Some(Reason::PercpuMemory { size: section.size });
            }
        }
        let lacks_crcs = |ending: &str| {
            let table =
                self.allocated(&format!("__ksymtab{ending}")).and_then(|index| self.sections.get(index));
            table.is_some_and(|table| table.size >= 12)
                && self.allocated(&format!("__kcrctab{ending}")).is_none()
        };
        let exports_crcs = kernel.modversions && !kernel.force_load;
        (exports_crcs && ["", "_gpl"].into_iter().any(lacks_crcs)).then_some(Reason::ExportsWithoutCrcs)
    }

    /// Checks the symbols that the module defines (simplify_symbols).
    pub(super) fn own_symbols(&self) -> Vec<Reason> {
        const LIVEPATCH: u16 = 0xff20;
        const ABS: u16 = 0xfff1;
        const COMMON: u16 = 0xfff2;
        let names = self.names_to_end();
        let mut reasons: Vec<Reason> = Vec::new();
        for symbol in self.reader.symbols_in(self.bytes(self.symbols)).skip(1) {
            let name = || text(string_at(names, symbol.name));
            match symbol.section {
                ABS | LIVEPATCH => {}
                COMMON if string_at(names, symbol.name).starts_with(b"__gnu_lto") => {}
                COMMON => reasons.push(Reason::CommonSymbol { symbol: name() }),
                index if usize::from(index) >= self.sections.len() => {
                    reasons.push(Reason::SymbolSection { symbol: name(), index });
                }
                _ => {}
            }
            if reasons.len() >= MOST {
                break;
            }
        }
        reasons
    }

    /// Finds a name that two sections in memory share. Since 6.13, kernels fail if they cannot create a file
    /// in /sys/module for each section.
    pub(super) fn same_name(&self, kernel: &KernelView<'_>) -> Option<Reason> {
        let mut seen = HashSet::new();
        let named = self
            .sections
            .iter()
            .enumerate()
            .filter(|(index, section)| section.size > 0 && self.is_in_memory(*index));
        let twice = named.map(|(_, section)| section.name).find(|name| !seen.insert(*name))?;
        Generation::from_release(kernel.release).split.then(|| Reason::SameName { section: text(twice) })
    }

    /// Whether the section is in memory when relocations are applied.
    pub(super) fn is_in_memory(&self, index: usize) -> bool {
        let apart = [self.modinfo, self.versions, self.percpu];
        let (crcs, names) = self.extended_versions.unzip();
        if apart.contains(&Some(index)) || [crcs, names].contains(&Some(index)) {
            return false;
        }
        // layout_symtab adds these two.
        index == self.symbols
            || index == self.names
            || self.sections.get(index).is_some_and(|section| section.flags & SHF_ALLOC != 0)
    }
}

/// The section headers, without names.
fn section_table<'a>(reader: &Reader<'a>, length: u64) -> Result<Vec<Section<'a>>, Reason> {
    let (header, entry) = match reader.class {
        Class::Elf32 => (52, 40_u16),
        Class::Elf64 => (64, 64),
    };
    if length < header {
        let error = ElfError::Truncated { part: "ELF header".to_owned(), needed: header, have: length };
        return Err(Reason::NotModule { error });
    }
    if reader.section_size != entry {
        let what = format!("section headers have {} bytes, {entry} expected", reader.section_size);
        return Err(invalid("Invalid ELF section header size", what));
    }
    let (start, size) = (reader.section_table, u64::from(entry) * u64::from(reader.section_count));
    let table = start.checked_add(size).filter(|end| start < length && *end <= length);
    let Some(table) = table.and_then(|_| reader.bytes_at(start, size)) else {
        let what = format!(
            "{} section headers at byte {start} do not fit in the file: without signature it has {length} bytes",
            reader.section_count
        );
        return Err(invalid("Invalid ELF section header overflow", what));
    };
    Ok(reader.headers(table))
}

/// A name, for messages.
pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
