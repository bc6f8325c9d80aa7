//! The index of a kernel's modules, identical byte for byte to the one that kmod's depmod(8) writes.
//!
//! depmod reads every module again when a single module changes. The data it takes from a module ([`Facts`])
//! depends only on the module's bytes and can be cached; the rest takes about 40 ms for 4,000 modules. This
//! is only useful if the index is identical. If a tree contains anything for which the result was not
//! compared with kmod's depmod, these functions return a [`Decline`], and the caller runs depmod. Formats and
//! orders are from tools/depmod.c, shared/hash.c and libkmod-index of kmod 30 and 34.

mod cache;
mod config;
mod decline;
mod facts;
mod graph;
mod hash;
mod output;
mod trie;
mod types;

pub use cache::{Cache, NewCache};
pub use config::Config;
pub use decline::Decline;
pub use facts::Facts;
pub use types::{IndexFile, Lists, Module, Version};

use crate::name::ModuleName;
use graph::Graph;
use std::collections::HashMap;
use types::{EXTENSIONS, Name};

/// Whether a file name is that of a module.
#[must_use]
pub fn is_module(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.len() > extension.len() && name.ends_with(extension))
}

/// Returns the positions in `paths` of the modules that depmod indexes. If several modules have the same
/// name, that is the one that `config` prefers. `paths` are the module files, relative to the kernel's
/// directory. They must be in the order in which a directory walk finds them (the order of `readdir` in each
/// directory), because that order decides between files of equal priority.
///
/// # Errors
/// A path with characters that depmod might treat differently, or a module compressed with gzip (Debian's
/// kmod cannot read it).
pub fn select<T: AsRef<str>>(paths: &[T], config: &Config) -> Result<Vec<usize>, Decline> {
    let mut selected: HashMap<ModuleName, usize> = HashMap::new();
    for (position, path) in paths.iter().enumerate() {
        let new = Name::from_path(path.as_ref())?;
        match selected.get(&new.module).and_then(|old| paths.get(*old)) {
            Some(old) if !config.replaces(new.stem, Name::from_path(old.as_ref())?.stem) => {}
            _ => {
                selected.insert(new.module, position);
            }
        }
    }
    let mut positions: Vec<usize> = selected.into_values().collect();
    positions.sort_unstable();
    Ok(positions)
}

/// Returns all files of the index, in the order in which depmod writes them. `modules` are those that
/// [`select`] returned.
///
/// # Errors
/// Cyclic dependencies, or lists that differ in format from those of a kernel build.
pub fn write(version: Version, modules: &[Module<'_>], lists: &Lists<'_>) -> Result<Vec<IndexFile>, Decline> {
    let graph = Graph::new(modules, lists.order)?;
    output::files(version, &graph, lists)
}
