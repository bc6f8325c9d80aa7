//! The `.modinfo` section: `key=value` strings, each followed by a NUL byte (include/linux/moduleparam.h).

use crate::name::ModuleName;

/// The `.modinfo` strings of a module, in file order. A key may occur more than once (`alias`, `parm`,
/// `firmware` …).
///
/// Bytes that are not UTF-8 (old author names in Latin-1) are replaced by U+FFFD when read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModInfo {
    entries: Vec<(String, String)>,
}

impl ModInfo {
    /// Reads the bytes of a `.modinfo` section. Runs of NUL bytes (padding) are skipped; a string without `=`
    /// is kept as a key with an empty value.
    #[must_use]
    pub fn from_section(bytes: &[u8]) -> ModInfo {
        let entries = bytes
            .split(|byte| *byte == 0)
            .filter(|string| !string.is_empty())
            .map(|string| {
                let text = String::from_utf8_lossy(string);
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                (key.to_owned(), value.to_owned())
            })
            .collect();
        ModInfo { entries }
    }

    /// The first value of `key`; the kernel uses the first as well.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// Every value of `key`, in file order.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// `MODULE_VERSION`, as the author wrote it.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.get("version")
    }

    /// The digest of the sources, which modpost writes only with `CONFIG_MODULE_SRCVERSION_ALL` or
    /// `MODULE_VERSION`.
    #[must_use]
    pub fn srcversion(&self) -> Option<&str> {
        self.get("srcversion")
    }

    /// The whole version magic, e.g. `6.1.0-44-amd64 SMP preempt mod_unload modversions `.
    #[must_use]
    pub fn vermagic(&self) -> Option<&str> {
        self.get("vermagic")
    }

    /// The kernel release the module was built for: the first word of the version magic.
    #[must_use]
    pub fn vermagic_release(&self) -> Option<&str> {
        self.vermagic()?.split(' ').next().filter(|word| !word.is_empty())
    }

    /// The name that the kernel will use for the module (written since Linux 4.13).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// The names of the modules it needs.
    pub fn depends(&self) -> impl Iterator<Item = ModuleName> {
        let names = self.get("depends").unwrap_or("").split(',');
        names.map(str::trim).filter(|name| !name.is_empty()).map(ModuleName::new)
    }

    /// The patterns of the devices and protocols it is for, in file order.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.all("alias")
    }

    /// The licence, e.g. `GPL` or `Proprietary`.
    #[must_use]
    pub fn license(&self) -> Option<&str> {
        self.get("license")
    }
}

#[cfg(test)]
mod tests {
    use super::ModInfo;

    #[test]
    fn strings_are_split_at_nul_and_the_first_equals_sign() {
        let info = ModInfo::from_section(b"license=GPL\0\0\0alias=a=b\0alias=c\0flag\0vermagic=6.1.0 SMP \0");
        assert_eq!(info.license(), Some("GPL"));
        assert_eq!(info.all("alias").collect::<Vec<_>>(), ["a=b", "c"]);
        assert_eq!(info.get("alias"), Some("a=b"));
        assert_eq!(info.get("flag"), Some(""));
        assert_eq!(info.vermagic(), Some("6.1.0 SMP "));
        assert_eq!(info.vermagic_release(), Some("6.1.0"));
        assert_eq!(info.version(), None);
        assert_eq!(info.aliases().collect::<Vec<_>>(), ["a=b", "c"]);
        assert_eq!(info.depends().count(), 0);
        assert_eq!(info.entries.len(), 5);
        let info = ModInfo::from_section(b"depends=snd-hda-core,snd,\0depends=late");
        assert_eq!(info.depends().map(String::from).collect::<Vec<_>>(), ["snd_hda_core", "snd"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let info = ModInfo::from_section(b"author=J\xf6rg\0license=GPL");
        assert_eq!(info.get("author"), Some("J\u{fffd}rg"));
        assert_eq!(info.license(), Some("GPL"));
        assert!(ModInfo::from_section(b"\0\0").entries.is_empty());
        assert_eq!(ModInfo::from_section(b"vermagic=").vermagic_release(), None);
    }
}
