//! Converts dkms names, versions, architectures and dependencies to rpm's forms.
//!
//! The allowed characters are from rpm's `docs/manual/spec.md` and from `rpmCharCheck` in its parser:
//! letters, digits and `._+-` in a name, and `._+~^` in a version, where `-` separates version and release.

use dkms_tree::ids::{BadName, Kernel};

/// Returns the rpm architecture for a value of `uname -m`.
pub(super) fn architecture(kernel: &Kernel) -> &str {
    match kernel.arch.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "armv7l" | "armv8l" => "armv7hl",
        "armv6l" => "armv6hl",
        "i386" | "i486" | "i586" => "i686",
        other => other,
    }
}

/// Returns a package name unchanged, if it is valid.
///
/// # Errors
/// [`BadName`] if rpm does not accept it.
pub(super) fn package(word: &str) -> Result<&str, BadName> {
    let bad = |why| Err(BadName { what: "name of an rpm package", word: word.to_owned(), why });
    if !word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        bad("it must begin with a letter, a digit or _")
    } else if !word.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)) {
        bad("only letters, digits and . _ + - are allowed")
    } else {
        Ok(word)
    }
}

/// Returns the rpm form of a version: with `_` instead of `-`, which would start the release.
///
/// # Errors
/// [`BadName`] if the result is not a valid version.
pub(super) fn version(word: &str) -> Result<String, BadName> {
    let version = word.replace('-', "_");
    let bad = |why| Err(BadName { what: "version of an rpm package", word: word.to_owned(), why });
    if !version.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        bad("it must begin with a letter or a digit")
    } else if !version.chars().all(is_valid) {
        bad("only letters, digits and . _ + - ~ ^ are allowed")
    } else {
        Ok(version)
    }
}

/// Returns whether a character is allowed in a version.
fn is_valid(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+~^".contains(c)
}

fn replace_invalid(word: &str) -> String {
    word.chars().map(|c| if is_valid(c) { c } else { '_' }).collect()
}

/// Returns a kernel release unchanged, if it can be part of a path in a spec file and in scripts.
///
/// # Errors
/// [`BadName`] for characters with a special meaning there.
pub(super) fn directory(release: &str) -> Result<&str, BadName> {
    if release.chars().all(|c| is_valid(c) || c == '-') {
        return Ok(release);
    }
    let why = "only letters, digits and . _ + - ~ ^ are allowed";
    Err(BadName { what: "kernel release in an rpm package", word: release.to_owned(), why })
}

/// Returns a module's own version as the version of a dependency; `None` if it does not begin with a letter
/// or digit.
pub(super) fn module_version(word: &str) -> Option<String> {
    let version = replace_invalid(word.trim());
    version.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(version)
}

/// Returns a kernel release as the version and release of a dependency, which may have at most one `-`.
pub(super) fn kernel(release: &str) -> String {
    match release.split_once('-') {
        Some((version, rest)) => format!("{}-{}", replace_invalid(version), replace_invalid(rest)),
        None => replace_invalid(release),
    }
}

/// Returns an alias as the argument of `modalias(...)`. A character that would end the argument becomes `?`,
/// which matches any character in an alias (SUSE's and Red Hat's kernel packages do the same).
pub(super) fn alias(word: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "[]._:*?/-".contains(c);
    word.chars().map(|c| if keep(c) { c } else { '?' }).collect()
}

/// Returns a text on one line, escaped so that rpm does not expand it.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ").replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_that_rpm_accepts() {
        assert!(package("v4l2loopback").is_ok() && package("a_b-c+d.e").is_ok());
        for bad in ["a b", "%x", "-a", "", "a/b", "a$b"] {
            assert!(package(bad).is_err(), "{bad}");
        }
        assert_eq!(version("1.0-rc1").unwrap(), "1.0_rc1");
        assert_eq!(version("1.0~rc1").unwrap(), "1.0~rc1");
        for bad in ["", "~1", "1 0", "1:0", "1%0", "1(0"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dependencies() {
        assert_eq!(kernel("4.18.0-348.el8.x86_64"), "4.18.0-348.el8.x86_64");
        assert_eq!(kernel("6.1.0-40-amd64"), "6.1.0-40_amd64");
        assert_eq!(module_version(" 1.2 beta-3 ").as_deref(), Some("1.2_beta_3"));
        assert_eq!(module_version("$Revision$"), None);
        assert_eq!(alias("pci:v00001d6Bd*sv[0-9]*"), "pci:v00001d6Bd*sv[0-9]*");
        assert_eq!(alias("of:N*T*Cti,x(y) %z"), "of:N*T*Cti?x?y???z");
        assert_eq!(plain("50%\nof"), "50%% of");
    }
}
