//! Identifiers: a package version, a kernel, and a build of one for the other.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Deref;
use std::path::Path;

/// A registered version of a package, identified by `PACKAGE_NAME/PACKAGE_VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageId {
    /// `PACKAGE_NAME`, a directory name below the tree.
    pub name: String,
    /// `PACKAGE_VERSION`, a directory name below the package.
    pub version: String,
}

/// The release of a kernel, as printed by `uname -r` and used for the directory in `/lib/modules`. It is a
/// valid directory name: it does not leave the trees, and is not hidden in them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(String);

/// A kernel release and the architecture under which dkms stores it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kernel {
    /// The release.
    pub release: Release,
    /// The architecture, as printed by `uname -m`.
    pub arch: String,
}

/// One package version for one kernel: the unit that is built and installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Build {
    /// The package version.
    pub package: PackageId,
    /// The kernel.
    pub kernel: Kernel,
}

/// The reason why a word is not a valid directory name in one of the trees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' cannot be a {what}: {why}")]
pub struct BadName {
    /// The kind of name, for example `package name`.
    pub what: &'static str,
    /// The word.
    pub word: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

fn check(what: &'static str, word: &str) -> Result<(), BadName> {
    let why = if word.is_empty() {
        "it is empty"
    } else if word == "." || word == ".." {
        "it is not the name of a new directory"
    } else if word.starts_with('.') {
        "it begins with a dot, which is reserved for files of dkms"
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

/// The characters that dkms-conf treats as unprintable; a test compares the two lists.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl PackageId {
    /// Checks that both words are valid directory names.
    ///
    /// # Errors
    /// [`BadName`] for a name that would leave the tree or be hidden in it.
    pub fn new(name: &str, version: &str) -> Result<Self, BadName> {
        check("package name", name)?;
        check("package version", version)?;
        if name == "original_module" || version == "original_module" {
            return Err(BadName {
                what: "package name",
                word: name.to_owned(),
                why: "that name is reserved",
            });
        }
        Ok(Self { name: name.to_owned(), version: version.to_owned() })
    }
}

impl Kernel {
    /// Checks that both words are valid directory names.
    ///
    /// # Errors
    /// [`BadName`] for a name that would leave the tree or be hidden in it.
    pub fn new(release: &str, arch: &str) -> Result<Self, BadName> {
        Self::from_release(Release::new(release)?, arch)
    }

    /// Checks that the architecture is a valid directory name.
    ///
    /// # Errors
    /// [`BadName`] for a name that would leave the tree or be hidden in it.
    pub fn from_release(release: Release, arch: &str) -> Result<Self, BadName> {
        check("architecture", arch)?;
        Ok(Self { release, arch: arch.to_owned() })
    }
}

impl Release {
    /// Checks that the word is a valid directory name.
    ///
    /// # Errors
    /// [`BadName`] for a name that would leave the tree or be hidden in it.
    pub fn new(word: &str) -> Result<Self, BadName> {
        check("kernel release", word)?;
        Ok(Self(word.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Release {
    type Error = BadName;

    fn try_from(word: String) -> Result<Self, BadName> {
        Self::new(&word)
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.0
    }
}

impl Deref for Release {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Release {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Release {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for Release {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl AsRef<OsStr> for Release {
    fn as_ref(&self) -> &OsStr {
        OsStr::new(&self.0)
    }
}

impl PartialEq<str> for Release {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Release {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<Release> for &str {
    fn eq(&self, other: &Release) -> bool {
        *self == other.0
    }
}

impl PartialEq<Release> for String {
    fn eq(&self, other: &Release) -> bool {
        *self == other.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Build {
    /// Combines a package with a kernel.
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
        for word in ["", ".", "..", ".hidden", "a/b", "a\0", &"6".repeat(201)] {
            assert!(Release::new(word).is_err(), "{word:?}");
            assert!(Release::try_from(word.to_owned()).is_err(), "{word:?}");
        }
    }
}
