//! What tables of exported symbols have in common in linked images and in relocatable files.

use crate::elf::ElfError;
use crate::elf::reader::{Reader, Section};
use crate::symvers::SymversError;

/// The longest name: kernels allow 512 bytes (KSYM_NAME_LEN).
const LONGEST: usize = 1024;

/// Why the exports of an object cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportsError {
    /// It is not a readable ELF file.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A kernel image without lists of symbols: it is built without modules, or the lists were stripped.
    #[error("the kernel image has no list of exported symbols (section __ksymtab)")]
    NoTable,
    /// A table whose entries do not refer to anything.
    #[error("the list of exported symbols is damaged: section {section}: {reason}")]
    Damaged {
        /// The section's name.
        section: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that no list of symbols can contain.
    #[error("the list of exported symbols is damaged: entry {}: {}", .0.line, .0.reason)]
    Name(SymversError),
}

/// The width of the fields of an entry, and how they refer to their target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Bytes of one field.
    pub(super) field: usize,
    /// Fields of one entry: 3 with a namespace, otherwise 2.
    pub(super) fields: usize,
    /// Distances instead of addresses; no difference in a relocatable file.
    pub(super) relative: bool,
}

/// The target of a field.
pub(super) enum Target<'a> {
    /// The field is zero.
    Nothing,
    /// A string.
    Text(&'a str),
    /// Something else.
    Other,
}

/// What differs between a linked image and a relocatable file.
pub(super) trait Follow<'a> {
    type Table: 'a;
    /// Prepares a table of symbols or CRCs.
    fn table(&self, index: usize) -> Result<Self::Table, ExportsError>;
    /// The target of the field at `at`.
    fn field(&self, table: &Self::Table, at: usize, layout: Layout) -> Target<'a>;
    /// The CRCs of a table with `count` entries of `width` bytes each.
    fn crcs(&self, table: &Self::Table, count: usize, width: usize) -> Result<Vec<u32>, ExportsError>;
}

/// The string at `offset` of a section of strings.
pub(super) fn string(strings: &[u8], offset: u64) -> Option<&str> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// The section that contains names and namespaces.
pub(super) fn strings<'a>(
    reader: &Reader<'a>,
    sections: &[Section<'a>],
) -> Result<Option<(usize, &'a [u8])>, ElfError> {
    let found = sections.iter().enumerate().find(|(_, section)| section.name == b"__ksymtab_strings");
    found.map(|(index, section)| Ok((index, reader.contents(section)?))).transpose()
}
