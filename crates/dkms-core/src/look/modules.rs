//! Facts about module files, and about the modules that the running kernel has loaded.

use crate::kernel::installed::decompressed;
use crate::look::verify::Judged;
use crate::session::Session;
use dkms_sys::fs::Limit;
use kmodule::ModuleName;
use std::path::{Path, PathBuf};

/// What an installed module file says about itself.
#[derive(Debug, Default)]
pub struct Facts {
    /// Who signed it.
    pub signer: Option<String>,
    /// MODULE_VERSION
    pub version: Option<String>,
    /// The checksum of its sources, which not every module has.
    pub srcversion: Option<String>,
}

impl Facts {
    /// Reads a module file; nothing is known about one that cannot be read.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let Ok(bytes) = dkms_sys::fs::read(path).map_err(|e| e.to_string()).and_then(|b| decompressed(&b))
        else {
            return Self::default();
        };
        let signer = kmodule::sign::signature(&bytes).map(|signature| match signature.signer.as_str() {
            "" => format!("key {}", signature.serial_hex()),
            name => name.to_owned(),
        });
        let Ok(module) = kmodule::elf::Module::parse(&bytes) else {
            return Self { signer, ..Self::default() };
        };
        Self {
            signer,
            version: module.modinfo.version().map(str::to_owned),
            srcversion: module.modinfo.srcversion().map(str::to_owned),
        }
    }
}

/// How the loaded module of a name relates to a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Now {
    /// `yes`: it is this one; `other`; `no`: none is loaded.
    pub word: &'static str,
    /// MODULE_VERSION
    pub version: Option<String>,
    /// The checksum of its sources, which not every module has.
    pub srcversion: Option<String>,
}

/// The modules that the running kernel has loaded.
#[derive(Debug)]
pub struct Loaded {
    /// `/sys/module`; none if nothing is known about it.
    dir: Option<PathBuf>,
    running: String,
}

impl Loaded {
    /// Those of this machine. Nothing is known about the machine that will start another root.
    #[must_use]
    pub fn of(s: &Session<'_>) -> Self {
        let dir = Path::new("/sys/module");
        let here = s.host.other_root.is_none() && dkms_sys::fs::is_dir(dir);
        Self { dir: here.then(|| dir.to_owned()), running: s.host.release.clone() }
    }

    /// Compares an installed module with the loaded one; none if the kernel does not run, or if they cannot be
    /// compared.
    #[must_use]
    pub fn compare(&self, judged: &Judged, facts: &Facts) -> Option<Now> {
        if judged.kernel.release != self.running {
            return None;
        }
        let dir = self.dir.as_ref()?.join(ModuleName::new(&judged.name).as_str());
        // Modules that are part of the kernel have no state.
        if !dkms_sys::fs::exists(dir.join("initstate")) {
            return Some(Now { word: "no", version: None, srcversion: None });
        }
        let value = |name: &str| {
            let text = dkms_sys::fs::read_text(dir.join(name), Limit::CONFIG).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let (version, srcversion) = (value("version"), value("srcversion"));
        let word = match (&srcversion, &facts.srcversion) {
            (Some(loaded), Some(installed)) if loaded == installed => "yes",
            (Some(_), Some(_)) => "other",
            _ => return None,
        };
        Some(Now { word, version, srcversion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::verify::Verdict;
    use dkms_tree::ids::Kernel;

    #[test]
    fn loaded_modules_are_compared_by_their_srcversion() {
        let sys = tempfile::tempdir().unwrap();
        let make = |module: &str, files: &[(&str, &str)]| {
            std::fs::create_dir_all(sys.path().join(module)).unwrap();
            for (name, text) in files {
                std::fs::write(sys.path().join(module).join(name), text).unwrap();
            }
        };
        make("acpi_call", &[("initstate", "live\n"), ("srcversion", "AB\n"), ("version", "1.2\n")]);
        make("plain", &[("initstate", "live\n")]);
        make("builtin", &[("version", "1\n")]);
        let loaded = Loaded { dir: Some(sys.path().to_owned()), running: "6.1".into() };
        let judged = |name: &str, release: &str| Judged {
            package: None,
            kernel: Kernel::new(release, "x86_64").unwrap(),
            name: name.into(),
            path: PathBuf::new(),
            verdict: Verdict::default(),
            unreadable: None,
        };
        let facts = |srcversion: &str| Facts { srcversion: Some(srcversion.into()), ..Facts::default() };
        let word = |name: &str, release: &str, srcversion: &str| {
            loaded.compare(&judged(name, release), &facts(srcversion)).map(|now| now.word)
        };
        assert_eq!(word("acpi-call", "6.1", "AB"), Some("yes"));
        assert_eq!(word("acpi-call", "6.1", "CD"), Some("other"));
        assert_eq!(word("acpi-call", "6.2", "AB"), None);
        assert_eq!(word("plain", "6.1", "AB"), None);
        assert_eq!(word("builtin", "6.1", "AB"), Some("no"));
        assert_eq!(word("missing", "6.1", "AB"), Some("no"));
    }
}
