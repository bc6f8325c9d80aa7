//! Checks for regular expressions that are invalid, match nothing, or match too much.
//!
//! They are tried on the releases and architectures of real kernels, with the same matcher as in builds.

use super::file::File;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Edit, edit};
use crate::directives::Directives;
use crate::eval::Matcher;

/// The texts on which patterns are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Release,
    Arch,
}

const DIRECTIVES: [(&str, Against); 4] = [
    ("BUILD_EXCLUSIVE_KERNEL", Against::Release),
    ("BUILD_EXCLUSIVE_ARCH", Against::Arch),
    ("MAKE_MATCH", Against::Release),
    ("PATCH_MATCH", Against::Release),
];

/// The names of `uname -m`, and those of the kernel's Makefiles and of distributions.
const ARCHES: &str = "x86_64 i386 i486 i586 i686 aarch64 armv5tel armv6l armv7l armv8l arm \
    ppc ppc64 ppc64le s390 s390x riscv64 riscv32 loongarch64 mips mips64 mipsel sparc \
    sparc64 alpha parisc parisc64 m68k ia64 sh4";

/// Suffixes that distributions append to the version.
const TAILS: [&str; 6] =
    [".0", ".0-5-amd64", ".12-200.fc39.x86_64", ".0-91-generic", ".3-rc1+", ".21-150400.24.46-default"];

pub(super) fn check(
    file: &File<'_>,
    directives: &Directives,
    matcher: &Matcher<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (name, against) in DIRECTIVES {
        // The maximum number of diagnostics of one kind.
        for i in directives.indices(name).take(100) {
            let Some(pattern) = directives.get(name, i).filter(|pattern| !pattern.is_empty()) else {
                continue;
            };
            check_pattern(file, &Pattern { name, index: i, text: pattern, against }, matcher, diagnostics);
        }
    }
}

struct Pattern<'a> {
    name: &'static str,
    index: usize,
    text: &'a str,
    against: Against,
}

fn check_pattern(
    file: &File<'_>,
    pattern: &Pattern<'_>,
    matcher: &Matcher<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let at = || file.place(pattern.name, Some(pattern.index));
    let named = if pattern.index == 0 {
        pattern.name.to_owned()
    } else {
        format!("{}[{}]", pattern.name, pattern.index)
    };
    let value = format!("{named} '{}'", pattern.text);
    if let Err(error) = matcher(pattern.text, "6.1.0-5-amd64") {
        let message = format!("{value} is not a regular expression: {error}");
        let help = "see regex(7), extended form; write a backslash before a literal character";
        diagnostics.push(Diagnostic::error(Code::RegexInvalid, message, help).at(at()));
        return;
    }
    let is_arch = pattern.against == Against::Arch;
    let (is_useless, message, help) = if is_arch {
        let matches_none = !ARCHES.split(' ').any(|arch| matcher(pattern.text, arch) == Ok(true));
        (matches_none, format!("{value} matches no architecture"), arch_help(pattern.text))
    } else {
        let help = "use ^6\\.1\\. for 6.1 and its updates, or BUILD_EXCLUSIVE_CONFIG for kernel options";
        let matches_none = matches_nothing(pattern.text, matcher);
        (matches_none, format!("{value} matches no kernel"), help.to_owned())
    };
    // A pattern that is set in an `if` and matches nothing excludes the package on purpose.
    let excludes = file.scan.find(pattern.name, Some(pattern.index)).is_some_and(|a| !a.alone);
    if is_useless && !excludes {
        diagnostics.push(Diagnostic::warning(Code::RegexNothing, message, help).at(at()));
    }
    if is_useless || is_arch {
        return;
    }
    let dots = bare_dots(pattern.text);
    if !dots.is_empty() {
        let help = format!("{named}=\"{}\"", escaped(pattern.text, &dots));
        let message = format!("{value} has a dot between digits, which matches any character");
        let mut diagnostic = Diagnostic::warning(Code::RegexDot, message, help).at(at());
        diagnostic.changes = Some(pattern.name);
        diagnostic.edits = escape_edits(file, pattern, dots.len());
        diagnostics.push(diagnostic);
    }
    if is_unanchored(pattern.text) {
        let message = format!("{value} is not anchored at the beginning of the release");
        diagnostics.push(
            Diagnostic::warning(Code::RegexUnanchored, message, format!("{named}=\"^{}\"", pattern.text))
                .at(at()),
        );
    }
    if let Some((meant, also)) = also_matched(pattern.text, matcher) {
        let message = format!("{value} matches {meant}, and {also} as well");
        let help = format!("{}\\. ends the version", meant.replace('.', "\\."));
        diagnostics.push(Diagnostic::warning(Code::RegexTooMuch, message, help).at(at()));
    }
}

fn arch_help(pattern: &str) -> String {
    for (wrong, right) in [
        ("amd64", "x86_64"),
        ("arm64", "aarch64"),
        ("x64", "x86_64"),
        ("armhf", "armv7l"),
        ("ppc64el", "ppc64le"),
    ] {
        if pattern.contains(wrong) {
            return format!("{} (the name in uname -m)", pattern.replace(wrong, right));
        }
    }
    "use the architecture of uname -m, or BUILD_EXCLUSIVE_CONFIG for kernel options".into()
}

/// Releases of all versions since 2.6.0, and of some future ones.
fn releases() -> impl Iterator<Item = String> {
    let minor = |major: u32, last: u32| (0..=last).map(move |n| format!("{major}.{n}"));
    let old = (0..40).map(|n| format!("2.6.{n}"));
    let versions = old
        .chain(minor(3, 19))
        .chain(minor(4, 20))
        .chain(minor(5, 19))
        .chain(minor(6, 30))
        .chain(minor(7, 30));
    versions.flat_map(|v| TAILS.iter().map(move |tail| format!("{v}{tail}")))
}

/// Whether the pattern certainly matches no release. A pattern may be for one release of one distribution, so
/// only these mistakes are recognised: a release begins with a digit and contains no blank, and `*` and `.x`
/// mean "any" in other programs.
fn matches_nothing(pattern: &str, matcher: &Matcher<'_>) -> bool {
    let start = pattern.trim_start_matches(['^', '(']);
    let anchored = pattern.starts_with('^') && !pattern.contains('|');
    let no_release =
        anchored && start.starts_with(|c: char| !c.is_ascii_digit() && !['[', '.', '\\'].contains(&c));
    let lower = pattern.to_ascii_lowercase();
    let any = start.starts_with('*')
        || lower.ends_with(".x")
        || [".x.", ".x-", ".x$"].iter().any(|x| lower.contains(x));
    (pattern.contains(' ') || no_release || any) && !releases().any(|r| matcher(pattern, &r) == Ok(true))
}

/// The byte offsets of dots between digits that are neither escaped nor in a set.
fn bare_dots(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let mut set = false;
    let mut escaped = false;
    let mut dots = Vec::new();
    for (i, b) in bytes.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => {
                escaped = true;
                continue;
            }
            b'[' => set = true,
            b']' => set = false,
            b'.' if !set && digit(i.checked_sub(1)) && digit(Some(i + 1)) => dots.push(i),
            _ => {}
        }
    }
    dots
}

/// The text with backslashes before these dots.
fn escaped(text: &str, dots: &[usize]) -> String {
    let mut out = String::with_capacity(text.len() + dots.len());
    for (i, c) in text.char_indices() {
        if dots.contains(&i) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The edits that add the backslashes in the file, if the value is written there literally, inside quotes.
fn escape_edits(file: &File<'_>, pattern: &Pattern<'_>, count: usize) -> Vec<Edit> {
    let Some(a) = file.scan.find(pattern.name, Some(pattern.index)) else { return Vec::new() };
    let raw = file.raw(a);
    let quoted = |q: char| raw.len() > 1 && raw.starts_with(q) && raw.ends_with(q);
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let plain =
        (quoted('"') || quoted('\'')) && inner == pattern.text && !inner.contains(['"', '\'', '$', '`']);
    if !plain || a.index() != Some(pattern.index) || !file.is_unread(a) {
        return Vec::new();
    }
    let dots = bare_dots(raw);
    if dots.len() != count {
        return Vec::new();
    }
    dots.iter().map(|d| edit(a.value.start + d..a.value.start + d, "\\")).collect()
}

/// Whether the pattern begins with a version, but may match in the middle of a release.
fn is_unanchored(text: &str) -> bool {
    let start = text.trim_start_matches('(');
    let set = start.strip_prefix('[').and_then(|s| s.bytes().next());
    let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit());
    (digit(start.bytes().next()) || digit(set)) && (text.contains('.') || text.len() < 3)
}

/// For a pattern such as `^6.1`, which also matches 6.10: the version, and a matched version that was
/// probably not intended.
fn also_matched(text: &str, matcher: &Matcher<'_>) -> Option<(String, String)> {
    if text.contains(['|', '[', '(']) {
        return None;
    }
    let start = text.trim_start_matches('^');
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = start.split_at_checked(digits(start))?;
    let rest = rest.strip_prefix("\\.").or_else(|| rest.strip_prefix('.'))?;
    let (minor, _) = rest.split_at_checked(digits(rest))?;
    if !matches!(major, "3" | "4" | "5" | "6" | "7") || !matches!(minor, "1" | "2") {
        return None;
    }
    let meant = format!("{major}.{minor}");
    let also = if minor == "1" { format!("{major}.1{}", 8) } else { format!("{meant}0") };
    let both = |v: &str| TAILS.iter().any(|tail| matcher(text, &format!("{v}{tail}")) == Ok(true));
    (both(&meant) && both(&also)).then_some((meant, also))
}
