//! Every format that lists of exported symbols have had, assembled as include/linux/export.h of that time
//! does it, before and after linking.

mod common;

use common::{has, run, skip};
use kmodule::exports;
use std::fs;
use std::process::Command;

/// How a kernel generation writes the lists.
struct Form {
    name: &'static str,
    /// Distances instead of addresses.
    relative: bool,
    /// There is a field for the namespace, and it is zero where there is none.
    namespaces: bool,
    /// How a CRC is written: `.WORD __crc_x`, `.long __crc_x - .` or the number itself.
    crc: Crc,
    /// One table, and flags.
    flags: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Crc {
    Word,
    Long,
    Distance,
    Number,
    None,
}

const FORMS: [Form; 7] = [
    Form { name: "4.9", relative: false, namespaces: false, crc: Crc::Word, flags: false },
    Form { name: "4.18", relative: false, namespaces: false, crc: Crc::Long, flags: false },
    Form { name: "5.3", relative: true, namespaces: false, crc: Crc::Distance, flags: false },
    Form { name: "5.10", relative: true, namespaces: true, crc: Crc::Distance, flags: false },
    Form { name: "5.10 with addresses", relative: false, namespaces: true, crc: Crc::Long, flags: false },
    Form { name: "6.12", relative: true, namespaces: true, crc: Crc::Number, flags: false },
    Form { name: "flags, no CRCs", relative: true, namespaces: true, crc: Crc::None, flags: true },
];

/// Name, CRC, GPL only, namespace.
type Symbol = (String, u32, bool, Option<&'static str>);

fn symbols(form: &Form) -> Vec<Symbol> {
    (0..23_u32)
        .map(|n| {
            let crc = if form.crc == Crc::None { 0 } else { 0x9e37_79b1_u32.wrapping_mul(n + 1) };
            let namespace = (form.namespaces && n % 4 == 1).then_some("USB_STORAGE");
            (format!("symbol_{n:02}"), crc, n % 3 == 0, namespace)
        })
        .collect()
}

fn source(form: &Form, bits: u8) -> String {
    let word = if bits == 64 { ".quad" } else { ".long" };
    let mut text = String::from(".text\n.fill 64\n");
    for (name, crc, gpl, namespace) in symbols(form) {
        let list = if gpl && !form.flags { "_gpl" } else { "" };
        let field = |target: &str| {
            if form.relative { format!(".long {target} - .\n") } else { format!("{word} {target}\n") }
        };
        text += &format!(".text\n.globl {name}\n{name}: .long 0\n");
        text += &format!(".section __ksymtab_strings,\"a\"\n__kstrtab_{name}: .asciz \"{name}\"\n");
        let mut third = format!("{} 0\n", if form.relative { ".long" } else { word });
        if let Some(namespace) = namespace {
            text += &format!("__kstrtabns_{name}: .asciz \"{namespace}\"\n");
            third = field(&format!("__kstrtabns_{name}"));
        }
        text += &format!(".section __ksymtab{list},\"a\"\n__ksymtab_{name}:\n");
        text += &field(&name);
        text += &field(&format!("__kstrtab_{name}"));
        if form.namespaces {
            text += &third;
        }
        if form.crc != Crc::None {
            text += &format!(".section __kcrctab{list},\"a\"\n");
        }
        text += &match form.crc {
            Crc::Word => format!("{word} __crc_{name}\n.globl __crc_{name}\n.set __crc_{name}, {crc:#x}\n"),
            Crc::Long => format!(".long __crc_{name}\n.globl __crc_{name}\n.set __crc_{name}, {crc:#x}\n"),
            Crc::Distance => {
                format!(".long __crc_{name} - .\n.section .rodata,\"a\"\n__crc_{name}: .long {crc:#x}\n")
            }
            Crc::Number => format!("__crc_{name}: .long {crc:#x}\n"),
            Crc::None => String::new(),
        };
        if form.flags {
            text += &format!(".section __kflagstab,\"a\"\n.byte {}\n", u8::from(gpl));
        }
    }
    text
}

#[test]
fn every_form_in_modules_and_images() {
    if !has("as") || !has("ld") || !cfg!(target_arch = "x86_64") {
        return skip("needs as and ld for x86");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for form in FORMS {
        for (bits, class, emulation) in [(64, "--64", "elf_x86_64"), (32, "--32", "elf_i386")] {
            fs::write(path("list.s"), source(&form, bits)).unwrap();
            run(Command::new("as").args([class, "-o"]).arg(path("list.o")).arg(path("list.s")));
            let linked = ["-m", emulation, "-e", "0", "-Ttext", "0x1000000", "-o"];
            run(Command::new("ld").args(linked).arg(path("vmlinux")).arg(path("list.o")));
            let stripped = ["-s", "-o"];
            run(Command::new("strip").args(stripped).arg(path("stripped")).arg(path("vmlinux")));
            let read = |name: &str| fs::read(path(name)).unwrap();
            let lists = [
                exports::read_module(&read("list.o"), "drivers/some/list"),
                exports::read_vmlinux(&read("vmlinux")),
                exports::read_vmlinux(&read("stripped")),
            ];
            for list in lists {
                let list = list.unwrap_or_else(|error| panic!("{} {bits}: {error}", form.name));
                let mut found: Vec<_> = list
                    .iter()
                    .map(|e| (e.symbol.to_owned(), e.crc, e.export_gpl, e.namespace.map(str::to_owned)))
                    .collect();
                found.sort();
                let expected: Vec<_> = symbols(&form)
                    .into_iter()
                    .map(|(name, crc, gpl, namespace)| (name, crc, gpl, namespace.map(str::to_owned)))
                    .collect();
                assert_eq!(found, expected, "{} {bits}", form.name);
            }
        }
    }
}
