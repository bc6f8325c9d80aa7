use super::super::tests::{check, module};
use crate::symvers::Symvers;
use crate::verdict::{ExportedSymbol, KernelView, Outcome, Reason, Symbols};

/// Symbols by the name of their owner: `vmlinux`; `clean`, a free module; `dark`, a proprietary module;
/// `grey`, which inherited the taint; `bare`, which has no CRCs; `gone`, which is not installed.
struct Owners(Symvers);

impl Symbols for Owners {
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>> {
        let entry = self.0.lookup(symbol)?;
        Some(ExportedSymbol {
            entry,
            missing: entry.module == "gone",
            proprietary: matches!(entry.module, "dark" | "grey"),
            without_crc: entry.module == "bare",
        })
    }
}

fn owners() -> Owners {
    let list = "0x01\tk\tvmlinux\tEXPORT_SYMBOL\t\n0x02\tk_gpl\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                0x03\tc\tclean\tEXPORT_SYMBOL\t\n0x04\tc_gpl\tclean\tEXPORT_SYMBOL_GPL\t\n\
                0x05\td\tdark\tEXPORT_SYMBOL\t\n0x06\tg\tgrey\tEXPORT_SYMBOL\t\n\
                0x07\tg_gpl\tgrey\tEXPORT_SYMBOL_GPL\t\n0x00\tb\tbare\tEXPORT_SYMBOL\t\n\
                0x08\tm\tgone\tEXPORT_SYMBOL\t\n0x09\ts\tvmlinux\tEXPORT_SYMBOL\tSPACE\n";
    Owners(Symvers::from_vec(list.into()).unwrap())
}

/// The code of a reason and its symbol.
fn short(reason: &Reason) -> String {
    let symbol = match reason {
        Reason::UnknownSymbol { symbol }
        | Reason::OwnerMissing { symbol, .. }
        | Reason::GplOnly { symbol, .. }
        | Reason::GplOnlyHidden { symbol, .. }
        | Reason::ProprietaryOwner { symbol, .. }
        | Reason::DisagreesAboutVersion { symbol, .. }
        | Reason::Namespace { symbol, .. } => symbol,
        other => return other.to_string(),
    };
    format!("{} {symbol}", reason.code())
}

#[test]
fn taint_and_gpl_only_symbols_exclude_each_other() {
    const FREE: &str = "license=GPL|name=x|vermagic=6.1.0 ";
    const DARK: &str = "license=Proprietary|name=x|vermagic=6.1.0 ";
    const LVE: &str = "license=GPL|name=lve|vermagic=6.1.0 ";
    // The module, the symbols it needs in this order (`?`: weak), the refusals, and whether it is tainted
    // afterwards.
    let cases: &[(&str, &str, &[&str], bool)] = &[
        (FREE, "k k_gpl c c_gpl", &[], false),
        (FREE, "d k", &[], true),
        (FREE, "g c", &[], true),
        (FREE, "d g", &[], true),
        (FREE, "d k_gpl", &["proprietary-dependency k_gpl"], true),
        (FREE, "k_gpl d", &["proprietary-dependency d"], false),
        (FREE, "g k_gpl", &["proprietary-dependency k_gpl"], true),
        (FREE, "c_gpl g", &["proprietary-dependency g"], false),
        (FREE, "k_gpl d g", &["proprietary-dependency d", "proprietary-dependency g"], false),
        // The symbol itself makes the module a user of GPL-only symbols, before its owner is checked.
        (FREE, "g_gpl", &["proprietary-dependency g_gpl"], false),
        (FREE, "d g_gpl", &["proprietary-dependency g_gpl"], true),
        // A weak symbol may be hidden, but it still affects the taint.
        (FREE, "d ?k_gpl", &[], true),
        (FREE, "k_gpl ?d", &[], false),
        (FREE, "?k_gpl d", &["proprietary-dependency d"], false),
        (FREE, "?d k_gpl", &["proprietary-dependency k_gpl"], true),
        (FREE, "?missing ?m", &[], false),
        (FREE, "m", &["dependency-missing m"], false),
        (DARK, "k c d g", &[], true),
        (DARK, "k_gpl", &["gpl-only k_gpl"], true),
        (DARK, "g_gpl ?k_gpl", &["gpl-only g_gpl"], true),
        (LVE, "k", &[], true),
        (LVE, "c_gpl", &["gpl-only c_gpl"], true),
        // A missing CRC is not a wrong one.
        (FREE, "b", &[], false),
        // The kernel returns the error of the last symbol.
        (FREE, "wrong missing", &["unknown-symbol missing", "symbol-version wrong"], false),
        (FREE, "missing wrong", &["symbol-version wrong", "unknown-symbol missing"], false),
        (
            FREE,
            "missing s wrong m",
            &["unknown-symbol missing", "dependency-missing m", "namespace s", "symbol-version wrong"],
            false,
        ),
    ];
    let mut owners = owners();
    let more = owners.0.iter().map(|entry| {
        format!(
            "{:#x}\t{}\t{}\tEXPORT_SYMBOL{}\t{}\n",
            entry.crc,
            entry.symbol,
            entry.module,
            if entry.export_gpl { "_GPL" } else { "" },
            entry.namespace.unwrap_or_default()
        )
    });
    let text = more.collect::<String>() + "0x99\twrong\tvmlinux\tEXPORT_SYMBOL\t\n";
    owners.0 = Symvers::from_vec(text.into()).unwrap();
    let mut view = KernelView::new("6.1.0", "x86_64");
    view.symbols = Some(&owners);
    view.modversions = true;
    for (what, needs, refusals, proprietary) in cases {
        let undefined: Vec<(&str, bool)> =
            needs.split(' ').map(|name| (name.trim_start_matches('?'), name.starts_with('?'))).collect();
        let versions: Vec<(&str, u32)> = undefined
            .iter()
            .filter_map(|(name, _)| {
                Some((*name, if *name == "b" { 77 } else { owners.0.lookup(name)?.crc & 0xf }))
            })
            .collect();
        let verdict = check(&module(what, &undefined, &versions), &view);
        let got: Vec<String> = verdict.refusals.iter().map(short).collect();
        assert_eq!(
            (&got[..], verdict.proprietary),
            (&refusals.map_strings()[..], *proprietary),
            "{what}: {needs}"
        );
        for reason in verdict.refusals.iter().chain(&verdict.notes) {
            assert!(!reason.to_string().is_empty() && !reason.help().is_empty() && !reason.code().is_empty());
        }
    }
}

/// For the comparison above.
trait Strings {
    fn map_strings(&self) -> Vec<String>;
}

impl Strings for [&str] {
    fn map_strings(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn kernels_before_5_9_do_not_inherit_the_taint() {
    let owners = owners();
    for (release, loads) in
        [("4.18.0-553.el8", true), ("5.4.0", true), ("5.8.18", true), ("5.9.0", false), ("6.12.1", false)]
    {
        let mut view = KernelView::new(release, "x86_64");
        view.symbols = Some(&owners);
        let module =
            module(&format!("license=GPL|vermagic={release} "), &[("d", false), ("k_gpl", false)], &[]);
        assert_eq!(check(&module, &view).outcome() == Outcome::Loads, loads, "{release}");
    }
}

#[test]
fn by_default_only_the_kernel_exports_before() {
    let owners = owners();
    assert_eq!(owners.exported_before("k_gpl"), Some("kernel"));
    assert_eq!((owners.exported_before("c"), owners.exported_before("missing")), (None, None));
    for (owner, words) in [("kernel", "built in"), ("other", "uninstall")] {
        let reason = Reason::DuplicateExport { symbol: "k".into(), owner: owner.into() };
        assert!(
            reason.help().contains(words) && reason.to_string().ends_with(&format!("(owned by {owner})"))
        );
    }
}
