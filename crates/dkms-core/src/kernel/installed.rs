//! The module files that a kernel already has below `/lib/modules/K`.

use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::Release;
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, module_stem};
use kmodule::Compression;
use kmodule::compress::CompressError;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The regular module files of one kernel by name, and the compression its own modules use.
#[derive(Debug, Default)]
pub struct ModuleIndex {
    by_name: HashMap<String, Vec<PathBuf>>,
    suffixes: [usize; 4],
}

impl ModuleIndex {
    /// Walks `/lib/modules/K`. Symbolic links are neither followed nor counted: `build`, `source` and
    /// `weak-updates` do not belong to this kernel. Directories that cannot be read are left out.
    pub fn scan(kernel_modules: &Path) -> Self {
        let mut index = Self::default();
        let mut pending = vec![kernel_modules.to_path_buf()];
        while let Some(dir) = pending.pop() {
            let Ok(entries) = dkms_sys::fs::read_dir(&dir) else { continue };
            for entry in entries {
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

    /// Whether there is no module file at all.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All regular files with this module name, sorted.
    pub fn find(&self, name: &str) -> &[PathBuf] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Forgets a file that was moved away.
    pub fn forget(&mut self, name: &str, path: &Path) {
        if let Some(paths) = self.by_name.get_mut(name) {
            paths.retain(|p| p != path);
        }
    }

    /// How the kernel's modules are compressed: by zstd if there is any `.zst`, else by xz or gzip in the
    /// same way, else not at all (the order of dkms 3.x).
    pub fn compression(&self) -> Option<Compression> {
        match self.suffixes {
            [_, _, _, n] if n > 0 => Some(Compression::Zstd),
            [_, _, n, _] if n > 0 => Some(Compression::Xz),
            [_, n, _, _] if n > 0 => Some(Compression::Gzip),
            _ => None,
        }
    }
}

/// The size limit for a module after decompression.
pub const MODULE_LIMIT: usize = 1 << 30;

/// Decompresses a module file.
///
/// # Errors
/// In words.
pub fn decompressed(bytes: &[u8]) -> std::result::Result<Vec<u8>, CompressError> {
    kmodule::compress::decompress(bytes, MODULE_LIMIT)
}

/// The kernels that have modules, oldest first. Headers alone do not count.
#[must_use]
pub fn releases(layout: &Layout) -> Vec<Release> {
    in_order(layout, has_modules)
}

/// The kernels that have headers, oldest first.
#[must_use]
pub fn with_headers(layout: &Layout) -> Vec<Release> {
    in_order(layout, |dir| dir.join("build").exists())
}

/// Whether a kernel, or at least its headers, is installed.
#[must_use]
pub fn is_installed(layout: &Layout, release: &str) -> bool {
    let dir = layout.kernel_modules(release);
    has_modules(&dir) || dir.join("build").exists()
}

fn in_order(layout: &Layout, wanted: impl Fn(&Path) -> bool) -> Vec<Release> {
    let mut found = state::releases(layout);
    found.retain(|release| wanted(&layout.kernel_modules(release)));
    found.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
    found
}

/// Whether `/lib/modules/K` has more than headers.
#[must_use]
pub fn has_modules(dir: &Path) -> bool {
    dir.join("kernel").is_dir() || dir.join("modules.builtin").exists()
}
