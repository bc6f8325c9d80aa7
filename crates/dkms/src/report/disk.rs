//! How much space dkms takes.

use super::data::{BuildState, Disk, PackageSize};
use dkms_core::cache::{Cache, Filter};
use dkms_core::ids::PackageId;
use dkms_core::system::System;
use dkms_core::tree::state;
use dkms_sys::fs::{ScannedKind, Stat};
use dkms_tree::layout::Layout;
use std::path::Path;

/// More files are not counted: no tree of sources has as many, and a report must come to an end.
const FILES: usize = 500_000;

/// The usage of the trees, of each package and of the cache.
pub(super) fn usage(system: &System, builds: &[BuildState]) -> Disk {
    let packages: Vec<PackageSize> =
        state::all_packages(&system.layout).iter().map(|p| package(&system.layout, p)).collect();
    let cache = Cache::to_inspect(system);
    let contents = cache.contents(&Filter::default()).ok();
    Disk {
        tree: size(&system.layout.dkms_tree),
        sources: packages.iter().map(|p| p.sources).sum(),
        cache: contents.map(|contents| contents.size()),
        cache_limit: cache.limit(),
        installed: builds
            .iter()
            .flat_map(|b| &b.modules)
            .filter_map(|m| Stat::lstat(&m.path))
            .map(|f| f.size)
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

/// The bytes of the files below a directory, 0 if there is none; none if they cannot be counted.
fn size(dir: &Path) -> Option<u64> {
    if !dkms_sys::fs::exists(dir) {
        return Some(0);
    }
    let found = dkms_sys::fs::scan(dir, &|_, _| true, FILES).ok()?;
    let is_file = |kind| matches!(kind, ScannedKind::File | ScannedKind::Executable);
    Some(found.iter().filter(|f| is_file(f.kind)).map(|f| f.stat.size).sum())
}
