//! Identifies a kernel's headers and build tools by short values, which are equal on all machines that have
//! the same packages.
//!
//! The headers consist of about 16,000 files, which are too many to read for each command. So:
//!
//! - If a directory belongs to a package of the distribution, the package manager's list of digests describes
//!   it. Only files that may have changed since then are read: those that are newer than the package, or that
//!   were changed after the package was unpacked. The differences are a part of the value.
//! - Otherwise, all files are read.
//! - The values are cached in the dkms tree, together with the sizes and times of all files.
//!
//! Decision 22 has the reasons and the measurements.

use super::contents;
use super::dpkg::Dpkg;
use super::headers_cache::HeadersCache;
use super::package::{self, Package};
use super::parallel;
use super::tools::Tools;
use super::tree::{Identity, Tree};
use crate::event::Sink;
use crate::host::Host;
use crate::kernel::headers::{Headers, included};
use crate::system::{Settings, System};
use dkms_sys::fs::{self, ScannedKind};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The maximum number of files of a tree. A kernel's source with all objects has about 100,000.
const MAX_FILES: usize = 1_000_000;

/// The maximum number of trees. Ubuntu's headers link to thirty directories of another package.
const MAX_TREES: usize = 200;

/// Identifies a kernel's headers. If `store` is true, the result is stored in the cache.
///
/// # Errors
/// A directory or a file cannot be read.
pub(crate) fn identify(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    headers: &Headers,
    tools: &Tools,
    store: bool,
) -> Result<Identity, dkms_sys::IoError> {
    let trees = trees(&system.layout, &system.settings, kernel, headers)?;
    let cache = HeadersCache::new(&system.layout, kernel, &trees);
    if let Some(cached) = cache.load() {
        return Ok(cached);
    }
    let identity = compute(&system.host, &trees, tools.dpkg())?;
    if store {
        cache.store(&system.host, sink, &trees, &identity);
    }
    Ok(identity)
}

/// Computes the identity of the headers that consist of these trees.
fn compute(host: &Host, trees: &[Tree], dpkg: Option<&Dpkg>) -> Result<Identity, dkms_sys::IoError> {
    let mut packages: BTreeMap<String, Package<'_>> = BTreeMap::new();
    let mut values: Vec<(bool, String)> = Vec::new();
    for tree in trees {
        match package::owner(host, dpkg, &tree.path) {
            Some(package) => packages.entry(package.record.label.clone()).or_insert(package).trees.push(tree),
            None => values.push((false, format!("tree:{}", contents::digest_of(tree)?))),
        }
    }
    for package in packages.into_values() {
        values.push((package.record.label.contains("kbuild"), package.value()?));
    }
    let join = |kbuild: bool| {
        let chosen = values.iter().filter(|(is_kbuild, _)| *is_kbuild == kbuild);
        let mut chosen: Vec<&str> = chosen.map(|(_, value)| value.as_str()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.join(" ")
    };
    Ok(Identity { headers: join(false), kbuild: Some(join(true)).filter(|value| !value.is_empty()) })
}

/// Returns all trees of a kernel's headers: the directory, the directories that it includes, and the targets
/// of its links.
fn trees(
    layout: &Layout,
    settings: &Settings,
    kernel: &Kernel,
    headers: &Headers,
) -> Result<Vec<Tree>, dkms_sys::IoError> {
    let mut pending = vec![fs::canonicalize(&headers.dir)?];
    if settings.kernel_source_dir.is_none() {
        pending.extend(fs::canonicalize(layout.kernel_modules(&kernel.release).join("source")));
    }
    let included = pending.iter().map(|dir| included(dir)).collect::<Result<Vec<_>, _>>()?;
    pending.extend(included.concat());
    let mut trees: Vec<Tree> = Vec::new();
    loop {
        let known = |path: &Path| trees.iter().any(|tree| path.starts_with(&tree.path));
        pending.retain(|path| !known(path));
        pending.sort_unstable();
        pending.dedup();
        // The list is sorted, so a directory comes before its subdirectories.
        pending.dedup_by(|inner, outer| inner.starts_with(&*outer));
        pending.truncate(MAX_TREES.saturating_sub(trees.len()));
        if pending.is_empty() {
            break;
        }
        // Most of the time is spent in system calls, so the directories are scanned in parallel.
        let scanned = parallel::map(&pending, 1, |path| {
            Ok(Tree { path: path.clone(), entries: fs::scan(path, &is_scanned, MAX_FILES)? })
        })?;
        pending = scanned.iter().map(referenced).collect::<Result<Vec<_>, _>>()?.concat();
        trees.extend(scanned);
    }
    trees.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(trees)
}

/// Returns the targets of links that point outside of a tree, and the directories of the makefiles that the
/// tree includes.
fn referenced(tree: &Tree) -> Result<Vec<PathBuf>, dkms_sys::IoError> {
    let links = tree.entries.iter().filter(|entry| entry.kind == ScannedKind::Link);
    let targets = links.filter_map(|link| fs::canonicalize(&link.path).ok());
    // A link to `/usr` or a similar directory of the machine is not part of the headers.
    let outside = targets.filter(|target| !target.starts_with(&tree.path) && target.iter().count() > 3);
    Ok(outside.chain(included(&tree.path)?).collect())
}

/// Excludes the history of a source, which is large, and which builds do not read.
fn is_scanned(_: &Path, name: &OsStr) -> bool {
    name != ".git"
}
