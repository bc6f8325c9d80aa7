//! What module files a kernel already has below `/lib/modules/K`.

use crate::tree::layout::Layout;
use crate::tree::state;
use crate::tree::state::module_stem;
use dkms_conf::kernel_match::compare_versions;
use kmodule::Compression;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The regular module files of one kernel by name, and the compression its own modules use.
#[derive(Debug, Default)]
pub struct ModuleIndex {
    by_name: HashMap<String, Vec<PathBuf>>,
    suffixes: [usize; 4],
}

impl ModuleIndex {
    /// Walks `/lib/modules/K`. Symbolic links are not followed and not counted: neither `build` and `source` nor
    /// `weak-updates` are this kernel's own. What cannot be read is left out.
    pub fn scan(kernel_modules: &Path) -> Self {
        let mut index = Self::default();
        let mut pending = vec![kernel_modules.to_path_buf()];
        while let Some(dir) = pending.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() {
                    index.note(entry.path());
                }
            }
        }
        for paths in index.by_name.values_mut() {
            paths.sort();
        }
        index
    }

    fn note(&mut self, path: PathBuf) {
        let Some(file) = path.file_name().and_then(|f| f.to_str()) else { return };
        let Some(stem) = module_stem(file) else { return };
        let kind = match file.rsplit('.').next() {
            Some("gz") => 1,
            Some("xz") => 2,
            Some("zst") => 3,
            _ => 0,
        };
        if let Some(n) = self.suffixes.get_mut(kind) {
            *n += 1;
        }
        let stem = stem.to_owned();
        self.by_name.entry(stem).or_default().push(path);
    }

    /// There is no module file at all.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Every regular file of a module name, sorted.
    pub fn find(&self, name: &str) -> &[PathBuf] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Takes a file out, after it was moved away.
    pub fn forget(&mut self, name: &str, path: &Path) {
        if let Some(paths) = self.by_name.get_mut(name) {
            paths.retain(|p| p != path);
        }
    }

    /// How the kernel's modules are compressed: any `.zst`, else any `.xz`, else any `.gz`, else not at all
    /// (the order in which dkms asks).
    pub fn compression(&self) -> Option<Compression> {
        match self.suffixes {
            [_, _, _, n] if n > 0 => Some(Compression::Zstd),
            [_, _, n, _] if n > 0 => Some(Compression::Xz),
            [_, n, _, _] if n > 0 => Some(Compression::Gzip),
            _ => None,
        }
    }
}

/// Largest module that is looked into, decompressed.
pub const MODULE_LIMIT: usize = 1 << 30;

/// The bytes of a module file without compression.
///
/// # Errors
/// In words.
pub fn decompressed(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    kmodule::compress::decompress(bytes, MODULE_LIMIT).map_err(|e| e.to_string())
}
/// The kernels that have modules, oldest first. Headers alone make no kernel.
#[must_use]
pub fn releases(layout: &Layout) -> Vec<String> {
    in_order(layout, has_modules)
}

/// The newest of them; where there is none, the newest that has headers.
#[must_use]
pub fn newest(layout: &Layout) -> Option<String> {
    releases(layout).pop().or_else(|| in_order(layout, |dir| dir.join("build").exists()).pop())
}

fn in_order(layout: &Layout, wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = state::subdirectories(&layout.install_tree);
    found.retain(|release| wanted(&layout.kernel_modules(release)));
    found.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
    found
}

/// Whether `/lib/modules/K` is more than the place of headers.
#[must_use]
pub fn has_modules(dir: &Path) -> bool {
    dir.join("kernel").is_dir() || dir.join("modules.builtin").exists()
}
