//! Estimates how long builds take.

use crate::event::LastBuild;
use dkms_tree::ids::PackageId;
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{BuildOrigin, Manifest};
use dkms_tree::state;
use std::path::Path;
use std::time::Duration;

/// Returns the last recorded build of a package: of this version, otherwise of another version. Prefers a
/// compiled build, because its duration is more useful than that of a build from the cache or a registry.
pub(super) fn last_build(layout: &Layout, package: &PackageId) -> Option<LastBuild> {
    let preference =
        |m: &Manifest| (matches!(m.origin, BuildOrigin::Built | BuildOrigin::Unknown), m.built_at);
    let last_manifest = |p: &PackageId| {
        let manifests = state::builds(layout, p).into_iter().filter_map(|b| Manifest::load(layout, &b));
        manifests.filter(|m| m.build_seconds > 0.0).max_by_key(preference)
    };
    let others = || {
        let versions = state::versions(layout, &package.name).into_iter().filter(|p| p != package);
        versions.filter_map(|p| last_manifest(&p)).max_by_key(preference)
    };
    let manifest = last_manifest(package).or_else(others)?;
    let duration = Duration::try_from_secs_f64(manifest.build_seconds).ok()?;
    Some(LastBuild { duration, objects: (manifest.objects > 0).then_some(manifest.objects) })
}

/// Estimates the duration of a build from the size of its source, in seconds. A compiler reads about 50 kB of
/// a driver's C code per second, and every build takes at least a second. The estimate only determines the
/// order of builds.
pub(super) fn source_weight(layout: &Layout, package: &PackageId) -> f64 {
    let link = layout.source_link(package);
    let root = if link.is_dir() { link } else { layout.source_dir(package) };
    1.0 + c_bytes(&root, 0) as f64 / 50_000.0
}

/// The size of the C files below a directory, in bytes.
fn c_bytes(dir: &Path, depth: usize) -> u64 {
    let Ok(entries) = dkms_sys::fs::read_dir(dir) else { return 0 };
    let entry_size = |e: std::fs::DirEntry| {
        let path = e.path();
        match e.file_type() {
            Ok(t) if t.is_dir() && depth < 8 => c_bytes(&path, depth + 1),
            Ok(t) if t.is_file() && path.extension().is_some_and(|x| x == "c") => {
                e.metadata().map_or(0, |m| m.len())
            }
            _ => 0,
        }
    };
    entries.into_iter().map(entry_size).sum()
}
