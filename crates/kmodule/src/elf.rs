//! The parts of an ELF relocatable file that matter for loading a kernel module.
//!
//! The reader is our own, because a module needs only one header, one table and five sections, and because
//! its errors describe the damage exactly (docs/decisions/0020-own-parsers.md). Layout: System V gABI
//! chapters 4 and 5 (`elf.h`); module sections: kernel/module/main.c and scripts/mod/modpost.c of Linux.

use crate::modinfo::ModInfo;

mod error;
pub(crate) mod reader;
pub use error::{Class, ElfError};
use reader::{Reader, SHT_SYMTAB, string_at};
use std::collections::HashSet;

/// `e_machine` of arm64.
pub(crate) const AARCH64: u16 = 183;
/// `e_machine` of riscv64 and riscv32.
pub(crate) const RISCV: u16 = 243;

/// A symbol that the module needs from the kernel or from another module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndefinedSymbol {
    /// Its name in the symbol table; empty if the table is damaged.
    pub name: String,
    /// The symbol is weak: the kernel loads the module even if nothing exports the symbol.
    pub weak: bool,
}

/// The parts of a kernel module file that matter for loading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Word size.
    pub class: Class,
    /// Byte order.
    pub little_endian: bool,
    /// `e_machine`, e.g. 62 for x86-64.
    pub machine: u16,
    /// There is a `.modinfo` section. Every module has one, but kernels do not require it.
    pub has_modinfo: bool,
    /// The `.modinfo` strings.
    pub modinfo: ModInfo,
    /// Size of `.gnu.linkonce.this_module`: `sizeof(struct module)` of the kernel it was built for. modpost
    /// adds this section last. Without it (`None`), the module is incomplete, and no kernel loads it.
    pub this_module_size: Option<u64>,
    /// There is a symbol table.
    pub has_symbols: bool,
    /// There is a section of symbol versions; it may be empty.
    pub has_versions: bool,
    /// Name and CRC of the symbols it was built against (`CONFIG_MODVERSIONS`), in file order. Kernels
    /// compare the whole word that contains a CRC, so bits above the lowest 32 are kept.
    pub versions: Vec<(String, u64)>,
    /// Symbols it needs, in symbol-table order.
    pub undefined: Vec<UndefinedSymbol>,
    /// Symbols it exports, in symbol-table order.
    pub exports: Vec<String>,
    /// The table is forged: so many of its names overlap that not all were read.
    pub symbols_cut: bool,
}

impl Module {
    /// Reads a module from the bytes of an uncompressed `.ko` file. An appended signature is ignored.
    ///
    /// # Errors
    /// [`ElfError`]: it is another kind of file, or a part is missing.
    pub fn parse(data: &[u8]) -> Result<Module, ElfError> {
        let module = Module::read(data)?;
        if module.has_modinfo { Ok(module) } else { Err(ElfError::NoModinfo) }
    }

    /// As [`Module::parse`], but for any relocatable file.
    ///
    /// # Errors
    /// The same, except [`ElfError::NoModinfo`].
    pub fn read(data: &[u8]) -> Result<Module, ElfError> {
        let reader = Reader::new(data)?;
        let sections = reader.sections()?;
        let find = |name: &str| sections.iter().find(|section| section.name == name.as_bytes());
        let contents = |name: &str| find(name).map(|section| reader.contents(section)).transpose();
        let symbols = sections.iter().find(|section| section.kind == SHT_SYMTAB);
        let names = symbols.map(|table| {
            let names = usize::try_from(table.link).ok().and_then(|index| sections.get(index));
            let missing = || ElfError::Malformed("the symbol table names no string table".to_owned());
            reader.contents(names.ok_or_else(missing)?)
        });
        let parts = Parts {
            modinfo: contents(".modinfo")?,
            this_module_size: find(".gnu.linkonce.this_module").map(|section| section.size),
            symbols: symbols.map(|table| reader.contents(table)).transpose()?,
            names: names.transpose()?.unwrap_or_default(),
            versions: contents("__versions")?,
            extended_versions: contents("__version_ext_crcs")?.zip(contents("__version_ext_names")?),
        };
        Ok(Module::assemble(&reader, &parts))
    }

    /// Reads the sections that describe a module.
    pub(crate) fn assemble(reader: &Reader<'_>, parts: &Parts<'_>) -> Module {
        let versions = match parts.extended_versions {
            Some((crcs, names)) => extended_versions(reader, crcs, names),
            None => classic_versions(reader, parts.versions.unwrap_or_default()),
        };
        let symbols = Symbols::read(reader, parts.symbols.unwrap_or_default(), parts.names);
        Module {
            class: reader.class,
            little_endian: reader.little_endian,
            machine: reader.machine,
            has_modinfo: parts.modinfo.is_some(),
            modinfo: ModInfo::from_section(parts.modinfo.unwrap_or_default()),
            this_module_size: parts.this_module_size,
            has_symbols: parts.symbols.is_some(),
            has_versions: parts.versions.is_some() || parts.extended_versions.is_some(),
            versions,
            symbols_cut: symbols.cut,
            undefined: symbols.undefined,
            exports: symbols.exports,
        }
    }
}

/// The section with the build ID of a module file, as in `/sys/module/M/notes/.note.gnu.build-id`. `None` if
/// it has no such section, or if it is not a module.
#[must_use]
pub fn build_id_note(data: &[u8]) -> Option<&[u8]> {
    let reader = Reader::new(data).ok()?;
    let sections = reader.sections().ok()?;
    let section = sections.iter().find(|section| section.name == b".note.gnu.build-id")?;
    reader.contents(section).ok()
}

/// The contents of the sections that describe a module; `None` if the file has no such section.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    pub modinfo: Option<&'a [u8]>,
    pub this_module_size: Option<u64>,
    pub symbols: Option<&'a [u8]>,
    /// The names of the symbols.
    pub names: &'a [u8],
    pub versions: Option<&'a [u8]>,
    /// CRCs and names.
    pub extended_versions: Option<(&'a [u8], &'a [u8])>,
}

/// `struct modversion_info`: an `unsigned long` CRC and the name, 64 bytes together.
fn classic_versions(reader: &Reader<'_>, bytes: &[u8]) -> Vec<(String, u64)> {
    let word = usize::from(reader.class.bits() / 8);
    bytes
        .chunks_exact(64)
        .filter_map(|entry| {
            let (crc, name) = entry.split_at_checked(word)?;
            let crc = reader.number(crc);
            let name = reader::until_nul(name);
            // 64-bit PowerPC writes function names with a leading dot; kernel and tools ignore it.
            let name = name.strip_prefix(b".").unwrap_or(name);
            (!name.is_empty()).then(|| (String::from_utf8_lossy(name).into_owned(), crc))
        })
        .collect()
}

/// `CONFIG_EXTENDED_MODVERSIONS` (Linux 6.14): an array of 32-bit CRCs, and names of any length in a
/// section of their own, each followed by a NUL byte.
fn extended_versions(reader: &Reader<'_>, crcs: &[u8], names: &[u8]) -> Vec<(String, u64)> {
    crcs.chunks_exact(4)
        .zip(names.split(|byte| *byte == 0))
        .filter(|(_, name)| !name.is_empty())
        .map(|(crc, name)| (String::from_utf8_lossy(name).into_owned(), reader.number(crc)))
        .collect()
}

/// The needed and the exported symbols of a symbol table.
#[derive(Debug, Default)]
struct Symbols {
    undefined: Vec<UndefinedSymbol>,
    exports: Vec<String>,
    /// Not all symbols were read.
    cut: bool,
}

impl Symbols {
    /// Symbols that share their name in the string table are listed once. All names together need at most a
    /// few times the memory of the file: in a forged table, each symbol could start at another byte of a long
    /// string.
    fn read(reader: &Reader<'_>, table: &[u8], names: &[u8]) -> Symbols {
        const SHN_UNDEF: u16 = 0;
        const STB_WEAK: u8 = 2;
        let mut symbols = Symbols::default();
        let mut seen = HashSet::new();
        let mut room = (table.len() + names.len()).saturating_mul(4);
        // The first entry is not a symbol.
        for symbol in reader.symbols_in(table).skip(1) {
            let name = string_at(names, symbol.name);
            let undefined = symbol.section == SHN_UNDEF;
            let export = name.strip_prefix(b"__ksymtab_").filter(|export| !undefined && !export.is_empty());
            let weak = symbol.bind == STB_WEAK;
            if !undefined && export.is_none() || !seen.insert((symbol.name, undefined, weak)) {
                continue;
            }
            let Some(left) = room.checked_sub(name.len()) else {
                symbols.cut = true;
                break;
            };
            room = left;
            match export {
                Some(export) => symbols.exports.push(String::from_utf8_lossy(export).into_owned()),
                None => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    symbols.undefined.push(UndefinedSymbol { name, weak });
                }
            }
        }
        symbols
    }
}

/// Word size, `e_machine` and names of each machine, the usual name first. The numbers are those of the
/// gABI's machine registry (`elf.h`). A name without a fixed word size (`mips`, `sparc`) means 32 bits, as in
/// `uname -m`.
const MACHINES: [(Class, u16, &[&str]); 22] = [
    (Class::Elf64, 62, &["x86_64", "amd64"]),
    (Class::Elf32, 3, &["i686", "i386", "i486", "i586", "x86"]),
    (Class::Elf64, AARCH64, &["aarch64", "aarch64_be", "arm64"]),
    (Class::Elf32, 40, &["arm", "armel", "armhf", "armhfp"]),
    (Class::Elf64, 21, &["ppc64", "ppc64le", "ppc64el", "powerpc64", "powerpc64le"]),
    (Class::Elf32, 20, &["ppc", "powerpc"]),
    (Class::Elf64, 22, &["s390x"]),
    (Class::Elf32, 22, &["s390"]),
    (Class::Elf64, RISCV, &["riscv64"]),
    (Class::Elf32, RISCV, &["riscv32"]),
    (Class::Elf64, 258, &["loongarch64", "loong64"]),
    (Class::Elf32, 8, &["mips", "mipsel"]),
    (Class::Elf64, 8, &["mips64", "mips64el"]),
    (Class::Elf64, 43, &["sparc64"]),
    (Class::Elf32, 2, &["sparc"]),
    (Class::Elf64, 0x9026, &["alpha"]),
    (Class::Elf64, 50, &["ia64"]),
    (Class::Elf32, 15, &["parisc", "hppa"]),
    (Class::Elf64, 15, &["parisc64"]),
    (Class::Elf32, 4, &["m68k"]),
    (Class::Elf32, 42, &["sh4", "sh"]),
    (Class::Elf32, 195, &["arc"]),
];

/// The word size and `e_machine` of modules for `arch`, a name that `uname -m` prints or a distribution uses;
/// `None` for an unknown name.
#[must_use]
pub fn machine_of_arch(arch: &str) -> Option<(Class, u16)> {
    let name = if arch.starts_with("armv") { "arm" } else { arch };
    let machine = MACHINES.iter().find(|(_, _, names)| names.contains(&name));
    machine.map(|(class, machine, _)| (*class, *machine))
}

/// The usual name of an `e_machine`, for messages; `None` for an unknown number.
#[must_use]
pub fn machine_name(class: Class, machine: u16) -> Option<&'static str> {
    let known = MACHINES.iter().find(|known| (known.0, known.1) == (class, machine));
    known.and_then(|(_, _, names)| names.first().copied())
}

#[cfg(test)]
mod tests;
