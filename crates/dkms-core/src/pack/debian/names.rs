//! Converts dkms names, versions and architectures to the forms of Debian policy 5.6 and dpkg.

use dkms_tree::ids::{BadName, Kernel, PackageId};

/// The names of a Debian package, as its control file and its file name contain them.
pub(super) struct DebNames {
    /// The name of the dkms package in Debian's form.
    pub(super) module: String,
    /// The name of the Debian package.
    pub(super) package: String,
    pub(super) version: String,
    pub(super) architecture: &'static str,
}

impl DebNames {
    /// Returns the names for a dkms package. `suffix` completes the name of the Debian package.
    ///
    /// # Errors
    /// [`BadName`] if a name has no Debian form.
    pub(super) fn new(id: &PackageId, suffix: &str, architecture: &'static str) -> Result<Self, BadName> {
        Ok(Self {
            module: package(&id.name)?,
            package: package(&format!("{}-{suffix}", id.name))?,
            version: version(&id.version)?,
            architecture,
        })
    }

    /// Returns the file name of the package.
    pub(super) fn file(&self) -> String {
        format!("{}_{}_{}.deb", self.package, self.version, self.architecture)
    }
}

/// Returns the dpkg architecture for a value of `uname -m`.
///
/// # Errors
/// [`BadName`] if dpkg has no such architecture.
pub(super) fn architecture(kernel: &Kernel) -> Result<&'static str, BadName> {
    Ok(match kernel.arch.as_str() {
        "x86_64" | "amd64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "i386",
        "armv7l" | "armv8l" => "armhf",
        "armv5tel" | "armv6l" => "armel",
        "ppc64le" => "ppc64el",
        "ppc64" => "ppc64",
        "ppc" => "powerpc",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        "loongarch64" => "loong64",
        "mips64" => "mips64el",
        "mips" => "mipsel",
        "alpha" => "alpha",
        "parisc" | "parisc64" => "hppa",
        "sparc64" => "sparc64",
        _ => {
            return Err(BadName {
                what: "Debian architecture",
                word: kernel.arch.clone(),
                why: "dpkg does not support it",
            });
        }
    })
}

/// Returns the Debian form of a package name: lower case, with `-` instead of `_`.
///
/// # Errors
/// [`BadName`] if the result is not a valid name.
pub(super) fn package(word: &str) -> Result<String, BadName> {
    let name = word.to_ascii_lowercase().replace('_', "-");
    let bad = |why| Err(BadName { what: "Debian package's name", word: word.to_owned(), why });
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        bad("it must begin with a letter or a digit")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        bad("only letters, digits and + - . are allowed")
    } else if name.len() < 2 {
        bad("it must have at least two characters")
    } else {
        Ok(name)
    }
}

/// Returns the Debian form of a version: with `-` instead of `_`, and without the `v` of a tag such as
/// `v1.2`.
///
/// # Errors
/// [`BadName`] if the result is not a valid version.
pub(super) fn version(word: &str) -> Result<String, BadName> {
    let version = word.replace('_', "-");
    let begins_with_digit = |v: &str| v.starts_with(|c: char| c.is_ascii_digit());
    let version = match version.strip_prefix('v') {
        Some(rest) if begins_with_digit(rest) => rest.to_owned(),
        _ => version,
    };
    let bad = |why| Err(BadName { what: "Debian package's version", word: word.to_owned(), why });
    if !begins_with_digit(&version) {
        bad("it must begin with a digit")
    } else if !version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~')) {
        bad("only letters, digits and . + - ~ are allowed")
    } else if version.ends_with('-') {
        bad("nothing follows its last hyphen")
    } else {
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_debian_policy() {
        let good = [("v4l2loopback", "v4l2loopback"), ("acpi_call", "acpi-call"), ("RTL8188EU", "rtl8188eu")];
        for (word, name) in good {
            assert_eq!(package(word).unwrap(), name);
        }
        for word in ["x", "+x", "a b", "a$(b)", "ä1", "a/b"] {
            assert!(package(word).is_err(), "{word}");
        }
    }

    #[test]
    fn versions_follow_debian_policy() {
        let good =
            [("1.0", "1.0"), ("v0.12.7", "0.12.7"), ("1.0_rc1", "1.0-rc1"), ("2.1~git+5", "2.1~git+5")];
        for (word, expected) in good {
            assert_eq!(version(word).unwrap(), expected);
        }
        for word in ["git", "version", "1 0", "1:2", "1.0-", "1$x", "1'"] {
            assert!(version(word).is_err(), "{word}");
        }
    }

    #[test]
    fn architectures_have_debian_names() {
        let debian_name = |arch: &str| architecture(&Kernel::new("6.1", arch).unwrap());
        for (arch, expected) in [("x86_64", "amd64"), ("aarch64", "arm64"), ("ppc64le", "ppc64el")] {
            assert_eq!(debian_name(arch).unwrap(), expected);
        }
        assert!(debian_name("pdp11").is_err());
    }
}
