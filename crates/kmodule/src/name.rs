//! The name of a module.

use crate::compression::Compression;
use std::fmt;

/// The name that the kernel uses for a module. File names and `modules.dep` may contain `-` where the kernel
/// has `_`; this type always contains `_`, so that equal modules compare equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// The kernel's name for a module that a file or a setting calls `name`.
    #[must_use]
    pub fn new(name: &str) -> ModuleName {
        ModuleName(name.replace('-', "_"))
    }

    /// The name of the module in a file, from the last part of its path: `snd-hda-intel.ko.xz` is
    /// `snd_hda_intel`. `None`: it is not the name of a module file.
    #[must_use]
    pub fn from_file_name(file: &str) -> Option<ModuleName> {
        let (stem, suffix) = file.rsplit_once(".ko")?;
        let known =
            suffix.is_empty() || suffix.starts_with('.') && Compression::from_module_suffix(suffix).is_some();
        (known && !stem.is_empty()).then(|| ModuleName::new(stem))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::ModuleName;

    #[test]
    fn hyphens_and_underscores_are_the_same() {
        assert_eq!(ModuleName::new("snd-hda_intel"), ModuleName::new("snd_hda-intel"));
        assert_eq!(ModuleName::new("snd-hda").to_string(), "snd_hda");
    }

    #[test]
    fn names_of_files() {
        let name = |file| ModuleName::from_file_name(file).map(String::from);
        for file in ["a-b.ko", "a_b.ko.gz", "a-b.ko.xz", "a-b.ko.zst"] {
            assert_eq!(name(file).as_deref(), Some("a_b"), "{file}");
        }
        for file in ["", ".ko", "a.ko.bak", "a.ko.bz2", "a.koxz", "a"] {
            assert_eq!(name(file), None, "{file}");
        }
    }
}
