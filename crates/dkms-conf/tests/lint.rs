//! Tests the linter: each kind of finding on a text that has it and on one that does not, the changes of
//! `--fix`, and every dkms.conf of real packages.

#![allow(clippy::print_stderr, clippy::indexing_slicing, reason = "tests say what they skipped and counted")]

mod common;

use dkms_conf::lint::{Code, Facts, apply, differing, lint};
use dkms_conf::{Decline, Diagnostic, Dialect, Directives, InvalidRegex, Severity, State, evaluate};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KERNEL: &str = "6.1.0-56-amd64";

fn regex_matches(pattern: &str, text: &str) -> Result<bool, InvalidRegex> {
    dkms_sys::regex::matches(pattern, text).map_err(|error| InvalidRegex(error.to_string()))
}

fn evaluated(text: &str) -> Result<Directives, Decline> {
    let mut before = State::default();
    for (name, value) in [
        ("kernelver", KERNEL),
        ("arch", "x86_64"),
        ("kernel_source_dir", "/lib/modules/6.1.0-56-amd64/build"),
        ("dkms_tree", "/var/lib/dkms"),
    ] {
        before.variables.insert(name.into(), value.into());
    }
    evaluate(text.as_bytes(), &before, Dialect::Module, &regex_matches)
}

fn findings(text: &str) -> Vec<Diagnostic> {
    let found = evaluated(text);
    let facts = Facts {
        directives: found.as_ref().ok(),
        declined: found.as_ref().err(),
        kernel_words: &[KERNEL.to_owned()],
        matcher: &regex_matches,
    };
    lint(text, &facts)
}

/// A package without findings, and more lines.
fn with(lines: &str) -> String {
    format!(
        "PACKAGE_NAME=\"hello\"\nPACKAGE_VERSION=\"1.0\"\nBUILT_MODULE_NAME[0]=\"hello\"\nDEST_MODULE_LOCATION[0]=\"/updates\"\n{lines}\n"
    )
}

fn codes(text: &str) -> Vec<&'static str> {
    findings(text).iter().map(|f| f.code.word()).collect()
}

#[test]
fn each_kind() {
    let table = [
        // Names.
        ("", ""),
        ("BUILD_MODULE_NAME[1]=\"x\"", "misspelt-directive"),
        ("AUTO_INSTALL=yes", "misspelt-directive"),
        ("MAKES=1\nMAKE=\"make -C $kernel_source_dir $MAKES\"", ""),
        ("LOAD=no", "unknown-directive"),
        ("export CFLAGS=-O2\nVERSION=1\nx=$VERSION", ""),
        ("LC_ALL=C", "needs-bash"),
        ("KERNELDIR=x make", "needs-bash"),
        ("CLEAN=\"make clean\"", "deprecated-directive"),
        ("CLEAN=\"true\"", ""),
        ("# CLEAN=\"make clean\"\nMAKE=\"make $kernelver CLEAN=1\"", ""),
        ("OBSOLETE_BY=6.8", "deprecated-directive"),
        ("MODULES_CONF[0]=\"alias x y\"\nMODULES_CONF[1]=\"z\"", "deprecated-directive"),
        ("REMAKE_INITRD=\"no\"", "deprecated-directive"),
        ("AUTOINSTALL=y", "yes-no"),
        ("AUTOINSTALL=\"YES\"\nNO_WEAK_MODULES=no", ""),
        ("BUILD_DEPENDS_REBUILD=sometimes", "yes-no"),
        ("BUILT_MODULE_NAME[0]=\"other\"", "assigned-twice"),
        ("if [[ $arch == i686 ]]; then\n  BUILT_MODULE_NAME[0]=other\nfi", ""),
        ("BUILT_MODULE_NAME[0]+=x", ""),
        // Arrays.
        ("BUILT_MODULE_NAME[1]=a", "destination"),
        ("BUILT_MODULE_NAME[2]=a\nDEST_MODULE_LOCATION[2]=/extra", "module-unnamed"),
        ("BUILT_MODULE_NAME[1]=a.ko\nDEST_MODULE_LOCATION[1]=/extra", "module-suffix"),
        ("DEST_MODULE_NAME[0]=\"a.o\"", "module-suffix"),
        ("BUILT_MODULE_NAME[1]=hello\nDEST_MODULE_LOCATION[1]=/extra", "module-duplicate"),
        ("BUILT_MODULE_NAME[1]=a\nDEST_MODULE_LOCATION[1]=/lib", "destination"),
        ("BUILT_MODULE_NAME[1]=a\nDEST_MODULE_LOCATION[1]=/kernels/net", "destination"),
        ("BUILT_MODULE_NAME[1]=src/a\nDEST_MODULE_NAME[1]=a\nDEST_MODULE_LOCATION[1]=/extra", "module-path"),
        ("STRIP[0]=maybe", "strip-value"),
        ("PATCH_MATCH[0]=\"^6\\.\"", "match-without"),
        ("MAKE[0]=\"make $kernelver\"\nMAKE[1]=\"make $kernelver x\"", "match-without"),
        ("PATCH[0]=../x.patch", "patch-path"),
        // Regular expressions.
        ("BUILD_EXCLUSIVE_KERNEL=\"^(5\\.[6-9]\\.|5\\.[1-9][0-9]\\.|[6-9]\\.)\"", ""),
        ("BUILD_EXCLUSIVE_KERNEL=\"^6\\.5\\.6-300\\.fc39\\.x86_64$\"", ""),
        ("BUILD_EXCLUSIVE_KERNEL=\"-rt\"", ""),
        ("BUILD_EXCLUSIVE_KERNEL=\"^(6\"", "regex-invalid"),
        ("BUILD_EXCLUSIVE_KERNEL=\"^4.15.*\"", "regex-dot"),
        ("BUILD_EXCLUSIVE_KERNEL=\"4\\.15\"", "regex-unanchored"),
        ("BUILD_EXCLUSIVE_KERNEL=\"^6\\.1\"", "regex-too-much"),
        ("BUILD_EXCLUSIVE_KERNEL=\"^6\\.1\\.\"\nBUILD_EXCLUSIVE_KERNEL[1]=\"^6\\.1[^0-9]\"", ""),
        ("BUILD_EXCLUSIVE_KERNEL=\"REQUIRES CONFIG_X\"", "regex-nothing"),
        ("BUILD_EXCLUSIVE_KERNEL=\"6\\.1\\.x\"", "regex-nothing"),
        ("BUILD_EXCLUSIVE_KERNEL=\"*-generic\"", "regex-invalid"),
        ("BUILD_EXCLUSIVE_ARCH=\"amd64\"", "regex-nothing"),
        // The way to exclude a package by shell code.
        ("if [[ $kernelver == 6.1* ]]; then\n  BUILD_EXCLUSIVE_ARCH=\"^do_not_build$\"\nfi", ""),
        ("if [[ $kernelver == 6.1* ]]; then\n  BUILD_EXCLUSIVE_KERNEL=\"^never$\"\nfi", ""),
        ("BUILD_EXCLUSIVE_ARCH=\"x86.*\"", ""),
        ("PATCH[0]=a.patch\nPATCH_MATCH[0]='^5.4'", "regex-dot"),
        // Commands.
        ("MAKE=\"make -C $kernel_source_dir M=$dkms_tree/x modules\"", ""),
        ("MAKE=\"make KVER=$kernelver install\"", "make-installs"),
        ("MAKE=\"make -C $kernel_source_dir modules && make modules_install\"", "make-installs"),
        ("MAKE=\"make KVER=$kernelver INSTALL=install all\"", ""),
        ("MAKE=\"make all\"", "make-ignores-kernel"),
        ("MAKE=\"make all\"\nPRE_BUILD=\"configure $kernelver\"", ""),
        ("MAKE=\"make KVER=$(uname -r)\"", "uname"),
        ("# uname -r, nproc", ""),
        ("MAKE=\"make -j$(nproc) KVER=$kernelver\"", "nproc"),
        ("for i in a b; do :; done", "needs-bash"),
        ("X=`date`\nx=$X", "needs-bash"),
    ];
    let mut wrong = Vec::new();
    for (lines, want) in table {
        let want: Vec<&str> = want.split(' ').filter(|w| !w.is_empty()).collect();
        let have = codes(&with(lines));
        if have != want {
            wrong.push(format!("{lines}\n  have {have:?}\n  want {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(codes(""), ["name-missing", "name-missing", "no-module"]);
    assert_eq!(codes(&with("").replace("\"hello\"\nPACKAGE_V", "\"he llo\"\nPACKAGE_V")), ["name-odd"]);
    assert_eq!(codes(&with("").replace("\"1.0\"", "\"#MODULE_VERSION#\"")), Vec::<&str>::new());
}

/// Notes are no reason to disable the check: obsolete directives, and shell code, which often has no
/// replacement.
#[test]
fn notes() {
    let severities =
        |lines: &str| -> Vec<Severity> { findings(&with(lines)).iter().map(|f| f.severity).collect() };
    for lines in [
        "CLEAN=\"make clean\"",
        "OBSOLETE_BY=6.8",
        "REMAKE_INITRD=no",
        "for i in a b; do :; done",
        "X=`date`\nx=$X",
    ] {
        assert_eq!(severities(lines), [Severity::Note], "{lines}");
    }
    for lines in ["MAKE=\"make KVER=$(uname -r)\"", "MAKE=\"make -j$(nproc) KVER=$kernelver\"", "LOAD=no"] {
        assert_eq!(severities(lines), [Severity::Warning], "{lines}");
    }
}

#[test]
fn codes_are_unique() {
    let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.word()).collect();
    assert_eq!(words.len(), Code::ALL.len());
}

#[test]
fn positions() {
    let place = |lines: &str| {
        let all = findings(&with(lines));
        let at = all[0].at.clone().expect("a place");
        (at.line, at.column, at.len, at.text)
    };
    assert_eq!(place("  AUTOINSTALL=y # ü"), (5, 3, 13, "  AUTOINSTALL=y # ü".to_owned()));
    assert_eq!(place("MAKE=\"ü make $(uname -r)\"\r"), (5, 14, 11, "MAKE=\"ü make $(uname -r)\"".to_owned()));
    assert_eq!(place("CLEAN=\"a \\\n  b\""), (5, 1, 10, "CLEAN=\"a \\".to_owned()));
    // A missing directive is reported at the name.
    assert_eq!(place("BUILT_MODULE_NAME[1]=a"), (5, 1, 22, "BUILT_MODULE_NAME[1]=a".to_owned()));
}

#[test]
fn fixes() {
    let table = [
        ("BUILD_MODULE_LOCATION[0]=\"src\"", "BUILT_MODULE_LOCATION[0]=\"src\""),
        // The right name already has a value.
        ("BUILD_MODULE_NAME[0]=\"x\"", "BUILD_MODULE_NAME[0]=\"x\""),
        ("AUTOINSTALL='true' # why\r\nSTRIP=no", "AUTOINSTALL='yes' # why\r\nSTRIP=no"),
        ("NO_WEAK_MODULES=0", "NO_WEAK_MODULES=no"),
        ("CLEAN=\"a \\\n  b\"\nSTRIP=no", "STRIP=no"),
        // Not alone on its line, conditional, or read: must be fixed by hand.
        ("CLEAN=a; STRIP=no", "CLEAN=a; STRIP=no"),
        ("if [[ a ]]; then\nCLEAN=a\nfi", "if [[ a ]]; then\nCLEAN=a\nfi"),
        ("[[ a ]] &&\nCLEAN=a", "[[ a ]] &&\nCLEAN=a"),
        ("CLEAN=a\nPOST_ADD=$CLEAN", "CLEAN=a\nPOST_ADD=$CLEAN"),
        ("OBSOLETE_BY=6.8", "OBSOLETE_BY=6.8"),
        ("DEST_MODULE_NAME[0]=\"a.ko\"", "DEST_MODULE_NAME[0]=\"a\""),
        ("BUILD_EXCLUSIVE_KERNEL=\"^5.15.3\"", "BUILD_EXCLUSIVE_KERNEL=\"^5\\.15\\.3\""),
        ("BUILD_EXCLUSIVE_KERNEL=^5.15", "BUILD_EXCLUSIVE_KERNEL=^5.15"),
        ("MAKE=\"make K=`uname -r`\"", "MAKE=\"make K=${kernelver}\""),
        ("MAKE='make K=$(uname -r)'", "MAKE='make K=$(uname -r)'"),
    ];
    for (before, after) in table {
        let before = with(before);
        let (text, _) = apply(&before, &findings(&before));
        assert_eq!(text, with(after), "{before}");
    }
}

/// Lines that authors write, and mistakes.
const PIECES: [&str; 36] = [
    "PACKAGE_NAME=\"x\"",
    "PACKAGE_VERSION=1.0",
    "AUTOINSTALL=y",
    "AUTOINSTALL='true'",
    "AUTOINSTALL=\"1\" # comment",
    "NO_WEAK_MODULES=off; STRIP=no",
    "export BUILD_DEPENDS_REBUILD=on",
    "BUILT_MODULE_NAME[0]=\"a.ko\"",
    "BUILT_MODULE_NAME[1]=b.o",
    "BUILT_MODULE_NAME=(a.ko b)",
    "DEST_MODULE_NAME[0]='b.o'",
    "DEST_MODULE_NAME[1]=\"$PACKAGE_NAME.ko\"",
    "BUILD_MODULE_NAME[1]=b",
    "BUILD_MODULE_NAME[2]=\"c.ko\"",
    "DEST_MODULE_LOCATIONS[0]=/updates",
    "DEST_MODULE_LOCATION[1]=\"/extra\"",
    "CLEAN=\"make clean\"",
    "CLEAN='a \"b'",
    "CLEAN=\"a \\\n b\"",
    "\tCLEAN=x\r",
    "# CLEAN=no",
    "REMAKE_INITRD=no",
    "MODULES_CONF[0]=\"alias a b\"",
    "MODULES_CONF[1]+=\"x\"",
    "OBSOLETE_BY=\"2.6.3\"",
    "BUILD_EXCLUSIVE_KERNEL=\"^5.4.*\"",
    "BUILD_EXCLUSIVE_KERNEL[1]='^6.1.2'",
    "PATCH[1]=a.patch\nPATCH_MATCH[1]=\"4.15|5\\.4\"",
    "if [[ $kernelver == 6* ]]; then\n  CLEAN=x\n  AUTOINSTALL=yeah\nfi",
    "if [[ $arch == i686 ]]; then\nBUILT_MODULE_NAME[0]=c.ko\nfi",
    "MAKE=\"make $CLEAN AUTOINSTALL=y\"",
    "MAKE[0]='CLEAN=1 make CLEAN=2'",
    "A=$AUTOINSTALL",
    "AUTO_INSTALL=yes",
    "PACKAGE_VERSON=\"2.0\"",
    "POST_ADD=\"it's $REMAKE_INITRD\"",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The fixed text has the same value for every directive that was not fixed, unless [`differing`] reports
    /// it. The only reason is a value whose quotes extend into the text that dkms writes after it.
    #[test]
    fn a_fix_changes_one_directive(chosen in proptest::collection::vec(0..PIECES.len(), 0..14)) {
        let text: String = chosen.iter().map(|&i| format!("{}\n", PIECES[i])).collect();
        let Ok(before) = evaluated(&text) else { return Ok(()) };
        let all = findings(&text);
        let (after, fixed) = apply(&text, &all);
        let odd = text.contains("'a \"b'");
        match evaluated(&after) {
            Ok(new) => {
                let other = differing(&before, &new, &all, &fixed);
                prop_assert!(odd || other.is_empty(), "{text}---\n{after}---\n{other:?}");
            }
            Err(decline) => prop_assert!(odd, "{text}---\n{after}---\n{decline}"),
        }
        // Other findings stay, and fixed ones are not found again.
        prop_assert!(fixed.iter().any(|m| *m) || after == text);
        for (f, _) in all.iter().zip(&fixed).filter(|(f, m)| **m && f.code == Code::Deprecated) {
            prop_assert!(!findings(&after).iter().any(|g| g.message == f.message), "{text}---\n{after}");
        }
    }
}

proptest! {
    // Each takes several milliseconds.
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Arbitrary text.
    #[test]
    fn any_text(text in "([A-Z_]{1,3}|CLEAN=|MAKE|\\[|\\]|=|\\(|\\)|\"|'|`|\\$|\\$\\(|\\{|\\}|#|;|&|\\||\\\\|\r|\n| |ü|uname -r|nproc|if|fi|[0-9.]){0,60}") {
        let all = findings(&text);
        let (after, _) = apply(&text, &all);
        prop_assert!(all.iter().all(|f| f.at.as_ref().is_none_or(|at| at.line >= 1 && at.column >= 1)));
        let _ = findings(&after);
    }
}

/// Long files with one repeated mistake: it returns quickly.
#[test]
fn many_findings_are_limited() {
    for line in
        ["AUTOINSTALL=y\n", "CLEAN=x\n", "A[", "X=\"$(\"$(", "BUILT_MODULE_NAME=(", "Q=`uname -r`\n", "\"$(`"]
    {
        let text = line.repeat(200_000 / line.len());
        let all = findings(&text);
        let _ = apply(&text, &all);
    }
    let modules: String =
        (0..2000).map(|i| format!("BUILT_MODULE_NAME[{i}]=a.ko\nPATCH_MATCH[{i}]=* x\n")).collect();
    let all = findings(&modules);
    assert!(!all.is_empty() && all.len() < 3000);
    let _ = apply(&modules, &all);
}

/// Quotes that extend into the text that dkms writes after the value: removing the value changes other
/// directives, and this is detected.
#[test]
fn a_fix_with_side_effects_is_detected() {
    let Some(bash) = common::Bash::new("/usr/sbin:/usr/bin:/sbin:/bin") else { return };
    let text = with("CLEAN='a \"b'\nMODULES_CONF[0]='c \"d'\nMODULES_CONF[1]=e");
    let state = common::state(KERNEL, "x86_64");
    let read = |text: &str| bash.reference(text.as_bytes(), &state, Dialect::Module, "C").expect("bash");
    let mut only_clean = findings(&text);
    only_clean.retain(|f| f.changes == Some("CLEAN"));
    let (after, fixed) = apply(&text, &only_clean);
    assert_eq!(fixed, [true]);
    assert_eq!(differing(&read(&text), &read(&after), &only_clean, &fixed), ["MODULES_CONF"]);
}

/// Bash evaluates the fixed files in the same way, except for the fixed directive.
#[test]
fn fixes_evaluated_by_bash() {
    let Some(bash) = common::Bash::new("/usr/sbin:/usr/bin:/sbin:/bin") else { return };
    let state = common::state(KERNEL, "x86_64");
    let read = |text: &str| bash.reference(text.as_bytes(), &state, Dialect::Module, "C").expect("bash");
    for piece in
        PIECES.iter().chain(&["BUILD_MODULE_NAME[3]=x\nA=`echo`", "for i in 1; do\nCLEAN=x\ndone\nCLEAN=y"])
    {
        let text = with(piece);
        let all = findings(&text);
        let (after, fixed) = apply(&text, &all);
        let (old, new) = (read(&text), read(&after));
        assert_eq!(differing(&old, &new, &all, &fixed), Vec::<&str>::new(), "{text}---\n{after}");
    }
}

/// Every dkms.conf of real packages: the findings are counted, and the fixed file has the same values.
#[test]
fn real_packages() {
    let files = common::corpus(|n| n == "dkms.conf");
    if files.is_empty() {
        return;
    }
    let mut counts = BTreeMap::new();
    for file in &files {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("read")).into_owned();
        let all = findings(&text);
        for f in &all {
            *counts.entry(f.code.word()).or_insert(0) += 1;
            assert_ne!(f.code, Code::CannotEvaluate, "{}", file.display());
        }
        let (after, fixed) = apply(&text, &all);
        if let (Ok(old), Ok(new)) = (evaluated(&text), evaluated(&after)) {
            assert_eq!(differing(&old, &new, &all, &fixed), Vec::<&str>::new(), "{}", file.display());
        }
        let left = findings(&after);
        assert!(left.iter().all(|f| f.edits.is_empty()), "{}: {left:?}", file.display());
    }
    eprintln!("{} files: {counts:?}", files.len());
}
