//! The names things go by: a package version, a kernel, and one built for the other.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What `PACKAGE_NAME/PACKAGE_VERSION` identifies: one registered version of one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    /// `PACKAGE_NAME`, a directory name below the tree.
    pub name: String,
    /// `PACKAGE_VERSION`, a directory name below the package.
    pub version: String,
}

/// A kernel release and the architecture dkms files it under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kernel {
    /// As `uname -r` says it, and as `/lib/modules` names its directory.
    pub release: String,
    /// As `uname -m` says it.
    pub arch: String,
}

/// One package version for one kernel: the unit that is built and installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Build {
    /// Which package version.
    pub package: PackageId,
    /// For which kernel.
    pub kernel: Kernel,
}

/// Why a word cannot name a directory in one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' cannot be a {what}: {why}")]
pub struct BadName {
    /// What the word should have named.
    pub what: &'static str,
    /// The word.
    pub word: String,
    /// The rule it breaks.
    pub why: &'static str,
}

fn check(what: &'static str, word: &str) -> Result<(), BadName> {
    let why = if word.is_empty() {
        "it is empty"
    } else if word == "." || word == ".." {
        "it names a directory itself"
    } else if word.starts_with('.') {
        "it begins with a dot, which dkms keeps for its own files"
    } else if word.contains('/') {
        "it contains a slash"
    } else if word.contains(is_unprintable) {
        "it contains a control character"
    } else if word.len() > 200 {
        "it is longer than 200 bytes"
    } else {
        return Ok(());
    };
    Err(BadName { what, word: word.to_owned(), why })
}

/// The characters that dkms-conf calls unprintable; a test compares the two.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl PackageId {
    /// Checks that both words can be directory names.
    ///
    /// # Errors
    /// [`BadName`] for anything that would leave the tree or hide in it.
    pub fn new(name: &str, version: &str) -> Result<Self, BadName> {
        check("package name", name)?;
        check("package version", version)?;
        if name == "original_module" || version == "original_module" {
            return Err(BadName { what: "package name", word: name.to_owned(), why: "dkms keeps that name" });
        }
        Ok(Self { name: name.to_owned(), version: version.to_owned() })
    }
}

impl Kernel {
    /// Checks that both words can be directory names.
    ///
    /// # Errors
    /// [`BadName`] for anything that would leave the tree or hide in it.
    pub fn new(release: &str, arch: &str) -> Result<Self, BadName> {
        check("kernel release", release)?;
        check("architecture", arch)?;
        Ok(Self { release: release.to_owned(), arch: arch.to_owned() })
    }
}

impl Build {
    /// Pairs a package with a kernel.
    pub fn new(package: &PackageId, kernel: &Kernel) -> Self {
        Self { package: package.clone(), kernel: kernel.clone() }
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.release, self.arch)
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for kernel {}", self.package, self.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_those_of_dkms_conf() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_unprintable(c), dkms_conf::is_unprintable(c), "{c:?}");
        }
    }

    #[test]
    fn names_that_would_leave_the_tree_are_refused() {
        for (name, version) in
            [("", "1"), ("a", ""), ("..", "1"), ("a/b", "1"), ("a", "../x"), (".a", "1"), ("a\n", "1")]
        {
            assert!(PackageId::new(name, version).is_err(), "{name:?}/{version:?}");
        }
        assert!(PackageId::new("v4l2loopback", "0.12.7").is_ok());
        assert!(Kernel::new("6.1.0-56-amd64", "x86_64").is_ok());
        assert!(Kernel::new("6.1/../..", "x86_64").is_err());
    }
}
