//! Parses the name of the compiler in a kernel's configuration, and chooses one of the installed versions of
//! clang.

use std::path::PathBuf;

/// The programs of LLVM that kbuild runs for modules, without a version.
const PROGRAMS: [&str; 5] = ["clang", "ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy"];

/// The first kernel whose kbuild supports suffixes, as in `LLVM=-18`.
const FIRST_WITH_SUFFIXES: (u32, u32) = (5, 18);

/// A compiler, as described by the first line of its `--version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compiler {
    /// clang, of any vendor.
    Clang {
        /// Its major version.
        major: Option<String>,
    },
    /// Another compiler, usually gcc.
    Other {
        /// The name of the program, such as `gcc-12`, which is the first word of the line.
        program: String,
    },
}

impl Compiler {
    /// Parses `CONFIG_CC_VERSION_TEXT`, such as `gcc-12 (Debian 12.2.0-14) 12.2.0`. With clang, the name of
    /// the vendor may come first: `Ubuntu clang version 18.1.3`.
    pub(super) fn from_version_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if let Some(at) = words.windows(2).position(|pair| pair == ["clang", "version"]) {
            let version = words.get(at + 2).copied().unwrap_or_default();
            let major: String = version.chars().take_while(char::is_ascii_digit).collect();
            return Some(Self::Clang { major: (!major.is_empty()).then_some(major) });
        }
        words.first().map(|program| Self::Other { program: (*program).to_owned() })
    }

    /// Returns the major version, if it is clang.
    pub(super) fn clang_major(&self) -> Option<&str> {
        match self {
            Self::Clang { major } => major.as_deref(),
            Self::Other { .. } => None,
        }
    }
}

/// The LLVM that a build uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Llvm {
    /// The value of `LLVM` for kbuild: `1`, or a suffix such as `-18`.
    pub value: String,
    /// The suffix of the names of its programs.
    pub suffix: String,
    /// The programs that are not installed.
    pub missing: Vec<String>,
}

impl Llvm {
    /// Prefers the LLVM of the kernel's version (`LLVM=-18`) to the one without a version in its name
    /// (`LLVM=1`), unless both are the same program or the kernel's kbuild does not support suffixes. A
    /// complete LLVM is preferred to an incomplete one. `major` is the kernel's version of clang.
    pub(super) fn choose(major: Option<&str>, release: &str, find: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let with_suffix = |suffix: &str| -> Self {
            let names = PROGRAMS.iter().map(|program| format!("{program}{suffix}"));
            let missing: Vec<String> = names.filter(|name| find(name).is_none()).collect();
            let value = if suffix.is_empty() { "1" } else { suffix };
            Self { value: value.to_owned(), suffix: suffix.to_owned(), missing }
        };
        let plain = with_suffix("");
        let Some(major) = major.filter(|_| supports_suffixes(release)) else { return plain };
        let versioned = with_suffix(&format!("-{major}"));
        let file = |name: &str| find(name).and_then(|path| dkms_sys::fs::canonicalize(path).ok());
        let is_same = file("clang").is_some_and(|clang| file(&format!("clang-{major}")) == Some(clang));
        let by_preference = if is_same { [plain, versioned] } else { [versioned, plain] };
        let is_complete = |llvm: &Self| llvm.missing.is_empty();
        let has_clang = |llvm: &Self| !llvm.missing.iter().any(|name| name.starts_with("clang"));
        let best = by_preference.iter().find(|llvm| is_complete(llvm));
        let best = best.or_else(|| by_preference.iter().find(|llvm| has_clang(llvm)));
        best.unwrap_or(&by_preference[0]).clone()
    }
}

/// Returns whether the kbuild of a kernel supports suffixes; `true` if its version cannot be parsed.
fn supports_suffixes(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= FIRST_WITH_SUFFIXES,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_compilers() {
        let clang = |major: &str| Some(Compiler::Clang { major: Some(major.to_owned()) });
        let other = |program: &str| Some(Compiler::Other { program: program.to_owned() });
        let table = [
            ("gcc-12 (Debian 12.2.0-14) 12.2.0", other("gcc-12")),
            ("x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0", other("x86_64-linux-gnu-gcc-13")),
            ("gcc (GCC) 13.2.1 20230801", other("gcc")),
            ("clang version 18.1.8", clang("18")),
            ("Ubuntu clang version 18.1.3 (1ubuntu1)", clang("18")),
            ("Debian clang version 14.0.6", clang("14")),
            ("Ubuntu clang version 19.0.0-++20240722031324+65825cd5431c-1~exp1", clang("19")),
            (
                "Android (10552028, +pgo, +bolt, based on r487747d) clang version 17.0.2 (https://x y)",
                clang("17"),
            ),
            ("Fedora clang version 20git", clang("20")),
            ("clang version", Some(Compiler::Clang { major: None })),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(Compiler::from_version_text(text), expected, "{text}");
        }
    }

    /// Chooses among programs, each of which is a separate file.
    fn choose(major: Option<&str>, release: &str, installed: &[&str]) -> (String, Vec<String>) {
        let chosen = Llvm::choose(major, release, |name| {
            installed.contains(&name).then(|| PathBuf::from(format!("/nonexistent/{name}")))
        });
        (chosen.value, chosen.missing)
    }

    const PLAIN: [&str; 5] = PROGRAMS;
    const OF_18: [&str; 5] = ["clang-18", "ld.lld-18", "llvm-ar-18", "llvm-nm-18", "llvm-objcopy-18"];

    #[test]
    fn the_installed_clang_of_the_kernels_version() {
        let both = [PLAIN, OF_18].concat();
        let none = Vec::<String>::new();
        assert_eq!(choose(Some("18"), "6.8.0", &OF_18), ("-18".into(), none.clone()));
        assert_eq!(choose(Some("18"), "6.8.0", &both), ("-18".into(), none.clone()));
        assert_eq!(choose(Some("18"), "6.8.0", &PLAIN), ("1".into(), none.clone()));
        assert_eq!(choose(Some("18"), "5.15.0", &both), ("1".into(), none.clone()));
        assert_eq!(choose(None, "6.8.0", &both), ("1".into(), none));
    }

    #[test]
    fn programs_that_are_not_installed() {
        let clang_only = choose(Some("18"), "6.8.0", &["clang-18"]);
        assert_eq!(clang_only.0, "-18");
        assert_eq!(clang_only.1, ["ld.lld-18", "llvm-ar-18", "llvm-nm-18", "llvm-objcopy-18"]);
        // The LLVM of the kernel's version is not complete, and the other LLVM is.
        assert_eq!(choose(Some("18"), "6.8.0", &[&PLAIN[..], &["clang-18"]].concat()), ("1".into(), vec![]));
        let nothing = choose(Some("18"), "6.8.0", &[]);
        assert_eq!((nothing.0.as_str(), nothing.1.len()), ("-18", 5));
        assert_eq!(choose(None, "6.8.0", &["clang"]).1, ["ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy"]);
    }

    #[test]
    fn one_program_with_two_names() {
        let dir = tempfile::tempdir().unwrap();
        for program in PROGRAMS {
            std::fs::write(dir.path().join(program), "").unwrap();
        }
        for program in PROGRAMS {
            let link = dir.path().join(format!("{program}-18"));
            std::os::unix::fs::symlink(program, link).unwrap();
        }
        let chosen = Llvm::choose(Some("18"), "6.8.0", |name| {
            let path = dir.path().join(name);
            path.exists().then_some(path)
        });
        assert_eq!((chosen.value.as_str(), chosen.suffix.as_str()), ("1", ""));
    }
}
