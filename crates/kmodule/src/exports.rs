//! The symbols that a module or a kernel image exports, read from the object itself. This is for kernels
//! whose headers, which contain `Module.symvers`, are not installed.
//!
//! An exported symbol is an entry of `__ksymtab` (or `__ksymtab_gpl`): its address, its name, its namespace.
//! Its CRC has the same index in `__kcrctab` (`_gpl`), its flags in `__kflagstab` (lowest bit: GPL only).
//! Sources: include/linux/export.h and export-internal.h, kernel/module/main.c, scripts/module.lds.S.
//!
//! | kernel | an entry |
//! |---|---|
//! | before 4.19, or without `HAVE_ARCH_PREL32_RELOCATIONS` | two words, since 5.4 three: addresses |
//! | 4.19 to 5.3 | two fields of four bytes: distances from the field itself |
//! | since 5.4 | three fields of four bytes, likewise |
//!
//! A CRC is a word (before 4.10) or four bytes. With `CONFIG_MODULE_REL_CRCS` (4.10 to 5.18), the four bytes
//! are the distance to it. In a module, relocations can fill all of these.

use crate::elf::reader::{Reader, Section};
use crate::symvers::{Entry, Symvers};
use table::{Layout, TableReader, Target};

mod linked;
mod relocatable;
mod table;
pub use table::ExportsError;

/// Reads the exports of a module from the bytes of its uncompressed file; an appended signature is ignored.
/// `name` becomes the owner of every entry. The list of a module without exports is empty.
///
/// # Errors
/// [`ExportsError`].
pub fn read_module(bytes: &[u8], name: &str) -> Result<Symvers, ExportsError> {
    let reader = Reader::new(bytes)?;
    let sections = reader.sections()?;
    let object = relocatable::Object::new(&reader, &sections)?;
    read_tables(&reader, &sections, &object, name)
}

/// Reads the exports of the kernel itself (owner `vmlinux`) from the bytes of its uncompressed ELF file,
/// which may be stripped.
///
/// # Errors
/// [`ExportsError`]; [`ExportsError::NoTable`] if there are no exports at all.
pub fn read_vmlinux(bytes: &[u8]) -> Result<Symvers, ExportsError> {
    let reader = Reader::any(bytes)?;
    let sections = reader.sections()?;
    let image = linked::Image::new(&reader, &sections)?;
    let exports = read_tables(&reader, &sections, &image, "vmlinux")?;
    if exports.is_empty() { Err(ExportsError::NoTable) } else { Ok(exports) }
}

/// The endings of the tables' names, and whether only GPL modules may use the symbols. Linux 5.12 removed the
/// last three tables; `_gpl_future` only caused a warning.
const TABLES: [(&str, bool); 5] =
    [("", false), ("_gpl", true), ("_gpl_future", false), ("_unused", false), ("_unused_gpl", true)];

/// No kernel exports more symbols than this. The limit stops the reading of forged tables.
const MOST: usize = 1 << 20;

/// A name and a namespace.
type Names<'a> = (&'a str, Option<&'a str>);

fn read_tables<'a, F: TableReader<'a>>(
    reader: &Reader<'a>,
    sections: &[Section<'a>],
    object: &F,
    owner: &str,
) -> Result<Symvers, ExportsError> {
    let mut entries = Vec::new();
    for (ending, gpl_only) in TABLES {
        let find = |start: &str| {
            let named = |section: &Section<'_>| section.name == format!("{start}{ending}").as_bytes();
            sections.iter().enumerate().find(|(_, section)| named(section))
        };
        let damaged =
            |table: &str, reason| ExportsError::Damaged { section: format!("{table}{ending}"), reason };
        let Some((index, section)) = find("__ksymtab") else { continue };
        let length = reader.contents(section)?.len();
        if length == 0 {
            continue;
        }
        let table = object.table(index)?;
        let names = layouts(reader)
            .find_map(|layout| read_names(object, &table, length, layout))
            .ok_or_else(|| damaged("__ksymtab", "its entries name no symbols"))?;
        let crcs = match find("__kcrctab") {
            Some((index, section)) => {
                let bytes = reader.contents(section)?.len();
                let width = bytes / names.len();
                if width * names.len() != bytes || !matches!(width, 4 | 8) {
                    return Err(damaged("__kcrctab", "it does not have one CRC for each symbol"));
                }
                object.crcs(&object.table(index)?, names.len(), width)?
            }
            None => vec![0; names.len()],
        };
        // The newest kernels have one table for all symbols, and a byte of flags for each.
        let flags = match find("__kflagstab") {
            Some((_, section)) => {
                let flags = reader.contents(section)?;
                if flags.len() != names.len() {
                    return Err(damaged("__kflagstab", "it does not have one byte for each symbol"));
                }
                flags.to_vec()
            }
            None => vec![0; names.len()],
        };
        entries.extend(names.into_iter().zip(crcs).zip(flags).map(|(((symbol, namespace), crc), flags)| {
            Entry { crc, symbol, module: owner, export_gpl: gpl_only || flags & 1 != 0, namespace }
        }));
    }
    Symvers::from_entries(entries.into_iter()).map_err(ExportsError::Name)
}

/// All layouts, the most likely first. The file does not record its layout, but only with the right one does
/// every entry lead to a name.
fn layouts(reader: &Reader<'_>) -> impl Iterator<Item = Layout> {
    let word = usize::from(reader.class.bits() / 8);
    [(4, 3, true), (4, 2, true), (word, 3, false), (word, 2, false)]
        .into_iter()
        .map(|(field, fields, relative)| Layout { field, fields, relative })
}

/// The names in a table of `length` bytes, if it has this layout.
fn read_names<'a, F: TableReader<'a>>(
    object: &F,
    table: &F::Table,
    length: usize,
    layout: Layout,
) -> Option<Vec<Names<'a>>> {
    let entry = layout.field * layout.fields;
    if length % entry != 0 || length / entry > MOST {
        return None;
    }
    let read_entry = |at: usize| {
        // An exported symbol is never among the names; the first per-CPU variable has the address zero.
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
    (0..length).step_by(entry).map(read_entry).collect()
}

#[cfg(test)]
mod tests;
