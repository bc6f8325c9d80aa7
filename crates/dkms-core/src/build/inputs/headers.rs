//! What a kernel's headers and build tools are, in one short value each that is the same on every machine
//! that has the same packages.
//!
//! 16,000 files are too many to read for each command. So:
//!
//! - If a package of the distribution owns a directory, the package's own list of digests stands for it. A
//!   file that may have changed since it was unpacked is read: one that is newer than the package, or that
//!   was written after the package's files were complete. What differs from the package is a part of the
//!   value.
//! - Otherwise all files are read.
//! - The value is remembered in the dkms tree, with the stamps of all files.
//!
//! Decision 22 has the reasons and the measurements.

use super::contents;
use super::dpkg::Dpkg;
use super::memory::Memory;
use super::package::{self, Package};
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

/// The most files of one tree. A kernel's source with all objects has 100,000.
const FILES: usize = 1_000_000;

/// The most trees: Ubuntu's headers link to thirty directories of another package.
const TREES: usize = 200;

/// Identifies a kernel's headers.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn identify(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    headers: &Headers,
    tools: &Tools,
    keep: bool,
) -> Result<Identity, dkms_sys::IoError> {
    let trees = trees(&system.layout, &system.settings, kernel, headers)?;
    let memory = Memory::of(&system.layout, kernel, &trees);
    if let Some(known) = memory.recall() {
        return Ok(known);
    }
    let identity = examine(&system.host, &trees, tools.dpkg())?;
    if keep {
        memory.keep(&system.host, sink, &trees, &identity);
    }
    Ok(identity)
}

/// Reads what is needed to identify the trees.
fn examine(host: &Host, trees: &[Tree], dpkg: Option<&Dpkg>) -> Result<Identity, dkms_sys::IoError> {
    let mut packages: BTreeMap<String, Package<'_>> = BTreeMap::new();
    let mut values: Vec<(bool, String)> = Vec::new();
    for tree in trees {
        match package::owner(host, dpkg, &tree.path) {
            Some(package) => packages.entry(package.label.clone()).or_insert(package).trees.push(tree),
            None => values.push((false, format!("tree:{}", contents::digest_of(tree)?))),
        }
    }
    for package in packages.into_values() {
        values.push((package.label.contains("kbuild"), package.value()?));
    }
    let join = |kbuild: bool| {
        let chosen = values.iter().filter(|(of_kbuild, _)| *of_kbuild == kbuild);
        let mut chosen: Vec<&str> = chosen.map(|(_, value)| value.as_str()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.join(" ")
    };
    Ok(Identity { headers: join(false), kbuild: Some(join(true)).filter(|value| !value.is_empty()) })
}

/// All trees of a kernel's headers: the directory itself, what it includes, and where links in it lead.
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
        // Sorted: a directory comes before those in it.
        pending.dedup_by(|inner, outer| inner.starts_with(&*outer));
        pending.truncate(TREES.saturating_sub(trees.len()));
        if pending.is_empty() {
            break;
        }
        let found = scan_all(&pending)?;
        pending = found.iter().map(leads_to).collect::<Result<Vec<_>, _>>()?.concat();
        trees.extend(found);
    }
    trees.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(trees)
}

/// Scans several directories at once: most of the time is system calls.
fn scan_all(paths: &[PathBuf]) -> Result<Vec<Tree>, dkms_sys::IoError> {
    let scan = |path: &PathBuf| -> Result<Tree, dkms_sys::IoError> {
        Ok(Tree { path: path.clone(), entries: fs::scan(path, &is_scanned, FILES)? })
    };
    let threads = dkms_sys::sys::nproc().clamp(1, 4);
    let size = paths.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let part = |paths: &[PathBuf]| paths.iter().map(scan).collect::<Result<Vec<_>, _>>();
        let mut running = Vec::new();
        let mut all = Vec::new();
        for paths in paths.chunks(size) {
            match std::thread::Builder::new().spawn_scoped(scope, move || part(paths)) {
                Ok(thread) => running.push(thread),
                // There are too many threads already.
                Err(_) => all.extend(part(paths)?),
            }
        }
        for thread in running {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// Where links lead that leave a tree, and the makefiles that it includes.
fn leads_to(tree: &Tree) -> Result<Vec<PathBuf>, dkms_sys::IoError> {
    let links = tree.entries.iter().filter(|entry| entry.kind == ScannedKind::Link);
    let targets = links.filter_map(|link| fs::canonicalize(&link.path).ok());
    // A link to the machine's `/usr` or the like is no part of the headers.
    let outside = targets.filter(|target| !target.starts_with(&tree.path) && target.iter().count() > 3);
    Ok(outside.chain(included(&tree.path)?).collect())
}

/// The history of a source is large, and no build reads it.
fn is_scanned(_: &Path, name: &OsStr) -> bool {
    name != ".git"
}
