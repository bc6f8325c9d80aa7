use super::{
    Enforcement, ExportedSymbol, KernelView, Key, Keys, Loader, Outcome, Reason, Symbols, Verdict, early,
    is_gpl_compatible, machine, symbols,
};
use crate::elf::{Class, Module, UndefinedSymbol};
use crate::modinfo::ModInfo;
use crate::sign::{Certificate, Hash, Signed};
use crate::symvers::Symvers;

/// The checks that need no file.
pub(super) fn check(module: &Module, kernel: &KernelView<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.refusals.extend(machine::check(module.class, module.machine, module.little_endian, kernel).err());
    early::check(module, kernel, &mut verdict);
    symbols::check(module, kernel, &mut verdict);
    verdict
}

pub(super) fn module(modinfo: &str, undefined: &[(&str, bool)], versions: &[(&str, u32)]) -> Module {
    Module {
        class: Class::Elf64,
        little_endian: true,
        machine: 62,
        modinfo: ModInfo::from_section(modinfo.replace('|', "\0").as_bytes()),
        this_module_size: Some(0),
        has_symbols: true,
        has_modinfo: true,
        symbols_cut: false,
        has_versions: !versions.is_empty(),
        versions: versions.iter().map(|(symbol, crc)| ((*symbol).to_owned(), u64::from(*crc))).collect(),
        undefined: undefined
            .iter()
            .map(|(name, weak)| UndefinedSymbol { name: (*name).to_owned(), weak: *weak })
            .collect(),
        exports: Vec::new(),
    }
}

const GOOD: &str = "license=GPL|name=my_driver|vermagic=6.1.0 SMP ";

fn kernel() -> Symvers {
    Symvers::from_vec(
        b"0x00000001\tplain\tvmlinux\tEXPORT_SYMBOL\t\n\
          0x00000002\tfree\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
          0x00000003\tspaced\tvmlinux\tEXPORT_SYMBOL\tSPACE\n\
          0x00000004\tchosen\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:kvm-intel,my-*\n"
            .to_vec(),
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
    view.symbols = Some(&list);
    view.modversions = true;
    view.missing_crcs = false;
    let versions: &[(&str, u32)] = &[("plain", 1), ("free", 2), ("spaced", 3), ("chosen", 4)];
    let proprietary = "license=Proprietary|vermagic=6.1.0 SMP ";
    let taints = Reason::Taints { license: symbol("Proprietary") };
    type Case<'a> = (&'a str, Module, Vec<Reason>, Vec<Reason>);
    let cases: Vec<Case<'_>> = vec![
        (
            "nothing wrong",
            module(GOOD, &[("plain", false), ("free", false), ("chosen", false)], versions),
            vec![],
            vec![],
        ),
        ("weak may be missing", module(GOOD, &[("missing", true)], versions), vec![], vec![]),
        ("made by the loader", module(GOOD, &[("_GLOBAL_OFFSET_TABLE_", false)], versions), vec![], vec![]),
        (
            "unknown",
            module(GOOD, &[("missing", false)], versions),
            vec![Reason::UnknownSymbol { symbol: symbol("missing") }],
            vec![],
        ),
        (
            "other CRC",
            module(GOOD, &[("plain", false)], &[("plain", 9)]),
            vec![Reason::DisagreesAboutVersion { symbol: symbol("plain"), module_crc: 9, kernel_crc: 1 }],
            vec![],
        ),
        (
            "one CRC missing, as Debian's kernels see it",
            module(GOOD, &[("plain", false)], &[("free", 2)]),
            vec![Reason::NoSymbolVersion { symbol: symbol("plain") }],
            vec![],
        ),
        ("no CRC at all", module(GOOD, &[("plain", false)], &[]), vec![], vec![Reason::NoVersions]),
        ("needs nothing", module(GOOD, &[], versions), vec![], vec![]),
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
        ("no vermagic", module("license=GPL", &[], versions), vec![], vec![Reason::NoVermagic]),
        (
            "other release, same CRCs",
            module("license=GPL|vermagic=6.1.00 SMP ", &[("plain", false)], versions),
            vec![],
            vec![Reason::OtherRelease { module: symbol("6.1.00") }],
        ),
    ];
    for (what, module, refusals, notes) in cases {
        let verdict = check(&module, &view);
        assert_eq!((&verdict.refusals, &verdict.notes), (&refusals, &notes), "{what}");
        assert_eq!(verdict.outcome() == Outcome::Loads, refusals.is_empty());
        for reason in refusals.iter().chain(&notes) {
            assert!(!reason.to_string().is_empty() && !reason.help().is_empty() && !reason.code().is_empty());
        }
    }
}

/// The exports of a dependency, in addition to the kernel's.
struct Beside<'a>(&'a Symvers, &'a Symvers, bool, bool);

impl Symbols for Beside<'_> {
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>> {
        let other =
            |entry| ExportedSymbol { entry, missing: self.2, proprietary: self.3, without_crc: false };
        self.0.find(symbol).or_else(|| self.1.lookup(symbol).map(other))
    }
}

#[test]
fn kernel_settings_change_the_verdict() {
    let list = kernel();
    let mut view = KernelView::new("6.1.0", "x86_64");
    view.symbols = Some(&list);
    let bare = module(GOOD, &[("plain", false), ("spaced", false)], &[]);
    let one = module(GOOD, &[("plain", false)], &[("free", 2)]);
    view.modversions = true;
    assert_eq!(check(&one, &view).notes, [Reason::NoSymbolVersion { symbol: symbol("plain") }]);
    view.modversions = false;
    view.allow_missing_namespaces = true;
    assert!(check(&bare, &view).outcome() == Outcome::Loads);
    view.modversions = true;
    view.force_load = false;
    assert_eq!(check(&bare, &view).refusals, [Reason::NoVersions]);
    let unmarked = module("license=GPL", &[], &[("plain", 1)]);
    assert_eq!(check(&unmarked, &view).refusals, [Reason::NoVermagic]);
    let needs = module(GOOD, &[("plain", false)], &[("plain", 1)]);
    view.vermagic = Some("6.1.0 SMP preempt ");
    assert!(matches!(check(&needs, &view).refusals[..], [Reason::Vermagic { .. }]));
    // With CRCs the release may differ, but not the flags; without CRCs everything is compared.
    view.vermagic = Some("6.1.9 SMP ");
    view.release = "6.1.9";
    assert_eq!(check(&needs, &view).notes, [Reason::OtherRelease { module: symbol("6.1.0") }]);
    view.modversions = false;
    assert!(matches!(check(&needs, &view).refusals[..], [Reason::Vermagic { .. }]));
    view.vermagic = None;
    view.release = "6.1.0";
    view.symbols = None;
    assert_eq!(check(&needs, &view).outcome(), Outcome::Unknown);
    let blacklist = [symbol("my_driver")];
    view.blacklist = &blacklist;
    assert_eq!(check(&needs, &view).refusals, [Reason::Blacklisted { name: symbol("my_driver") }]);
}

#[test]
fn dependencies() {
    let list = kernel();
    let extra = Symvers::from_vec(b"0x00000005\tadded\tdep\tEXPORT_SYMBOL\n".to_vec()).unwrap();
    let versions: &[(&str, u32)] = &[("added", 5), ("free", 2), ("module_layout", 7)];
    let needs = module(GOOD, &[("free", false), ("added", false)], versions);
    let judge = |missing, proprietary, module: &Module| {
        let symbols = Beside(&list, &extra, missing, proprietary);
        let mut view = KernelView::new("6.1.0", "x86_64");
        view.modversions = true;
        view.symbols = Some(&symbols);
        check(module, &view)
    };
    let (added, dep) = (symbol("added"), symbol("dep"));
    assert!(judge(false, false, &needs).outcome() == Outcome::Loads);
    let missing = Reason::OwnerMissing { symbol: added.clone(), owner: dep.clone() };
    assert_eq!(judge(true, false, &needs).refusals, [missing]);
    assert_eq!(judge(false, true, &needs).refusals, [Reason::ProprietaryOwner { symbol: added, owner: dep }]);
    assert!(judge(false, true, &module(GOOD, &[("added", false)], versions)).outcome() == Outcome::Loads);
}

#[test]
fn the_layout_is_compared_first() {
    let list = Symvers::from_vec(b"0x00000001\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\n".to_vec()).unwrap();
    let mut view = KernelView::new("6.1.0", "x86_64");
    view.modversions = true;
    view.symbols = Some(&list);
    let other = module("license=GPL|vermagic=5.0 ", &[("gone", false)], &[("module_layout", 2)]);
    view.vermagic = Some("6.1.0 SMP ");
    let refusals = check(&other, &view).refusals;
    assert_eq!(
        refusals.iter().map(|reason| (reason.code(), reason.errno())).collect::<Vec<_>>(),
        [("symbol-version", "ENOEXEC"), ("vermagic", "ENOEXEC"), ("unknown-symbol", "ENOENT")]
    );
}

#[test]
fn machines() {
    let cases = [("x86_64", true), ("amd64", true), ("i686", false), ("aarch64", false), ("ppc64le", false)];
    for (arch, loads) in cases {
        assert_eq!(
            check(&module(GOOD, &[], &[]), &KernelView::new("6.1.0", arch)).outcome() == Outcome::Loads,
            loads,
            "{arch}"
        );
    }
    let verdict = check(&module(GOOD, &[], &[]), &KernelView::new("6.1.0", "pdp11"));
    assert_eq!((verdict.refusals.len(), verdict.doubts.len()), (0, 1));
    let big = Module { machine: 21, little_endian: false, ..module(GOOD, &[], &[]) };
    assert!(check(&big, &KernelView::new("6.1.0", "ppc64")).outcome() == Outcome::Loads);
    let verdict = check(&big, &KernelView::new("6.1.0", "ppc64le"));
    assert!(verdict.refusals[0].to_string().contains("big endian"));
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

/// The keys of a machine.
struct Ring {
    certificate: Certificate,
    what: &'static str,
    digest: Option<bool>,
}

impl Keys for Ring {
    fn find(&self, signed: &Signed<'_>) -> Key<'_> {
        match self.what {
            "trusted" if signed.names(&self.certificate) => Key::Trusted(&self.certificate),
            "unseen" => Key::Unseen,
            "revoked" => Key::Revoked,
            "unknown" => Key::Unknown,
            _ => Key::Absent,
        }
    }
    fn supports(&self, _: Hash) -> Option<bool> {
        self.digest
    }
}

#[test]
fn signatures_under_every_policy() {
    use Enforcement::{Lockdown, Off, SigEnforce, Unknown};
    let (key, certificate) =
        crate::mok::generate("signer", 1, &mut crate::mok::OsRng, 1_700_000_000).unwrap();
    let certificate = Certificate::parse(&certificate).unwrap();
    let key = crate::sign::Key::parse(&key).unwrap();
    let signed = crate::sign::sign_with(b"a module", &[(&key, &certificate)], Hash::Sha256).unwrap();
    let changed = [b"A", &signed[1..]].concat();
    let beyond = [&signed[..], b"\n"].concat();
    let mut damaged = signed.clone();
    let at = damaged.len() - crate::sign::MAGIC.len() - 12;
    damaged[at + 2] = 1;
    let mut too_long = signed.clone();
    too_long[at + 8] = 0xff;
    let ring = |what, digest| Ring { certificate: certificate.clone(), what, digest };
    let fine = Some(true);
    // File, keyring, digest; then the first refusal's code and errno, or the outcome, for each of the four
    // policies.
    let loads = "loads";
    let (rejected, denied) = ("EKEYREJECTED", "EPERM");
    let cases: [(&str, &[u8], Ring, [&str; 4]); 13] = [
        ("good", &signed, ring("trusted", fine), [loads; 4]),
        ("unsigned", b"a module", ring("trusted", fine), [loads, rejected, denied, "unknown"]),
        ("bytes after it", &beyond, ring("trusted", fine), [loads, rejected, denied, "unknown"]),
        ("unknown key", &signed, ring("absent", fine), [loads, rejected, denied, "unknown"]),
        ("changed, known key", &changed, ring("trusted", fine), [rejected; 4]),
        ("changed, unknown key", &changed, ring("absent", fine), [loads, rejected, denied, "unknown"]),
        ("another kind", &damaged, ring("trusted", fine), [loads, rejected, denied, "unknown"]),
        ("length damaged", &too_long, ring("trusted", fine), ["EBADMSG"; 4]),
        ("revoked", &signed, ring("revoked", fine), [rejected; 4]),
        ("key not seen", &signed, ring("unseen", fine), [loads; 4]),
        ("keys not known", &signed, ring("unknown", fine), [loads, "unknown", "unknown", "unknown"]),
        ("no such digest", &signed, ring("trusted", Some(false)), [loads, rejected, denied, "unknown"]),
        ("digest not known", &signed, ring("trusted", None), [loads, "unknown", "unknown", "unknown"]),
    ];
    for (what, file, keys, expected) in &cases {
        for (enforcement, expected) in [Off, SigEnforce, Lockdown, Unknown].into_iter().zip(expected) {
            let mut verdict = Verdict::default();
            super::signature::check(file, &super::Signatures { enforcement, keys }, &mut verdict);
            let found = match verdict.outcome() {
                Outcome::Loads => loads,
                Outcome::Unknown => "unknown",
                Outcome::Refused => verdict.refusals[0].errno(),
            };
            assert_eq!(found, *expected, "{what}, {enforcement:?}: {verdict:?}");
        }
    }
}

#[test]
fn one_trusted_signer_of_two_is_enough() {
    let pair = |name| {
        let (key, certificate) =
            crate::mok::generate(name, 1, &mut crate::mok::OsRng, 1_700_000_000).unwrap();
        (crate::sign::Key::parse(&key).unwrap(), Certificate::parse(&certificate).unwrap())
    };
    let (old, new, third) = (pair("old"), pair("new"), pair("third"));
    let both = [(&old.0, &old.1), (&new.0, &new.1)];
    let signed = crate::sign::sign_with(b"a module", &both, Hash::Sha256).unwrap();
    let changed = [b"A", &signed[1..]].concat();
    let ring = |(_, certificate): &(crate::sign::Key, Certificate), what| Ring {
        certificate: certificate.clone(),
        what,
        digest: Some(true),
    };
    let cases = [
        (ring(&old, "trusted"), Outcome::Loads, Outcome::Refused),
        (ring(&new, "trusted"), Outcome::Loads, Outcome::Refused),
        (ring(&third, "trusted"), Outcome::Refused, Outcome::Refused),
        (ring(&old, "revoked"), Outcome::Refused, Outcome::Refused),
    ];
    for (keys, good, wrong) in &cases {
        for (file, expected) in [(&signed, good), (&changed, wrong)] {
            let mut verdict = Verdict::default();
            let signatures = super::Signatures { enforcement: Enforcement::SigEnforce, keys };
            super::signature::check(file, &signatures, &mut verdict);
            assert_eq!(verdict.outcome(), *expected, "{}: {verdict:?}", keys.what);
        }
    }
}

#[test]
fn formats_that_kmod_or_the_kernel_decompresses() {
    use crate::compress::{Options, compress};
    use crate::compression::Compression;
    let view = |loader| KernelView { loader, ..KernelView::new("6.1.0", "x86_64") };
    let kernel = |format| Loader { kernel: Some(format), ..Loader::default() };
    let packed = |format| compress(b"data", &Options::for_modules(format).unwrap()).unwrap();
    let xz = || packed(Compression::Xz);
    // The default of the library is CRC64.
    let mut crc64 = liblzma::write::XzEncoder::new(Vec::new(), 6);
    std::io::Write::write_all(&mut crc64, b"data").unwrap();
    let crc64 = crc64.finish().unwrap();
    let gz = packed(Compression::Gzip);
    let known = Loader { gzip: Some(false), xz: Some(true), zstd: Some(true), kernel: None };
    let cases = [
        ("read by kmod", crc64.clone(), known, "not-a-module"),
        ("not read by kmod", gz.clone(), known, "compression"),
        ("kmod not known", gz, Loader::default(), "loader-unknown"),
        ("by the kernel", crc64, kernel(Compression::Xz), "xz-check"),
        ("by the kernel, right check", xz(), kernel(Compression::Xz), "not-a-module"),
        ("cut short", xz()[..20].to_vec(), known, "damaged"),
    ];
    for (what, bytes, loader, code) in cases {
        let file = super::File::read(&bytes, 1 << 20);
        let verdict = file.judge(&view(loader));
        let first = verdict.doubts.first().or(verdict.refusals.first()).unwrap();
        assert_eq!((first.code(), file.module().is_none()), (code, true), "{what}");
    }
}
