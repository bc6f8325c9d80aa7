//! Tests with a small ELF writer, for word sizes, byte orders and layouts that no machine here produces.

use super::{Class, ElfError, Module, UndefinedSymbol, machine_name, machine_of_arch};

/// MIPS: its kernels have every word size and byte order.
const MACHINE: u16 = 8;

struct Image {
    class: Class,
    little: bool,
    machine: u16,
    sections: Vec<(&'static str, u32, u32, Vec<u8>)>,
    /// Keep section count and name index in the first section header.
    extended: bool,
}

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;

impl Image {
    fn new(class: Class, little: bool) -> Image {
        Image { class, little, machine: MACHINE, sections: vec![("", 0, 0, Vec::new())], extended: false }
    }

    fn with(mut self, name: &'static str, kind: u32, link: u32, body: Vec<u8>) -> Image {
        self.sections.push((name, kind, link, body));
        self
    }

    fn number(&self, value: u64, length: usize) -> Vec<u8> {
        if self.little {
            value.to_le_bytes()[..length].to_vec()
        } else {
            value.to_be_bytes()[8 - length..].to_vec()
        }
    }

    fn wide(&self, value: u64) -> Vec<u8> {
        self.number(value, usize::from(self.class.bits() / 8))
    }

    fn symbol(&self, name: u64, info: u8, section: u64) -> Vec<u8> {
        let (name, section) = (self.number(name, 4), self.number(section, 2));
        match self.class {
            Class::Elf32 => [&name[..], &[0; 8], &[info, 0], &section].concat(),
            Class::Elf64 => [&name[..], &[info, 0], &section, &[0; 16]].concat(),
        }
    }

    fn bytes(mut self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut offsets: Vec<u64> = Vec::new();
        self.sections.push((".shstrtab", STRTAB, 0, Vec::new()));
        for (name, ..) in &self.sections {
            offsets.push(names.len() as u64);
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        let last = self.sections.len() - 1;
        self.sections[last].3 = names;
        let (header, entry) = if self.class == Class::Elf32 { (52, 40) } else { (64, 64) };
        let mut body = Vec::new();
        let mut table = Vec::new();
        for (index, (_, kind, link, content)) in self.sections.iter().enumerate() {
            let symbol_size = if self.class == Class::Elf32 { 16 } else { 24 };
            let (mut size, mut link) = (content.len() as u64, u64::from(*link));
            if index == 0 && self.extended {
                (size, link) = (self.sections.len() as u64, last as u64);
            }
            table.extend(self.number(offsets[index], 4));
            table.extend(self.number(u64::from(*kind), 4));
            table.extend(self.wide(0));
            table.extend(self.wide(0));
            table.extend(self.wide(header + body.len() as u64));
            table.extend(self.wide(size));
            table.extend(self.number(link, 4));
            table.extend(self.number(0, 4));
            table.extend(self.wide(1));
            table.extend(self.wide(if *kind == SYMTAB { symbol_size } else { 0 }));
            body.extend_from_slice(content);
        }
        let class = if self.class == Class::Elf32 { 1 } else { 2 };
        let mut out = vec![0x7f, b'E', b'L', b'F', class, if self.little { 1 } else { 2 }, 1];
        out.resize(16, 0);
        out.extend(self.number(1, 2));
        out.extend(self.number(u64::from(self.machine), 2));
        out.extend(self.number(1, 4));
        out.extend(self.wide(0));
        out.extend(self.wide(0));
        out.extend(self.wide(header + body.len() as u64));
        out.extend(self.number(0, 4));
        out.extend(self.number(header, 2));
        out.extend(self.number(0, 4));
        out.extend(self.number(entry, 2));
        let count = if self.extended { 0 } else { self.sections.len() as u64 };
        out.extend(self.number(count, 2));
        out.extend(self.number(if self.extended { 0xffff } else { last as u64 }, 2));
        [out, body, table].concat()
    }
}

/// A module with everything in it, in one word size and byte order.
fn image(class: Class, little: bool) -> Image {
    let image = Image::new(class, little);
    let word = usize::from(class.bits() / 8);
    let mut versions = Vec::new();
    for (crc, name) in [(0xdead_beef_u64, "printk"), (7, ".dotted")] {
        versions.extend(image.number(crc, word));
        versions.extend_from_slice(name.as_bytes());
        versions.resize(versions.len().div_ceil(64) * 64, 0);
    }
    let names = b"\0printk\0maybe\0__ksymtab_offered\0local\0".to_vec();
    let symbols = [
        image.symbol(0, 0, 0),
        image.symbol(1, 0x10, 0),
        image.symbol(8, 0x20, 0),
        image.symbol(14, 0, 1),
        image.symbol(32, 0, 1),
    ]
    .concat();
    image
        .with(".modinfo", PROGBITS, 0, b"license=GPL\0vermagic=6.1.0 SMP \0".to_vec())
        .with("__versions", PROGBITS, 0, versions)
        .with(".gnu.linkonce.this_module", PROGBITS, 0, vec![0; 8])
        .with(".strtab", STRTAB, 0, names)
        .with(".symtab", SYMTAB, 4, symbols)
}

#[test]
fn every_word_size_and_byte_order() {
    for class in [Class::Elf32, Class::Elf64] {
        for little in [true, false] {
            for extended in [false, true] {
                let mut image = image(class, little);
                image.extended = extended;
                let module = Module::parse(&image.bytes()).unwrap();
                assert_eq!((module.class, module.little_endian, module.machine), (class, little, MACHINE));
                assert_eq!(module.modinfo.license(), Some("GPL"));
                assert_eq!(module.this_module_size, Some(8));
                let versions = [("printk".to_owned(), 0xdead_beef), ("dotted".to_owned(), 7)];
                assert_eq!(module.versions, versions);
                let undefined = [("printk", false), ("maybe", true)]
                    .map(|(name, weak)| UndefinedSymbol { name: name.to_owned(), weak });
                assert_eq!(module.undefined, undefined);
                assert_eq!(module.exports, ["offered"]);
            }
        }
    }
}

#[test]
fn extended_versions_have_priority() {
    let image = image(Class::Elf64, false);
    let crcs = [image.number(1, 4), image.number(0xffff_fffe, 4)].concat();
    let long = "a_name_that_is_longer_than_the_56_bytes_which_the_old_section_has_for_it";
    let names = format!("short\0{long}\0").into_bytes();
    let bytes = image
        .with("__version_ext_crcs", PROGBITS, 0, crcs)
        .with("__version_ext_names", PROGBITS, 0, names)
        .bytes();
    let versions = Module::parse(&bytes).unwrap().versions;
    assert_eq!(versions, [("short".to_owned(), 1), (long.to_owned(), 0xffff_fffe)]);
}

#[test]
fn missing_parts_are_reported() {
    let plain = Image::new(Class::Elf64, true).with(".text", PROGBITS, 0, vec![0; 4]).bytes();
    assert_eq!(Module::parse(&plain), Err(ElfError::NoModinfo));
    let unfinished = Image::new(Class::Elf64, true).with(".modinfo", PROGBITS, 0, b"a=b\0".to_vec()).bytes();
    assert_eq!(Module::parse(&unfinished).unwrap().this_module_size, None);

    let whole = image(Class::Elf64, true).bytes();
    let error = Module::parse(&whole[..whole.len() - 1]).unwrap_err();
    assert!(error.to_string().contains("section table"), "{error}");
    assert!(matches!(Module::parse(&whole[..20]), Err(ElfError::Truncated { .. })));
    assert!(matches!(Module::parse(&whole[..10]), Err(ElfError::Truncated { .. })));

    let mut bad = whole.clone();
    bad[16] = 2;
    assert_eq!(Module::parse(&bad), Err(ElfError::WrongType { e_type: 2 }));
    bad[4] = 9;
    assert!(matches!(Module::parse(&bad), Err(ElfError::UnknownVariant { value: 9, .. })));
    // An x86-64 kernel ignores these bytes.
    let mut x86 = whole;
    (x86[4], x86[5], x86[18]) = (9, 9, 62);
    assert_eq!(Module::parse(&x86).unwrap().class, Class::Elf64);
}

#[test]
fn a_section_beyond_the_end_is_reported() {
    let whole = image(Class::Elf64, true).bytes();
    let table = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let mut bad = whole;
    // The size of section 1, .modinfo.
    bad[table + 64 + 32..table + 64 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = Module::parse(&bad).unwrap_err();
    assert!(error.to_string().contains(".modinfo"), "{error}");
}

#[test]
fn machines_have_one_name_each() {
    let cases = [
        ("x86_64", 64, 62),
        ("aarch64", 64, 183),
        ("i686", 32, 3),
        ("armv7l", 32, 40),
        ("ppc64le", 64, 21),
        ("s390x", 64, 22),
        ("riscv64", 64, 243),
        ("loongarch64", 64, 258),
    ];
    for (arch, bits, machine) in cases {
        let (class, number) = machine_of_arch(arch).unwrap();
        assert_eq!((class.bits(), number), (bits, machine), "{arch}");
        assert!(machine_name(class, number).is_some());
    }
    assert_eq!(machine_of_arch("pdp11"), None);
}
