//! Against real modules and headers: what `modinfo`, `modprobe` and `wc` say, we say.

mod common;

use common::{has, modules, run, skip, symvers};
use kmodule::elf::{ElfError, Module};
use kmodule::symvers::Symvers;
use kmodule::verdict::{File, KernelView, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

const KEYS: [&str; 12] = [
    "license",
    "author",
    "description",
    "version",
    "srcversion",
    "alias",
    "softdep",
    "firmware",
    "depends",
    "vermagic",
    "name",
    "parm",
];

#[test]
fn modinfo_fields_equal_those_of_the_tool() {
    let files = modules(50);
    if files.is_empty() || !has("modinfo") {
        return skip("needs modinfo and unpacked kernel modules");
    }
    let mut fields = 0;
    for file in &files {
        let module = Module::parse(&fs::read(file).unwrap()).unwrap();
        assert!(module.this_module_size.is_some());
        assert_eq!((module.class.bits(), module.machine, module.little_endian), (64, 62, true));
        for key in KEYS {
            let theirs = run(Command::new("modinfo").args(["-0", "-F", key]).arg(file));
            let theirs = String::from_utf8_lossy(&theirs).into_owned();
            let mut theirs: Vec<&str> = theirs.split_terminator('\0').collect();
            let mut ours: Vec<String> = match key {
                "parm" => parameters(&module),
                _ => module.modinfo.all(key).map(str::to_owned).collect(),
            };
            if key == "parm" {
                ours.sort();
                theirs.sort();
            }
            assert_eq!(ours, theirs, "{key} of {}", file.display());
            fields += 1;
        }
    }
    assert!(files.len() >= 40 && fields > 300, "{} modules, {fields} fields", files.len());
}

/// `name:description (type)` of every parameter, as the tool puts them together.
fn parameters(module: &Module) -> Vec<String> {
    let types: BTreeMap<&str, &str> =
        module.modinfo.all("parmtype").filter_map(|t| t.split_once(':')).collect();
    let described = module.modinfo.all("parm").filter_map(|parm| parm.split_once(':')).map(|(name, text)| {
        let kind = types.get(name).map(|kind| format!(" ({kind})")).unwrap_or_default();
        format!("{name}:{text}{kind}")
    });
    let names: BTreeSet<&str> =
        module.modinfo.all("parm").filter_map(|p| p.split_once(':')).map(|p| p.0).collect();
    let bare = types
        .iter()
        .filter(|(name, _)| !names.contains(*name))
        .map(|(name, kind)| format!("{name}: ({kind})"));
    described.chain(bare).collect()
}

#[test]
fn versions_equal_those_of_modprobe() {
    let files = modules(50);
    if files.is_empty() || !has("modprobe") {
        return skip("needs modprobe and unpacked kernel modules");
    }
    let mut total = 0;
    for file in &files {
        let module = Module::parse(&fs::read(file).unwrap()).unwrap();
        let theirs = run(Command::new("modprobe").arg("--dump-modversions").arg(file));
        let mut theirs: Vec<String> = String::from_utf8(theirs).unwrap().lines().map(str::to_owned).collect();
        let mut ours: Vec<String> =
            module.versions.iter().map(|(symbol, crc)| format!("{crc:#010x}\t{symbol}")).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{}", file.display());
        total += ours.len();
    }
    assert!(total > 1000, "{total} versions");
}

#[test]
fn undefined_symbols_equal_those_of_nm() {
    let files = modules(12);
    if files.is_empty() || !has("nm") {
        return skip("needs nm and unpacked kernel modules");
    }
    for file in &files {
        let module = Module::parse(&fs::read(file).unwrap()).unwrap();
        let theirs = String::from_utf8(run(Command::new("nm").arg(file))).unwrap();
        let pick = |kinds: &str| -> BTreeSet<String> {
            let words = theirs.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            words.filter(|w| w.len() == 2 && kinds.contains(w[0])).map(|w| w[1].to_owned()).collect()
        };
        let ours = |weak: bool| -> BTreeSet<String> {
            module
                .undefined
                .iter()
                .filter(|symbol| symbol.weak == weak)
                .map(|symbol| symbol.name.clone())
                .collect()
        };
        assert_eq!(ours(false), pick("U"), "{}", file.display());
        assert_eq!(ours(true), pick("wv"), "{}", file.display());
        let exports: BTreeSet<String> = theirs
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2)?.strip_prefix("__ksymtab_").map(str::to_owned))
            .collect();
        assert_eq!(module.exports.iter().cloned().collect::<BTreeSet<_>>(), exports, "{}", file.display());
    }
}

#[test]
fn symvers_of_real_headers() {
    let files = symvers();
    if files.is_empty() {
        return skip("needs kernel headers with a Module.symvers");
    }
    for file in &files {
        let text = fs::read(file).unwrap();
        let list = Symvers::from_vec(text.clone()).unwrap();
        assert_eq!(list.iter().count(), text.iter().filter(|byte| **byte == b'\n').count());
        let text = String::from_utf8(text).unwrap();
        for line in text.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let entry = list.lookup(columns[1]).unwrap();
            assert_eq!(format!("{:#010x}", entry.crc), columns[0]);
            assert_eq!(entry.module, columns[2], "{line}");
            assert_eq!(entry.export_gpl, columns[3] == "EXPORT_SYMBOL_GPL");
            assert_eq!(entry.namespace.unwrap_or_default(), columns[4]);
        }
        assert!(list.lookup("no_such_symbol_anywhere").is_none());
    }
}

/// Real modules against the exports of all modules of the same kernel: nothing may be wrong but the symbols
/// that vmlinux exports, which no file here lists. And against another kernel: refused.
#[test]
fn verdict_on_real_modules() {
    let files = modules(40);
    let headers: Vec<_> =
        symvers().into_iter().filter(|file| file.to_string_lossy().contains("headers-6.1.")).collect();
    let Some(header) = headers.first().filter(|_| !files.is_empty()) else {
        return skip("needs 6.1 headers and unpacked 6.1 modules");
    };
    let list = Symvers::from_vec(fs::read(header).unwrap()).unwrap();
    for file in &files {
        let bytes = fs::read(file).unwrap();
        let (module, read) = (Module::parse(&bytes).unwrap(), File::read(&bytes, 200 << 20));
        let release = module.modinfo.vermagic_release().unwrap().to_owned();
        let mut view = KernelView::new(&release, "x86_64");
        assert!(read.judge(&view).refusals.is_empty(), "{}", file.display());
        view.arch = "aarch64";
        assert!(matches!(read.judge(&view).refusals[..], [Reason::WrongMachine { .. }]));
        view.arch = "x86_64";
        view.release = "6.2.0";
        assert!(matches!(read.judge(&view).refusals[..], [Reason::Vermagic { .. }]));
        // Another flavour of the same source: the CRCs differ for some, and every complaint is about symbols.
        view.release = &release;
        view.symbols = Some(&list);
        view.modversions = true;
        for reason in read.judge(&view).refusals {
            assert!(
                matches!(reason, Reason::UnknownSymbol { .. } | Reason::DisagreesAboutVersion { .. }),
                "{}: {reason}",
                file.display()
            );
        }
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let own = fs::read("/proc/self/exe").unwrap();
    assert!(matches!(Module::parse(&own), Err(ElfError::WrongType { e_type: 3 })));
    assert_eq!(Module::parse(b""), Err(ElfError::NotElf { empty: true }));
    assert_eq!(Module::parse(b"#!/bin/sh\n"), Err(ElfError::NotElf { empty: false }));
}
