use super::{KernelView, Reason, check, is_gpl_compatible};
use crate::elf::{Class, Module, UndefinedSymbol};
use crate::modinfo::ModInfo;
use crate::symvers::Symvers;

fn module(modinfo: &str, undefined: &[(&str, bool)], versions: &[(&str, u32)]) -> Module {
    Module {
        class: Class::Elf64,
        little_endian: true,
        machine: 62,
        modinfo: ModInfo::from_section(modinfo.replace('|', "\0").as_bytes()),
        has_this_module: true,
        versions: versions.iter().map(|(symbol, crc)| ((*symbol).to_owned(), *crc)).collect(),
        undefined: undefined
            .iter()
            .map(|(name, weak)| UndefinedSymbol { name: (*name).to_owned(), weak: *weak })
            .collect(),
        exports: Vec::new(),
    }
}

const GOOD: &str = "license=GPL|name=my_driver|vermagic=6.1.0 SMP ";

fn kernel() -> Symvers {
    Symvers::parse(
        b"0x00000001\tplain\tvmlinux\tEXPORT_SYMBOL\t\n\
          0x00000002\tfree\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
          0x00000003\tspaced\tvmlinux\tEXPORT_SYMBOL\tSPACE\n\
          0x00000004\tchosen\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:kvm-intel,my-*\n",
    )
    .unwrap()
}

fn symbol(name: &str) -> String {
    name.to_owned()
}

#[test]
fn refusals_and_notes() {
    let list = kernel();
    let mut view = KernelView::new("6.1.0", "x86_64");
    view.symvers = Some(&list);
    view.modversions = true;
    let versions: &[(&str, u32)] = &[("plain", 1), ("free", 2), ("spaced", 3), ("chosen", 4)];
    let proprietary = "license=Proprietary|vermagic=6.1.0 SMP ";
    let taints = Reason::Taints { license: symbol("Proprietary") };
    type Case<'a> = (&'a str, Module, Vec<Reason>, Vec<Reason>);
    let cases: Vec<Case<'_>> = vec![
        (
            "all well",
            module(GOOD, &[("plain", false), ("free", false), ("chosen", false)], versions),
            vec![],
            vec![],
        ),
        ("weak may be missing", module(GOOD, &[("nobody", true)], versions), vec![], vec![]),
        ("made by the loader", module(GOOD, &[("_GLOBAL_OFFSET_TABLE_", false)], versions), vec![], vec![]),
        (
            "unknown",
            module(GOOD, &[("nobody", false)], versions),
            vec![Reason::UnknownSymbol { symbol: symbol("nobody") }],
            vec![],
        ),
        (
            "other CRC",
            module(GOOD, &[("plain", false)], &[("plain", 9)]),
            vec![Reason::DisagreesAboutVersion { symbol: symbol("plain"), module_crc: 9, kernel_crc: 1 }],
            vec![],
        ),
        (
            "one CRC missing",
            module(GOOD, &[("plain", false)], &[("free", 2)]),
            vec![],
            vec![Reason::NoSymbolVersion { symbol: symbol("plain") }],
        ),
        ("no CRC at all", module(GOOD, &[("plain", false)], &[]), vec![], vec![Reason::NoVersions]),
        ("needs nothing", module(GOOD, &[], &[]), vec![], vec![]),
        (
            "GPL-only",
            module(proprietary, &[("free", false), ("plain", false)], versions),
            vec![Reason::GplOnly { symbol: symbol("free"), license: symbol("Proprietary") }],
            vec![taints],
        ),
        (
            "namespace",
            module(GOOD, &[("spaced", false)], versions),
            vec![Reason::Namespace { symbol: symbol("spaced"), namespace: symbol("SPACE") }],
            vec![],
        ),
        (
            "namespace imported",
            module(&format!("{GOOD}|import_ns=OTHER|import_ns=SPACE"), &[("spaced", false)], versions),
            vec![],
            vec![],
        ),
        (
            "for chosen modules",
            module("license=GPL|name=other|vermagic=6.1.0 ", &[("chosen", false)], versions),
            vec![Reason::Namespace { symbol: symbol("chosen"), namespace: symbol("module:kvm-intel,my-*") }],
            vec![],
        ),
        ("no vermagic", module("license=GPL", &[], versions), vec![Reason::NoVermagic], vec![]),
        (
            "other kernel",
            module("license=GPL|vermagic=6.1.00 SMP ", &[], versions),
            vec![Reason::Vermagic { module: symbol("6.1.00 SMP "), kernel: symbol("6.1.0") }],
            vec![],
        ),
    ];
    for (what, module, refusals, notes) in cases {
        let verdict = check(&module, &view);
        assert_eq!((&verdict.refusals, &verdict.notes), (&refusals, &notes), "{what}");
        assert_eq!(verdict.loads(), refusals.is_empty());
        for reason in refusals.iter().chain(&notes) {
            assert!(!reason.to_string().is_empty() && !reason.advice().is_empty());
        }
    }
}

#[test]
fn settings_of_the_kernel_decide() {
    let list = kernel();
    let mut view = KernelView::new("6.1.0", "x86_64");
    view.symvers = Some(&list);
    let bare = module(GOOD, &[("plain", false), ("spaced", false)], &[]);
    view.allow_missing_namespaces = true;
    assert!(check(&bare, &view).loads());
    view.modversions = true;
    view.force_load = false;
    assert_eq!(check(&bare, &view).refusals, [Reason::NoVersions]);
    // What a dependency exports counts, and before the kernel's own.
    let extra =
        Symvers::parse(b"0x00000009\tplain\tdep\tEXPORT_SYMBOL\n0x00000005\tadded\tdep\tEXPORT_SYMBOL\n")
            .unwrap();
    let lists = [&extra];
    view.extra = &lists;
    let needs = module(GOOD, &[("plain", false), ("added", false)], &[("plain", 9), ("added", 5)]);
    assert_eq!(check(&needs, &view).refusals, []);
    view.vermagic = Some("6.1.0 SMP preempt ");
    assert!(matches!(check(&needs, &view).refusals[..], [Reason::Vermagic { .. }]));
}

#[test]
fn machines() {
    let cases = [("x86_64", true), ("amd64", true), ("i686", false), ("aarch64", false), ("ppc64le", false)];
    for (arch, loads) in cases {
        assert_eq!(check(&module(GOOD, &[], &[]), &KernelView::new("6.1.0", arch)).loads(), loads, "{arch}");
    }
    let verdict = check(&module(GOOD, &[], &[]), &KernelView::new("6.1.0", "pdp11"));
    assert_eq!((verdict.refusals.len(), verdict.notes.len()), (0, 1));
    let big = Module { machine: 21, little_endian: false, ..module(GOOD, &[], &[]) };
    assert!(check(&big, &KernelView::new("6.1.0", "ppc64")).loads());
    let verdict = check(&big, &KernelView::new("6.1.0", "ppc64le"));
    assert!(verdict.refusals[0].to_string().contains("big endian"));
    let unlinked = Module { has_this_module: false, ..module(GOOD, &[], &[]) };
    assert_eq!(check(&unlinked, &KernelView::new("6.1.0", "x86_64")).refusals, [Reason::NotLinked]);
}

#[test]
fn licences() {
    for good in ["GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL", "GPL and additional rights"]
    {
        assert!(is_gpl_compatible(good));
    }
    for bad in ["", "Proprietary", "gpl", "GPLv2", "CDDL", "MIT"] {
        assert!(!is_gpl_compatible(bad));
    }
}
