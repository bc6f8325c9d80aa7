//! The index that depmod(8) makes of a kernel's modules, byte for byte as kmod's depmod writes it.
//!
//! depmod reads every module for every change of one. What it takes from a module ([`Facts`]) depends on the module's
//! bytes alone and can be remembered; the rest takes some 40 ms for 4,000 modules. This is only worth having when it is
//! the same index: where a tree holds anything that was not compared with kmod's depmod, the functions here decline, and
//! the caller runs depmod. Formats and orders: tools/depmod.c, shared/hash.c and libkmod-index of kmod 30 and 34.

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
    let mut selected: HashMap<ModuleName, usize> = HashMap::new();
    for (at, path) in paths.iter().enumerate() {
        let new = Name::from_path(path.as_ref())?;
        match selected.get(&new.module).and_then(|old| paths.get(*old)) {
            Some(old) if !config.replaces(new.stem, Name::from_path(old.as_ref())?.stem) => {}
            _ => {
                selected.insert(new.module, at);
            }
        }
    }
    let mut positions: Vec<usize> = selected.into_values().collect();
    positions.sort_unstable();
    Ok(positions)
}

/// All files of the index, in the order in which depmod writes them. `modules` are those that [`select`] chose.
///
/// # Errors
/// Modules that need each other in a circle; lists that are not as the kernel's build writes them.
pub fn write(version: Version, modules: &[Module<'_>], lists: &Lists<'_>) -> Result<Vec<IndexFile>, Decline> {
    let graph = Graph::new(modules, lists.order)?;
    output::files(version, &graph, lists)
}
