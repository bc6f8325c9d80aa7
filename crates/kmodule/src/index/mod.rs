//! The index that depmod(8) makes of a kernel's modules, byte for byte as kmod's depmod writes it.
//!
//! depmod reads every module for every change of one. What it takes from a module ([`Facts`]) depends on the module's
//! bytes alone and can be remembered; the rest takes some 40 ms for 4,000 modules. This is only worth having when it is
//! the same index: where a tree holds anything that was not compared with kmod's depmod, the functions here decline, and
//! the caller runs depmod. Formats and orders: tools/depmod.c, shared/hash.c and libkmod-index of kmod 30 and 34.

mod cache;
mod config;
mod facts;
mod graph;
mod hash;
mod output;
mod trie;

pub use cache::{Cache, NewCache};
pub use config::Config;
pub use facts::Facts;

use graph::Graph;
use std::collections::HashMap;

/// Why depmod has to do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Decline {
    reason: String,
}

impl Decline {
    /// A reason in words.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A version of kmod whose depmod writes the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 30, as in Debian 12.
    Kmod30,
    /// 34, as in Debian 13: parents first in the binary files, and a list of weak dependencies.
    Kmod34,
}

impl Version {
    /// From the first line of `depmod --version`; `None` for versions that were not compared.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        match line.trim().strip_prefix("kmod version ")? {
            "30" => Some(Self::Kmod30),
            "34" | "34.1" | "34.2" => Some(Self::Kmod34),
            _ => None,
        }
    }
}

/// A module file in a kernel's directory, and what it contributes.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Below the kernel's directory, such as `updates/dkms/hello.ko.xz`.
    pub path: &'a str,
    /// What was read from it.
    pub facts: &'a Facts<'a>,
}

/// What lies beside the modules in a kernel's directory.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// `modules.order`
    pub order: &'a str,
    /// `modules.builtin`
    pub builtin: &'a str,
    /// `modules.builtin.modinfo`
    pub builtin_modinfo: &'a [u8],
}

/// One file of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name in the kernel's directory, such as `modules.dep`.
    pub name: &'static str,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// The extensions of module files.
const EXTENSIONS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Whether a file is a module by its name.
#[must_use]
pub fn is_module(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.len() > extension.len() && name.ends_with(extension))
}

/// The positions of those paths that depmod indexes: of several modules with one name the one that `config` prefers.
/// `paths` are the module files below the kernel's directory in the order in which a walk finds them (as `readdir` lists
/// each directory), since that decides between equals.
///
/// # Errors
/// A path with characters that depmod and we could treat differently, or a module compressed with gzip (Debian's kmod
/// cannot read it).
pub fn select<T: AsRef<str>>(paths: &[T], config: &Config) -> Result<Vec<usize>, Decline> {
    let mut selected: HashMap<String, usize> = HashMap::new();
    for (at, path) in paths.iter().enumerate() {
        let new = Name::of(path.as_ref())?;
        match selected.get(&new.module).and_then(|old| paths.get(*old)) {
            Some(old) if !config.replaces(new.stem, Name::of(old.as_ref())?.stem) => {}
            _ => {
                selected.insert(new.module, at);
            }
        }
    }
    let mut positions: Vec<usize> = selected.into_values().collect();
    positions.sort_unstable();
    Ok(positions)
}

/// The names that one path stands for.
struct Name<'a> {
    /// The kernel's name of it: `-` is `_`.
    module: String,
    /// The path without an extension.
    stem: &'a str,
}

impl<'a> Name<'a> {
    fn of(path: &'a str) -> Result<Self, Decline> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = file.split('.').next().unwrap_or(file);
        let extension = file.get(name.len()..).unwrap_or_default();
        if !plain(path) || name.is_empty() || !EXTENSIONS.contains(&extension) {
            return Err(Decline::new(format!("{} has an odd name", path.escape_debug())));
        }
        if extension == ".ko.gz" {
            return Err(Decline::new(format!(
                "{path} is compressed with gzip, which not every kmod can read"
            )));
        }
        let stem = path.get(..path.len() - extension.len()).unwrap_or(path);
        Ok(Self { module: name.replace('-', "_"), stem })
    }
}

/// All files of the index, in the order in which depmod writes them. `modules` are those that [`select`] chose.
///
/// # Errors
/// Modules that need each other in a circle; lists that are not as the kernel's build writes them.
pub fn write(version: Version, modules: &[Module<'_>], lists: &Lists<'_>) -> Result<Vec<IndexFile>, Decline> {
    let graph = Graph::new(modules, lists.order)?;
    output::files(version, &graph, lists)
}
