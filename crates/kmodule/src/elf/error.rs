//! The word size of ELF files, and the errors when reading them.

/// Word size of a module, `EI_CLASS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`
    Elf32,
    /// `ELFCLASS64`
    Elf64,
}

impl Class {
    /// 32 or 64.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        }
    }
}

/// Why bytes are not a readable kernel module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// No ELF magic number: another kind of file.
    #[error("not an ELF file{}", if *empty { ": the file is empty" } else { "" })]
    NotElf {
        /// The file has no bytes at all.
        empty: bool,
    },
    /// An ELF file with an undefined class, byte order or version.
    #[error("unknown ELF variant: {what} is {value}")]
    UnknownVariant {
        /// The header field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// An ELF file, but a program, library or core dump.
    #[error("wrong kind of ELF file: {} (a kernel module is a relocatable file)", type_name(*e_type))]
    WrongType {
        /// The header's `e_type`.
        e_type: u16,
    },
    /// The file ends before a part that its header mentions.
    #[error("file is cut short or damaged: {part} needs bytes up to {needed}, the file has {have}")]
    Truncated {
        /// The header, table or section that does not fit.
        part: String,
        /// The end of that part, in bytes from the start.
        needed: u64,
        /// Length of the file in bytes.
        have: u64,
    },
    /// A table contradicts the standard (entry size, string table index …).
    #[error("damaged ELF file: {0}")]
    Malformed(String),
    /// A relocatable file without `.modinfo`: an ordinary object file.
    #[error("not a kernel module: the object file has no .modinfo section")]
    NoModinfo,
    /// An ELF file without a section table.
    #[error("the ELF file has no table of sections")]
    NoSections,
}

fn type_name(e_type: u16) -> String {
    match e_type {
        0 => "no type".to_owned(),
        2 => "an executable".to_owned(),
        3 => "a shared library or position-independent executable".to_owned(),
        4 => "a core dump".to_owned(),
        other => format!("type {other}"),
    }
}
