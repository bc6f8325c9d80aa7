//! The symbols a module or a kernel image offers, read from the object itself: for kernels whose headers, and with
//! them `Module.symvers`, are not installed.
//!
//! An exported symbol is an entry of `__ksymtab` (or `__ksymtab_gpl`): where it is, its name, its namespace. The
//! place in that table is also the place of its CRC in `__kcrctab` (`_gpl`) and of its flags in `__kflagstab`
//! (lowest bit: GPL only).
//! Facts: include/linux/export.h and export-internal.h, kernel/module/main.c, scripts/module.lds.S.
//!
//! | kernel | an entry |
//! |---|---|
//! | before 4.19, or without `HAVE_ARCH_PREL32_RELOCATIONS` | two words, from 5.4 on three: addresses |
//! | 4.19 to 5.3 | two times four bytes: distances from the field itself |
//! | from 5.4 on | three times four bytes, likewise |
//!
//! A CRC is a word (before 4.10) or four bytes. With `CONFIG_MODULE_REL_CRCS` (4.10 to 5.18), the four bytes are the
//! distance to it. In a module all of these may be left to relocations.

use crate::elf::ElfError;
use crate::elf::reader::{Reader, Section};
use crate::symvers::{Entry, Symvers, SymversError};

mod linked;
mod relocatable;

/// Why the exports of an object cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportsError {
    /// It is no ELF file that we can read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A kernel image without lists of symbols: it knows no modules, or the lists were stripped.
    #[error("the kernel image has no list of exported symbols (section __ksymtab)")]
    NoTable,
    /// A table whose entries lead nowhere.
    #[error("the list of exported symbols is damaged: section {section}: {reason}")]
    Damaged {
        /// The section's name.
        section: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name that no list of symbols can hold.
    #[error("the list of exported symbols is damaged: entry {}: {}", .0.line, .0.reason)]
    Name(SymversError),
}

/// The exports of a module, from the bytes of its uncompressed file (an appended signature does no harm). `name` is
/// put as the owner of every entry. A module that exports nothing has an empty list.
///
/// # Errors
/// [`ExportsError`].
pub fn of_module(bytes: &[u8], name: &str) -> Result<Symvers, ExportsError> {
    let reader = Reader::new(bytes)?;
    let sections = reader.sections()?;
    let object = relocatable::Object::new(&reader, &sections)?;
    list(&reader, &sections, &object, name)
}

/// The exports of the kernel itself (owner `vmlinux`), from the bytes of its uncompressed ELF file, stripped or not.
///
/// # Errors
/// [`ExportsError`]; [`ExportsError::NoTable`] when there are no exports at all.
pub fn of_vmlinux(bytes: &[u8]) -> Result<Symvers, ExportsError> {
    let reader = Reader::any(bytes)?;
    let sections = reader.sections()?;
    let image = linked::Image::new(&reader, &sections)?;
    let found = list(&reader, &sections, &image, "vmlinux")?;
    if found.is_empty() { Err(ExportsError::NoTable) } else { Ok(found) }
}

/// Endings of the table's names, and whether only GPL modules may use what is listed. The last three were gone with
/// Linux 5.12; `_gpl_future` only warned.
const TABLES: [(&str, bool); 5] =
    [("", false), ("_gpl", true), ("_gpl_future", false), ("_unused", false), ("_unused_gpl", true)];

/// No kernel exports more symbols than this, nor has longer names (KSYM_NAME_LEN is 512): what lies is stopped early.
const MOST: usize = 1 << 20;
const LONGEST: usize = 1024;

/// How wide the fields of an entry are, and how they lead to what they mean.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Bytes of one field.
    field: usize,
    /// Fields of one entry: 3 with a namespace, else 2.
    fields: usize,
    /// Distances instead of addresses; nothing to a relocatable file.
    relative: bool,
}

/// Where a field leads.
enum Target<'a> {
    /// It is zero.
    Nothing,
    /// To a string.
    Text(&'a str),
    /// Elsewhere.
    Other,
}

/// What differs between a linked image and a relocatable file.
trait Follow<'a> {
    type Table: 'a;
    /// Prepares a table of symbols or CRCs.
    fn table(&self, index: usize) -> Result<Self::Table, ExportsError>;
    /// Where the field at `at` leads.
    fn field(&self, table: &Self::Table, at: usize, layout: Layout) -> Target<'a>;
    /// The CRCs of a table with `count` entries of `width` bytes each.
    fn crcs(&self, table: &Self::Table, count: usize, width: usize) -> Result<Vec<u32>, ExportsError>;
}

/// A name and a namespace.
type Names<'a> = (&'a str, Option<&'a str>);

fn list<'a, F: Follow<'a>>(
    reader: &Reader<'a>,
    sections: &[Section<'a>],
    object: &F,
    owner: &str,
) -> Result<Symvers, ExportsError> {
    let find = |start: &str, end: &str| {
        sections.iter().position(|s| s.name.strip_prefix(start.as_bytes()) == Some(end.as_bytes()))
    };
    let contents = |index: usize| match sections.get(index) {
        Some(section) => reader.contents(section).map_err(ExportsError::from),
        None => Ok(&[][..]),
    };
    let mut parts = Vec::new();
    for (ending, gpl_only) in TABLES {
        let Some(index) = find("__ksymtab", ending) else { continue };
        let bytes = contents(index)?;
        if bytes.is_empty() {
            continue;
        }
        let damaged =
            |table: &str, reason| ExportsError::Damaged { section: format!("{table}{ending}"), reason };
        let table = object.table(index)?;
        let names = layouts(reader)
            .find_map(|layout| names(object, &table, bytes.len(), layout))
            .ok_or_else(|| damaged("__ksymtab", "its entries name no symbols"))?;
        let crcs = match find("__kcrctab", ending) {
            Some(index) => {
                let width = contents(index)?.len() / names.len();
                if width * names.len() != contents(index)?.len() || !matches!(width, 4 | 8) {
                    return Err(damaged("__kcrctab", "it has not one CRC for each symbol"));
                }
                object.crcs(&object.table(index)?, names.len(), width)?
            }
            None => vec![0; names.len()],
        };
        // The newest kernels have one table for all symbols, and a byte of flags for each.
        let flags = match find("__kflagstab", ending) {
            Some(index) if contents(index)?.len() == names.len() => contents(index)?,
            Some(_) => return Err(damaged("__kflagstab", "it has not one byte for each symbol")),
            None => &[],
        };
        parts.push((names, crcs, flags, gpl_only));
    }
    let entries = parts.iter().flat_map(|(names, crcs, flags, gpl_only)| {
        names.iter().zip(crcs).enumerate().map(move |(index, ((symbol, namespace), crc))| Entry {
            crc: *crc,
            symbol,
            module: owner,
            export_gpl: *gpl_only || flags.get(index).is_some_and(|flags| flags & 1 != 0),
            namespace: *namespace,
        })
    });
    Symvers::from_entries(entries).map_err(ExportsError::Name)
}

/// Every layout there was, the likeliest first. Nothing in the file tells which one it is, but only the right one
/// leads from every entry to a name.
fn layouts(reader: &Reader<'_>) -> impl Iterator<Item = Layout> {
    let word = usize::from(reader.class.bits() / 8);
    [(4, 3, true), (4, 2, true), (word, 3, false), (word, 2, false)]
        .into_iter()
        .map(|(field, fields, relative)| Layout { field, fields, relative })
}

/// The names in a table of `length` bytes, if it has this layout.
fn names<'a, F: Follow<'a>>(
    object: &F,
    table: &F::Table,
    length: usize,
    layout: Layout,
) -> Option<Vec<Names<'a>>> {
    let entry = layout.field * layout.fields;
    if length % entry != 0 || length / entry > MOST {
        return None;
    }
    let one = |at: usize| {
        // What is exported lies nowhere near the names; the first per-CPU variable has the address zero.
        if let Target::Text(_) = object.field(table, at, layout) {
            return None;
        }
        let symbol = match object.field(table, at + layout.field, layout) {
            Target::Text(name) if !name.is_empty() => name,
            _ => return None,
        };
        if layout.fields == 2 {
            return Some((symbol, None));
        }
        match object.field(table, at + 2 * layout.field, layout) {
            Target::Text(namespace) => Some((symbol, Some(namespace).filter(|name| !name.is_empty()))),
            Target::Nothing => Some((symbol, None)),
            Target::Other => None,
        }
    };
    (0..length).step_by(entry).map(one).collect()
}

/// The string at `offset` of a section of strings.
fn string(strings: &[u8], offset: u64) -> Option<&str> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().take(LONGEST + 1).position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// The section that holds names and namespaces.
fn strings<'a>(reader: &Reader<'a>, sections: &[Section<'a>]) -> Result<Option<(usize, &'a [u8])>, ElfError> {
    match sections.iter().position(|section| section.name == b"__ksymtab_strings") {
        Some(index) => {
            let section = sections.get(index).map(|section| reader.contents(section)).transpose()?;
            Ok(section.map(|bytes| (index, bytes)))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
