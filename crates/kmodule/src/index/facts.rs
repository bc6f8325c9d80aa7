//! The data that depmod reads from a module file.

use super::decline::Decline;
use crate::elf::reader::{LONGEST_NAME, Reader, Section, string_at, until_nul};
use std::collections::{HashMap, HashSet};

/// Symbol names are read up to this length, and kmod copies aliases into a buffer of `PATH_MAX` bytes.
const LONGEST: usize = LONGEST_NAME;

/// The data that one module contributes to the index. It depends only on the file's contents, so it can be
/// cached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Symbols that the module exports.
    pub exports: Vec<&'a str>,
    /// Symbols that it needs: first the undefined symbols of its symbol table, in that order, then those that
    /// are only in `__versions`.
    pub needs: Vec<&'a str>,
    /// Values of `alias` in `.modinfo`, in order.
    pub aliases: Vec<&'a str>,
    /// Values of `softdep`, in order.
    pub softdeps: Vec<&'a str>,
    /// Values of `weakdep`, in order (kmod 33 and newer list them).
    pub weakdeps: Vec<&'a str>,
}

impl<'a> Facts<'a> {
    /// Reads an uncompressed module.
    ///
    /// # Errors
    /// Anything that kmod might interpret differently: a file that is not an ELF object, two sections with
    /// the same name, tables of unexpected sizes, names outside ASCII.
    pub fn read(module: &'a [u8]) -> Result<Self, Decline> {
        let reader = Reader::new(module)?;
        // EM_SPARC, EM_SPARC32PLUS, EM_SPARCV9: register symbols look undefined on these architectures.
        if [2, 18, 43].contains(&reader.machine) {
            return Err(Decline::Sparc);
        }
        let file = File { sections: reader.sections()?, reader };
        let mut facts = Self { exports: file.exports()?, needs: file.needs()?, ..Self::default() };
        for entry in file.contents(".modinfo")?.split(|byte| *byte == 0) {
            for (key, list) in [
                (&b"alias="[..], &mut facts.aliases),
                (b"softdep=", &mut facts.softdeps),
                (b"weakdep=", &mut facts.weakdeps),
            ] {
                if let Some(value) = entry.strip_prefix(key) {
                    list.push(text(value)?);
                }
            }
            // A key without a value is an entry with an empty value.
            if [&b"alias"[..], b"softdep", b"weakdep"].contains(&entry) {
                return Err(Decline::DamagedModule("an entry of .modinfo has no value"));
            }
        }
        Ok(facts)
    }

    /// Formats the facts as lines of text: a letter, a blank, and a name or value.
    pub fn append_to(&self, text: &mut String) {
        for (letter, list) in self.lists() {
            for value in list {
                text.push(letter);
                text.push(' ');
                text.push_str(value);
                text.push('\n');
            }
        }
    }

    /// Parses the output of [`Facts::append_to`]. Other lines are ignored.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            let (kind, value) = line.split_at_checked(2).unwrap_or_default();
            match kind {
                "e " => facts.exports.push(value),
                "n " => facts.needs.push(value),
                "a " => facts.aliases.push(value),
                "s " => facts.softdeps.push(value),
                "w " => facts.weakdeps.push(value),
                _ => {}
            }
        }
        facts
    }

    fn lists(&self) -> [(char, &[&'a str]); 5] {
        [
            ('e', &self.exports),
            ('n', &self.needs),
            ('a', &self.aliases),
            ('s', &self.softdeps),
            ('w', &self.weakdeps),
        ]
    }
}

struct File<'a> {
    reader: Reader<'a>,
    sections: Vec<Section<'a>>,
}

impl<'a> File<'a> {
    /// The bytes of the section with this name; empty if there is no such section.
    fn contents(&self, name: &'static str) -> Result<&'a [u8], Decline> {
        let mut sections = self.sections.iter().skip(1).filter(|section| section.name == name.as_bytes());
        let Some(section) = sections.next() else { return Ok(&[]) };
        if sections.next().is_some() {
            return Err(Decline::DuplicateSection(name));
        }
        Ok(self.reader.contents(section)?)
    }

    /// The symbol table and its strings.
    fn symbols(&self) -> Result<(&'a [u8], &'a [u8]), Decline> {
        let (table, strings) = (self.contents(".symtab")?, self.contents(".strtab")?);
        let entry = usize::from(self.reader.class.bits()) / 8 * 2 + 8;
        if table.len() % entry != 0 {
            return Err(Decline::DamagedModule("the symbol table ends in the middle of an entry"));
        }
        Ok((table, strings))
    }

    /// The names of `__crc_` symbols without that prefix; if there are none, the strings of
    /// `__ksymtab_strings`.
    fn exports(&self) -> Result<Vec<&'a str>, Decline> {
        let (table, strings) = self.symbols()?;
        let mut exports = Vec::new();
        for symbol in self.reader.symbols_in(table).skip(1) {
            if symbol.name >= strings.len() {
                return Err(Decline::DamagedModule("a symbol's name is outside the string table"));
            }
            if let Some(name) = string_at(strings, symbol.name).strip_prefix(b"__crc_") {
                exports.push(text(name)?);
            }
        }
        if exports.is_empty() {
            let names = self.contents("__ksymtab_strings")?.split(|byte| *byte == 0);
            exports = names.filter(|name| !name.is_empty()).map(text).collect::<Result<_, _>>()?;
        }
        Ok(exports)
    }

    /// The undefined symbols, then the other symbols in `__versions`.
    fn needs(&self) -> Result<Vec<&'a str>, Decline> {
        let (table, strings) = self.symbols()?;
        let versions = self.versions()?;
        // An entry counts as seen if it is the first with its name and a symbol has that name.
        let first: HashMap<&[u8], usize> =
            versions.iter().enumerate().rev().map(|(index, name)| (*name, index)).collect();
        let mut seen: HashSet<&usize> = HashSet::new();
        let mut needs = Vec::new();
        for symbol in self.reader.symbols_in(table).skip(1).filter(|symbol| symbol.section == 0) {
            let name = string_at(strings, symbol.name);
            if name.is_empty() {
                continue;
            }
            seen.extend(first.get(name));
            needs.push(text(name)?);
        }
        for (_, name) in versions.iter().enumerate().filter(|(index, _)| !seen.contains(index)) {
            needs.push(text(name)?);
        }
        Ok(needs)
    }

    /// The names in `__versions`, in order. Each entry has 64 bytes: a CRC of word size, and the name.
    fn versions(&self) -> Result<Vec<&'a [u8]>, Decline> {
        const ENTRY: usize = 64;
        let word = usize::from(self.reader.class.bits()) / 8;
        let table = self.contents("__versions")?;
        if table.len() % ENTRY != 0 {
            return Err(Decline::DamagedModule("__versions ends in the middle of an entry"));
        }
        let name = |entry: &'a [u8]| until_nul(entry.get(word..).unwrap_or_default());
        let names: Vec<&[u8]> = table.chunks_exact(ENTRY).map(name).collect();
        if names.iter().any(|name| name.len() == ENTRY - word) {
            return Err(Decline::DamagedModule("a name in __versions is not terminated"));
        }
        Ok(names)
    }
}

/// A name or value as text, if it is short enough for kmod, ASCII, and without a newline.
fn text(bytes: &[u8]) -> Result<&str, Decline> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii() && !text.contains('\n'));
    match text {
        Some(text) if text.len() < LONGEST => Ok(text),
        Some(_) => Err(Decline::TooLong(LONGEST)),
        None => {
            let start: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
            Err(Decline::NotAscii(start.escape_debug().to_string()))
        }
    }
}
