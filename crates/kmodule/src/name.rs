//! The name that a module has in the kernel.

use std::fmt;

/// The name of a module as the kernel writes it: `-` and `_` are the same, and `_` is used. Two names of one module
/// are equal, whichever of the two its file, `modprobe` or a list uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// From a name without directory and extension, in either form.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.replace('-', "_"))
    }

    /// As the kernel writes it.
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

#[cfg(test)]
mod tests {
    use super::ModuleName;

    #[test]
    fn dashes_and_underscores_are_the_same() {
        assert_eq!(ModuleName::new("snd-hda_intel"), ModuleName::new("snd_hda-intel"));
        assert_eq!(ModuleName::new("snd-hda").to_string(), "snd_hda");
        assert_ne!(ModuleName::new("snd_hda"), ModuleName::new("snd_hda2"));
    }
}
