use super::*;
use crate::{Diagnostic, Dialect, InvalidRegex, Severity, State, evaluate};

fn regex_matches(pattern: &str, text: &str) -> Result<bool, InvalidRegex> {
    dkms_sys::regex::matches(pattern, text).map_err(|error| InvalidRegex(error.to_string()))
}

/// The configuration and, for each problem, "E" or "W", "s" if it is strict only, directive and index.
fn conf(text: &str) -> (ModuleConf, Vec<String>) {
    let no_regex = |_: &str, _: &str| Err(InvalidRegex("none here".to_owned()));
    let directives = evaluate(text.as_bytes(), &State::default(), Dialect::Module, &no_regex).expect(text);
    let (conf, problems) = ModuleConf::from_directives(&directives);
    let short = |p: &Diagnostic| {
        let kind = if p.severity == Severity::Error { "E" } else { "W" };
        let strict = if p.strict_only { "s" } else { "" };
        let index = p.index.map_or_else(String::new, |i| format!("[{i}]"));
        format!("{kind}{strict} {}{index}", p.directive)
    };
    (conf, problems.iter().map(short).collect())
}

const GOOD: &str = "PACKAGE_NAME=p\nPACKAGE_VERSION=1\nDEST_MODULE_LOCATION=/extra\n";

#[test]
fn destinations_with_dots_are_normalised() {
    let location = |written: &str| {
        let mut d = crate::Directives::new();
        for (name, value) in
            [("PACKAGE_NAME", "p"), ("PACKAGE_VERSION", "1"), ("DEST_MODULE_LOCATION", written)]
        {
            d.set(name, 0, value);
        }
        let (conf, problems) = ModuleConf::from_directives(&d);
        (conf.modules[0].dest_location.clone(), problems.iter().any(|p| p.severity == Severity::Error))
    };
    for (written, meant) in [
        ("/kernel/../updates/", "/updates"),
        ("/kernel/../extra/x", "/extra/x"),
        ("/updates/../updates", "/updates"),
        ("/kernel/drivers/./../net//x", "/kernel/net/x"),
        ("/extra/../misc", "/misc"),
        ("/kernel/drivers/net/", "/kernel/drivers/net/"),
    ] {
        assert_eq!(location(written), (meant.to_owned(), false), "{written}");
    }
    for refused in [
        "/kernel/../../../tmp/x",
        "/kernel/..",
        "/kernel/../build/x",
        "/updates/../source",
        "/kernel/../../6.1/updates",
        "../updates",
        "/misc/../updates",
    ] {
        assert!(location(refused).1, "{refused}");
    }
}

#[test]
fn problems() {
    for (text, expected) in [
        ("", &["E PACKAGE_NAME", "E PACKAGE_VERSION"][..]),
        ("BUILT_MODULE_NAME[1]=b", &["E BUILT_MODULE_NAME[0]", "E DEST_MODULE_LOCATION[1]"]),
        ("BUILT_MODULE_NAME=a.ko", &["E BUILT_MODULE_NAME[0]", "E DEST_MODULE_NAME[0]"]),
        ("DEST_MODULE_NAME=a.o", &["E DEST_MODULE_NAME[0]"]),
        ("DEST_MODULE_LOCATION=extra", &["E DEST_MODULE_LOCATION[0]"]),
        ("DEST_MODULE_LOCATION=", &["E DEST_MODULE_LOCATION[0]"]),
        ("DEST_MODULE_LOCATION=/kernel/../..", &["Es DEST_MODULE_LOCATION[0]"]),
        (
            "BUILT_MODULE_NAME=(a a)\nDEST_MODULE_LOCATION=(/extra /extra)",
            &["Es BUILT_MODULE_NAME[1]", "Es DEST_MODULE_NAME[1]"],
        ),
        (
            "BUILT_MODULE_NAME=(a a)\nBUILT_MODULE_LOCATION=(x/ y)\nDEST_MODULE_LOCATION=(/extra /extra)",
            &["Es DEST_MODULE_NAME[1]"],
        ),
        ("BUILT_MODULE_NAME=src/a", &["Es BUILT_MODULE_NAME[0]"]),
        ("BUILT_MODULE_NAME=src/a\nDEST_MODULE_NAME=a", &["W BUILT_MODULE_NAME[0]"]),
        ("PACKAGE_NAME=a/b\nBUILT_MODULE_NAME=a", &["Es PACKAGE_NAME"]),
        ("AUTOINSTALL=true", &["E AUTOINSTALL"]),
        ("AUTOINSTALL=YeS\nNO_WEAK_MODULES=No\nBUILD_DEPENDS_REBUILD=", &[]),
        ("PATCH=../x", &["Es PATCH[0]"]),
        ("PATCH=a..b", &[]),
        ("STRIP=maybe", &["W STRIP[0]"]),
        ("CLEAN=true", &[]),
        ("CLEAN='make clean'\nREMAKE_INITRD=no", &["W CLEAN[0]", "W REMAKE_INITRD[0]"]),
        ("BUILT_MODULE_LOCATION=/tmp", &["W BUILT_MODULE_LOCATION[0]"]),
    ] {
        let prefix =
            if text.is_empty() { "DEST_MODULE_LOCATION=/extra\nBUILT_MODULE_NAME=x\n" } else { GOOD };
        assert_eq!(conf(&format!("{prefix}{text}")).1, expected, "{text:?}");
    }
    assert_eq!(conf("PACKAGE_NAME=p\nPACKAGE_VERSION=1").1, ["W BUILT_MODULE_NAME"]);
    let (many, problems) = conf(&format!("{GOOD}DEST_MODULE_NAME[99999]=x"));
    assert_eq!(many.modules.len(), MAX_MODULES);
    assert_eq!(problems.first().map(String::as_str), Some("E BUILT_MODULE_NAME[99999]"));
}

#[test]
fn modules_and_their_defaults() {
    let (one, problems) = conf(&format!("{GOOD}BUILT_MODULE_LOCATION=src\nSTRIP=n"));
    assert_eq!(problems, Vec::<String>::new());
    let module = ModuleEntry {
        index: 0,
        built_name: "p".into(),
        built_location: "src/".into(),
        dest_name: "p".into(),
        dest_location: "/extra".into(),
        strip: false,
    };
    assert_eq!(one.modules, [module]);
    let two = conf("BUILT_MODULE_NAME=(a b c)\nSTRIP[0]=no\nSTRIP[2]=y\nDEST_MODULE_NAME[1]=z").0;
    let short: Vec<_> =
        two.modules.iter().map(|m| (m.built_name.as_str(), m.dest_name.as_str(), m.strip)).collect();
    assert_eq!(short, [("a", "a", false), ("b", "z", false), ("c", "c", true)]);
    assert_eq!(conf("BUILD_DEPENDS=('a  b' c)\nBUILD_DEPENDS[9]=d").0.build_depends, ["a", "b", "c", "d"]);
}

#[test]
fn make_and_patches_by_kernel() {
    let m = regex_matches;
    let c = conf("MAKE=(zero one two)\nMAKE_MATCH[1]=^6\nMAKE_MATCH[2]='\\.10'").0;
    assert_eq!(c.make_command("5.4", &m), Ok(Some("zero")));
    assert_eq!(c.make_command("6.1", &m), Ok(Some("one")));
    assert_eq!(c.make_command("6.10", &m), Ok(Some("two")));
    let c = conf("MAKE=zero\nMAKE_MATCH=^6").0;
    assert_eq!(c.make_command("5.4", &m), Ok(None));
    assert_eq!(conf("").0.make_command("5.4", &m), Ok(None));
    let c = conf("PATCH=(a b)\nPATCH[7]=c\nPATCH_MATCH[1]=^5\nPATCH_MATCH[7]='(4|6)'").0;
    assert_eq!(c.patches_for("6.1", &m), Ok(vec!["a", "c"]));
    let bad = conf("MAKE=a\nMAKE_MATCH='('").0.make_command("6", &m).expect_err("bad");
    assert_eq!((bad.directive.as_str(), bad.index, bad.pattern.as_str()), ("MAKE_MATCH", 0, "("));
}

/// The excluded modules, and whether all are excluded.
fn left_out(text: &str, release: &str) -> (Vec<usize>, bool) {
    let c = conf(&format!("BUILT_MODULE_NAME=(a b)\n{text}")).0;
    let enabled = |option: &str| option == "CONFIG_PCI";
    let k = KernelFacts { release, arch: "x86_64", config: Some(&enabled) };
    let m = regex_matches;
    let out = (0..2).filter(|i| c.excluded(*i, &k, &m).expect("regex").is_some()).collect();
    (out, c.all_excluded(&k, &m).expect("regex").is_some())
}

#[test]
fn exclusion() {
    for (text, release, out, all) in [
        ("", "6.1", &[][..], false),
        ("BUILD_EXCLUSIVE_KERNEL=^5", "6.1", &[0, 1], true),
        ("BUILD_EXCLUSIVE_KERNEL[1]=^5", "6.1", &[1], false),
        ("BUILD_EXCLUSIVE_KERNEL_MIN=6.10", "6.9", &[0, 1], true),
        ("BUILD_EXCLUSIVE_KERNEL_MIN=6.10", "6.10", &[], false),
        ("BUILD_EXCLUSIVE_KERNEL_MAX=6.9", "6.10", &[0, 1], true),
        ("BUILD_EXCLUSIVE_KERNEL_MAX[1]=6.9", "6.10", &[1], false),
        ("BUILD_EXCLUSIVE_ARCH='^(arm|i.86)'", "6.1", &[0, 1], true),
        ("BUILD_EXCLUSIVE_CONFIG='CONFIG_PCI !CONFIG_USB'", "6.1", &[], false),
        ("BUILD_EXCLUSIVE_CONFIG=!CONFIG_PCI", "6.1", &[0, 1], true),
        ("BUILD_EXCLUSIVE_CONFIG[1]=CONFIG_USB", "6.1", &[1], false),
        ("OBSOLETE_BY=6.0", "6.1", &[0, 1], true),
        ("OBSOLETE_BY=6.0\nBUILD_EXCLUSIVE_KERNEL_MAX=7", "6.1", &[], false),
        ("OBSOLETE_BY=6.0\nBUILD_EXCLUSIVE_KERNEL_MAX[1]=6.0", "6.1", &[1], false),
    ] {
        assert_eq!(left_out(text, release), (out.to_vec(), all), "{text} on {release}");
    }
    let c = conf("BUILT_MODULE_NAME=a\nBUILD_EXCLUSIVE_CONFIG=CONFIG_X").0;
    let k = KernelFacts { release: "6.1", arch: "x86_64", config: None };
    assert_eq!(c.excluded(0, &k, &regex_matches), Ok(None));
}
