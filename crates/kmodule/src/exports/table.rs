//! The common parts of the tables of exported symbols in linked images and in relocatable files.

use crate::elf::ElfError;
use crate::elf::reader::{Reader, Section};
use crate::symvers::SymversError;

/// The longest accepted name in bytes: kernels allow 512 (KSYM_NAME_LEN).
const LONGEST: usize = 1024;

/// Why the exports of an object cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportsError {
    /// It is not a readable ELF file.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A kernel image without lists of symbols: it was built without modules, or the lists were stripped.
    #[error("the kernel image has no list of exported symbols (section __ksymtab)")]
    NoTable,
    /// A table of symbols, CRCs or flags that cannot be read.
    #[error("the list of exported symbols is damaged: section {section}: {reason}")]
    Damaged {
        /// The section's name.
        section: String,
        /// The damage.
        reason: &'static str,
    },
    /// A name that no list of symbols can contain.
    #[error("the list of exported symbols is damaged: entry {}: {}", .0.line, .0.reason)]
    Name(SymversError),
}

/// The width of the fields of an entry, and how they refer to their target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// The number of bytes of a field.
    pub(super) field: usize,
    /// The number of fields of an entry: 3 with a namespace, otherwise 2.
    pub(super) fields: usize,
    /// The fields contain distances, not addresses; the same in a relocatable file.
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

/// Reads the fields of tables. This differs between linked images and relocatable files.
pub(super) trait TableReader<'a> {
    type Table: 'a;
    /// Prepares a table of symbols or CRCs.
    fn table(&self, index: usize) -> Result<Self::Table, ExportsError>;
    /// The target of the field at `at`.
    fn field(&self, table: &Self::Table, at: usize, layout: Layout) -> Target<'a>;
    /// The CRCs of a table with `count` entries of `width` bytes each.
    fn crcs(&self, table: &Self::Table, count: usize, width: usize) -> Result<Vec<u32>, ExportsError>;
}

/// The name or namespace at `offset` in the section that contains them.
pub(super) fn name_at(strings: &[u8], offset: u64) -> Option<&str> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// Index and bytes of the section that contains names and namespaces; `None` if there is none.
pub(super) fn find_names<'a>(
    reader: &Reader<'a>,
    sections: &[Section<'a>],
) -> Result<Option<(usize, &'a [u8])>, ElfError> {
    let named = sections.iter().enumerate().find(|(_, section)| section.name == b"__ksymtab_strings");
    named.map(|(index, section)| Ok((index, reader.contents(section)?))).transpose()
}
