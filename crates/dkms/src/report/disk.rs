//! The disk usage of dkms.

use super::data::{BuildState, Disk, PackageSize};
use dkms_core::cache::{Cache, Filter};
use dkms_core::ids::PackageId;
use dkms_core::system::System;
use dkms_core::tree::state;
use dkms_sys::fs::{ScannedKind, Stat};
use dkms_tree::layout::Layout;
use std::path::Path;

/// The most files that are counted in a directory. No source tree has as many, and a report must end.
const FILES: usize = 500_000;

/// The disk usage of the trees, of the cache, and of each package.
pub(super) fn usage(system: &System, builds: &[BuildState]) -> Disk {
    let packages: Vec<PackageSize> =
        state::all_packages(&system.layout).iter().map(|id| package(&system.layout, id)).collect();
    let cache = Cache::to_inspect(system);
    let contents = cache.contents(&Filter::default()).ok();
    Disk {
        tree: size(&system.layout.dkms_tree),
        sources: packages.iter().map(|package| package.sources).sum(),
        cache: contents.map(|contents| contents.size()),
        cache_limit: cache.limit(),
        installed: builds
            .iter()
            .flat_map(|build| &build.modules)
            .filter_map(|module| Stat::lstat(&module.path))
            .map(|file| file.size)
            .sum(),
        free: dkms_sys::fs::free_space(&system.layout.dkms_tree).ok(),
        packages,
    }
}

fn package(layout: &Layout, package: &PackageId) -> PackageSize {
    let sources = dkms_sys::fs::canonicalize(layout.source_link(package)).ok();
    PackageSize {
        package: package.name.clone(),
        version: package.version.clone(),
        tree: size(&layout.version_dir(package)),
        sources: sources.map_or(Some(0), |dir| size(&dir)),
    }
}

/// The size of the files below a directory, in bytes: 0 without a directory, none if it cannot be read.
fn size(dir: &Path) -> Option<u64> {
    if !dkms_sys::fs::exists(dir) {
        return Some(0);
    }
    let entries = dkms_sys::fs::scan(dir, &|_, _| true, FILES).ok()?;
    let is_file = |kind| matches!(kind, ScannedKind::File | ScannedKind::Executable);
    Some(entries.iter().filter(|entry| is_file(entry.kind)).map(|entry| entry.stat.size).sum())
}
