//! Checks whether the running kernel has loaded the installed modules.

use crate::event::Sink;
use crate::installed;
use crate::kernel::running::{Identity, Running};
use crate::system::System;
use dkms_tree::entry::{Entry, State};
use dkms_tree::ids::{Build, Kernel};
use kmodule::ModuleName;
use std::path::PathBuf;

/// The state of an installed module in the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InMemory {
    /// The installed build.
    Installed,
    /// Another build.
    Other,
    /// It is loaded, and it cannot be determined which build that is.
    Unknown,
    /// It is not loaded.
    No,
}

impl InMemory {
    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Other => "other",
            Self::Unknown => "unknown",
            Self::No => "no",
        }
    }
}

/// An installed module of the running kernel.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The kernel's name for it.
    pub name: ModuleName,
    /// The installed file.
    pub path: PathBuf,
    /// The state of the loaded module.
    pub state: InMemory,
    /// The identity of the loaded module.
    pub loaded: Identity,
    /// The identity of the installed file.
    pub installed: Identity,
}

/// Compares the modules of an entry with the loaded modules. Returns `None` if the entry is not installed for
/// the running kernel.
#[must_use]
pub fn compare(system: &System, sink: &dyn Sink, running: &Running, entry: &Entry) -> Option<Vec<Compared>> {
    let kernel = entry.kernel().filter(|kernel| system.host.runs(&kernel.release))?;
    let built_for = match &entry.kind {
        State::Installed(kernel) => kernel.clone(),
        State::InstalledWeak { from, .. } => Kernel { release: from.clone(), arch: kernel.arch.clone() },
        State::Added | State::Broken | State::Built(_) => return None,
    };
    let files = installed::installed_files(system, sink, &Build::new(&entry.package, &built_for));
    Some(files.into_iter().map(|file| compare_file(running, &file.name, file.path)).collect())
}

/// Compares one module file of the running kernel with the loaded module of that name.
#[must_use]
pub fn compare_file(running: &Running, name: &str, path: PathBuf) -> Compared {
    let name = ModuleName::new(name);
    if running.get(&name).is_none() {
        let (loaded, installed) = Default::default();
        return Compared { name, path, state: InMemory::No, loaded, installed };
    }
    let loaded = running.identity(&name);
    let installed = Identity::of_file(&path).unwrap_or_default();
    let state = match loaded.is_same(&installed) {
        Some(true) => InMemory::Installed,
        Some(false) => InMemory::Other,
        None => InMemory::Unknown,
    };
    Compared { name, path, state, loaded, installed }
}

/// Returns the text after an entry in `dkms status --loaded`.
#[must_use]
pub fn remark(modules: &[Compared]) -> String {
    let named = |state: InMemory| -> Vec<&str> {
        modules.iter().filter(|m| m.state == state).map(|m| m.name.as_str()).collect()
    };
    let (other, unknown) = (named(InMemory::Other), named(InMemory::Unknown));
    let loaded = modules.len() - named(InMemory::No).len();
    if !other.is_empty() {
        return format!(" (Loaded modules differ from the installed ones: {})", other.join(", "));
    }
    match loaded {
        0 => " (Not loaded)".to_owned(),
        _ if !unknown.is_empty() => format!(" (Loaded, build unknown: {})", unknown.join(", ")),
        _ if loaded < modules.len() => format!(" (Loaded: {loaded} of {})", modules.len()),
        _ => " (Loaded)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_modules_are_compared_with_files() {
        let root = tempfile::tempdir().unwrap();
        let (list, sys) = (root.path().join("modules"), root.path().join("sys"));
        std::fs::write(&list, "acpi_call 16384 0 - Live 0x0\nplain 16384 0 - Live 0x0\n").unwrap();
        std::fs::create_dir_all(sys.join("acpi_call")).unwrap();
        std::fs::write(sys.join("acpi_call/srcversion"), "AB\n").unwrap();
        std::fs::write(sys.join("acpi_call/version"), "1.2\n").unwrap();
        let running = Running::at(&list, &sys);
        let state = |name: &str| compare_file(&running, name, root.path().join("missing.ko")).state;
        assert_eq!(state("acpi-call"), InMemory::Unknown);
        assert_eq!(state("plain"), InMemory::Unknown);
        assert_eq!(state("other"), InMemory::No);
        assert_eq!(running.version(&ModuleName::new("acpi-call")).as_deref(), Some("1.2"));
        assert_eq!(running.version(&ModuleName::new("plain")), None);
    }

    #[test]
    fn remarks() {
        let remark_of = |states: &[InMemory]| {
            let compared = |(n, state): (usize, &InMemory)| Compared {
                name: ModuleName::new(&format!("m{n}")),
                path: PathBuf::new(),
                state: *state,
                loaded: Identity::default(),
                installed: Identity::default(),
            };
            remark(&states.iter().enumerate().map(compared).collect::<Vec<_>>())
        };
        use InMemory::{Installed, No, Other, Unknown};
        assert_eq!(remark_of(&[Installed, Installed]), " (Loaded)");
        assert_eq!(remark_of(&[No, Installed]), " (Loaded: 1 of 2)");
        assert_eq!(remark_of(&[No]), " (Not loaded)");
        assert_eq!(remark_of(&[No, Unknown]), " (Loaded, build unknown: m1)");
        assert_eq!(remark_of(&[Unknown, Other]), " (Loaded modules differ from the installed ones: m1)");
    }
}
