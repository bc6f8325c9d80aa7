//! The installed kernels, and the module files in `/lib/modules/K`.

use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::Release;
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, module_stem};
use kmodule::Compression;
use kmodule::compress::CompressError;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The module files of a kernel by module name, and their compression. Only regular files are included.
#[derive(Debug, Default)]
pub struct ModuleIndex {
    by_name: HashMap<String, Vec<PathBuf>>,
    formats: Vec<Compression>,
}

impl ModuleIndex {
    /// Walks `/lib/modules/K`. Symbolic links are neither followed nor counted: `build`, `source` and
    /// `weak-updates` do not belong to this kernel. Directories that cannot be read are skipped.
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
                    index.add(entry.path());
                }
            }
        }
        for paths in index.by_name.values_mut() {
            paths.sort();
        }
        index
    }

    fn add(&mut self, path: PathBuf) {
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { return };
        let Some(stem) = module_stem(file) else { return };
        let format = file.rsplit('.').next().and_then(Compression::from_module_suffix);
        self.formats.extend(format.filter(|format| !self.formats.contains(format)));
        let stem = stem.to_owned();
        self.by_name.entry(stem).or_default().push(path);
    }

    /// Returns whether the kernel has no module file.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Returns all files with this module name, sorted.
    pub fn find(&self, name: &str) -> &[PathBuf] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Removes a file that was moved away.
    pub fn forget(&mut self, name: &str, path: &Path) {
        if let Some(paths) = self.by_name.get_mut(name) {
            paths.retain(|other| other != path);
        }
    }

    /// Returns the compression of the kernel's modules: zstd if there is any `.zst` file, otherwise xz or
    /// gzip in the same way (the order of dkms 3.x).
    pub fn compression(&self) -> Option<Compression> {
        let order = [Compression::Zstd, Compression::Xz, Compression::Gzip];
        order.into_iter().find(|format| self.formats.contains(format))
    }
}

/// The size limit for a module after decompression.
pub const MODULE_LIMIT: usize = 1 << 30;

/// Decompresses a module file. Returns the same bytes if it is not compressed.
///
/// # Errors
/// It is damaged, or larger than [`MODULE_LIMIT`].
pub fn decompressed(bytes: &[u8]) -> std::result::Result<Vec<u8>, CompressError> {
    kmodule::compress::decompress(bytes, MODULE_LIMIT)
}

/// Returns the kernels that have modules, not only headers, oldest first.
#[must_use]
pub fn releases(layout: &Layout) -> Vec<Release> {
    sorted_releases(layout, has_modules)
}

/// Returns the kernels that have headers, oldest first.
#[must_use]
pub fn with_headers(layout: &Layout) -> Vec<Release> {
    sorted_releases(layout, |dir| dir.join("build").exists())
}

/// Returns whether a kernel, or at least its headers, is installed.
#[must_use]
pub fn is_installed(layout: &Layout, release: &str) -> bool {
    let dir = layout.kernel_modules(release);
    has_modules(&dir) || dir.join("build").exists()
}

fn sorted_releases(layout: &Layout, is_included: impl Fn(&Path) -> bool) -> Vec<Release> {
    let mut releases = state::releases(layout);
    releases.retain(|release| is_included(&layout.kernel_modules(release)));
    releases.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
    releases
}

/// Returns whether `/lib/modules/K` contains more than headers.
#[must_use]
pub fn has_modules(dir: &Path) -> bool {
    dir.join("kernel").is_dir() || dir.join("modules.builtin").exists()
}
