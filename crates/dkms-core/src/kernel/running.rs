//! The modules that the running kernel has loaded, from `/proc/modules` and `/sys/module`.

use crate::kernel::installed::decompressed;
use dkms_sys::fs::Limit;
use kmodule::ModuleName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The modules of the running kernel.
#[derive(Debug, Default)]
pub struct Running {
    modules: BTreeMap<ModuleName, LoadedModule>,
    sys: PathBuf,
}

/// A loaded module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedModule {
    /// The number of users, including [`LoadedModule::holders`]; `None` if this kernel cannot unload modules.
    pub users: Option<u64>,
    /// The modules that use its symbols.
    pub holders: Vec<ModuleName>,
    /// Whether it cannot be unloaded because it has no exit function.
    pub permanent: bool,
    /// Whether it is neither being loaded nor being unloaded.
    pub live: bool,
}

/// What identifies the build of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The checksum of its sources; not every module has one.
    pub srcversion: Option<String>,
    /// The linker's build ID, as hexadecimal digits.
    pub build_id: Option<String>,
}

impl Running {
    /// Reads the modules of the running kernel.
    #[must_use]
    pub fn read() -> Self {
        Self::at(Path::new("/proc/modules"), Path::new("/sys/module"))
    }

    /// Reads the files `list` instead of `/proc/modules` and `sys` instead of `/sys/module`.
    pub(crate) fn at(list: &Path, sys: &Path) -> Self {
        let text = dkms_sys::fs::read_text(list, Limit::INDEX).unwrap_or_default();
        Self { modules: text.lines().filter_map(parse).collect(), sys: sys.to_owned() }
    }

    /// Returns a module, if it is loaded.
    #[must_use]
    pub fn get(&self, name: &ModuleName) -> Option<&LoadedModule> {
        self.modules.get(name)
    }

    /// Returns the MODULE_VERSION of a loaded module, if it has one.
    #[must_use]
    pub fn version(&self, name: &ModuleName) -> Option<String> {
        self.attribute(name, "version")
    }

    /// Returns the identity of a loaded module.
    #[must_use]
    pub fn identity(&self, name: &ModuleName) -> Identity {
        let note = self.sys.join(name.as_str()).join("notes/.note.gnu.build-id");
        let note = dkms_sys::fs::read_bounded(note, Limit::CONFIG);
        Identity {
            srcversion: self.attribute(name, "srcversion"),
            build_id: note.ok().and_then(|note| build_id(&note)),
        }
    }

    /// Reads a file of a loaded module below `/sys/module`; `None` if it is missing or empty.
    fn attribute(&self, name: &ModuleName, file: &str) -> Option<String> {
        let text = dkms_sys::fs::read_text(self.sys.join(name.as_str()).join(file), Limit::CONFIG).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

impl Identity {
    /// Returns the identity of a module file, compressed or not; `None` if it cannot be read.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let bytes = decompressed(&dkms_sys::fs::read(path).ok()?).ok()?;
        let module = kmodule::elf::Module::parse(&bytes).ok()?;
        Some(Self {
            srcversion: module.modinfo.srcversion().map(str::to_owned),
            build_id: kmodule::elf::build_id_note(&bytes).and_then(build_id),
        })
    }

    /// Returns whether both are the same build; `None` if they have no field in common. Builds of the same
    /// sources are treated as the same build, wherever they were compiled.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> Option<bool> {
        let equal = |a: &Option<String>, b: &Option<String>| Some(a.as_ref()? == b.as_ref()?);
        equal(&self.srcversion, &other.srcversion).or_else(|| equal(&self.build_id, &other.build_id))
    }

    /// Returns the text that is shown to the user: the checksum of the sources, or else the build ID.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.srcversion.as_deref().or(self.build_id.as_deref())
    }
}

/// Parses a line of `/proc/modules`: name, size, number of users, holders, state, address.
fn parse(line: &str) -> Option<(ModuleName, LoadedModule)> {
    let mut words = line.split_ascii_whitespace();
    let name = ModuleName::new(words.next()?);
    let (_size, users, holders, state) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let names = || holders.split(',').filter(|holder| !holder.is_empty() && *holder != "-");
    let module = LoadedModule {
        users: users.parse().ok(),
        permanent: names().any(|holder| holder == "[permanent]"),
        holders: names().filter(|holder| !holder.starts_with('[')).map(ModuleName::new).collect(),
        live: state == "Live",
    };
    Some((name, module))
}

/// Returns the ID in an ELF note. It follows the lengths of name and content, the type (4 bytes each), and
/// the name.
fn build_id(note: &[u8]) -> Option<String> {
    let (name, rest) = note.get(12..)?.split_at_checked(4)?;
    (name == b"GNU\0" && !rest.is_empty()).then(|| rest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_modules() {
        let read = |line: &str| parse(line).map(|(_, module)| module);
        let live = LoadedModule { users: Some(2), live: true, ..LoadedModule::default() };
        let held = LoadedModule { holders: vec![ModuleName::new("b"), ModuleName::new("c")], ..live.clone() };
        assert_eq!(read("a 16384 2 b,c, Live 0x0000000000000000 (OE)"), Some(held));
        assert_eq!(read("a 16384 2 - Live 0x0"), Some(live.clone()));
        let permanent = LoadedModule { permanent: true, ..live };
        assert_eq!(read("a 16384 2 [permanent], Live 0x0"), Some(permanent));
        assert_eq!(read("a 1 - - Unloading 0x0"), Some(LoadedModule::default()));
        assert_eq!(read("a 1"), None);
    }

    #[test]
    fn sources_take_precedence_over_build_ids() {
        let identity = |srcversion: Option<&str>, build_id: Option<&str>| Identity {
            srcversion: srcversion.map(str::to_owned),
            build_id: build_id.map(str::to_owned),
        };
        assert_eq!(identity(Some("A"), Some("1")).is_same(&identity(Some("A"), Some("2"))), Some(true));
        assert_eq!(identity(Some("A"), None).is_same(&identity(Some("B"), None)), Some(false));
        assert_eq!(identity(None, Some("1")).is_same(&identity(Some("B"), Some("1"))), Some(true));
        assert_eq!(identity(None, Some("1")).is_same(&identity(Some("B"), None)), None);
        assert_eq!(build_id(b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\x01").as_deref(), Some("ab01"));
        assert_eq!(build_id(b"short"), None);
    }
}
