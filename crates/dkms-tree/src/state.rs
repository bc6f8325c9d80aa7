//! Determines the contents of the tree from its directories and links. Runs no code and evaluates no
//! dkms.conf.

use crate::ids::{Build, Kernel, PackageId, Release};
use crate::layout::Layout;
use std::path::{Path, PathBuf};

/// The state of a package version in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The directory does not exist.
    Absent,
    /// `source` points to a directory.
    Added,
    /// The version directory exists, but `source` is missing or dangling.
    Broken,
}

/// What is missing in a broken registration; `add` fixes a missing link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// There is no `source`.
    LinkMissing,
    /// `source` is a dangling link.
    TargetMissing,
}

/// The state of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildState {
    /// `K/A/module` does not exist.
    NotBuilt,
    /// Built, but `kernel-K-A` does not point to it.
    Built,
    /// Built, and `kernel-K-A` points to it.
    Installed,
}

/// Finds the state of a package version.
pub fn registration(layout: &Layout, package: &PackageId) -> Registration {
    if !layout.version_dir(package).is_dir() {
        Registration::Absent
    } else if breakage(layout, package).is_some() {
        Registration::Broken
    } else {
        Registration::Added
    }
}

/// What is missing in a version directory that exists.
pub fn breakage(layout: &Layout, package: &PackageId) -> Option<Breakage> {
    let link = layout.source_link(package);
    if link.symlink_metadata().is_err() {
        Some(Breakage::LinkMissing)
    } else if !link.is_dir() {
        Some(Breakage::TargetMissing)
    } else {
        None
    }
}

/// Finds the state of a build.
pub fn build_state(layout: &Layout, build: &Build) -> BuildState {
    if !layout.module_dir(build).is_dir() {
        BuildState::NotBuilt
    } else if is_active(layout, build) {
        BuildState::Installed
    } else {
        BuildState::Built
    }
}

/// Returns whether `kernel-K-A` points to this build.
pub fn is_active(layout: &Layout, build: &Build) -> bool {
    active_version(layout, &build.package.name, &build.kernel).is_some_and(|v| v == build.package.version)
}

/// The version that `kernel-K-A` points to for a kernel.
pub fn active_version(layout: &Layout, name: &str, kernel: &Kernel) -> Option<String> {
    let target = std::fs::read_link(layout.active_link(name, kernel)).ok()?;
    version_in_target(layout, &target, name, kernel)
}

/// Returns whether a `kernel-K-A` link with this target points to this build.
pub fn points_to(layout: &Layout, target: &Path, build: &Build) -> bool {
    version_in_target(layout, target, &build.package.name, &build.kernel)
        .is_some_and(|v| v == build.package.version)
}

fn version_in_target(layout: &Layout, target: &Path, name: &str, kernel: &Kernel) -> Option<String> {
    // Usually V/K/A; an absolute link into the tree means the same.
    let inside = target.is_absolute().then(|| target.strip_prefix(layout.package_dir(name)).ok()).flatten();
    let mut parts = inside.unwrap_or(target).iter();
    let (version, release, arch) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = release == kernel.release.as_str() && arch == kernel.arch.as_str() && parts.next().is_none();
    fits.then(|| version.to_string_lossy().into_owned())
}

/// Every package version directory, sorted by directory name at each level. `keep` filters the names of
/// packages and versions. Entries that are not version directories (`original_module`, links, dot names) are
/// left out.
pub fn packages(layout: &Layout, keep: &dyn Fn(&str, Option<&str>) -> bool) -> Vec<PackageId> {
    let mut found = Vec::new();
    for name in subdirectories(&layout.dkms_tree) {
        if !keep(&name, None) {
            continue;
        }
        for version in subdirectories(&layout.dkms_tree.join(&name)) {
            if version == "original_module" || !keep(&name, Some(&version)) {
                continue;
            }
            if let Ok(id) = PackageId::new(&name, &version) {
                found.push(id);
            }
        }
    }
    found
}

/// Every package version, sorted.
pub fn all_packages(layout: &Layout) -> Vec<PackageId> {
    packages(layout, &|_, _| true)
}

/// All versions of one package, sorted by directory name.
pub fn versions(layout: &Layout, name: &str) -> Vec<PackageId> {
    subdirectories(&layout.package_dir(name))
        .into_iter()
        .filter(|v| v != "original_module")
        .filter_map(|v| PackageId::new(name, &v).ok())
        .collect()
}

/// The builds of a package version, sorted by directory name.
pub fn builds(layout: &Layout, package: &PackageId) -> Vec<Build> {
    let base = layout.version_dir(package);
    let mut found = Vec::new();
    for release in subdirectories(&base) {
        if !looks_like_release(&release) {
            continue;
        }
        for arch in subdirectories(&base.join(&release)) {
            if base.join(&release).join(&arch).join("module").is_dir() {
                if let Ok(kernel) = Kernel::new(&release, &arch) {
                    found.push(Build::new(package, &kernel));
                }
            }
        }
    }
    found
}

/// Returns whether a name looks like that of a kernel's directory: it begins with digits and a dot, unlike
/// `build`, `source` and `tarball`.
pub fn looks_like_release(name: &str) -> bool {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && name.as_bytes().get(digits) == Some(&b'.')
}

/// The version of `name` that is installed for a kernel: built, and the target of the link.
pub fn installed_version(layout: &Layout, name: &str, kernel: &Kernel) -> Option<PackageId> {
    let version = active_version(layout, name, kernel)?;
    let id = PackageId::new(name, &version).ok()?;
    layout.module_dir(&Build::new(&id, kernel)).is_dir().then_some(id)
}

/// The module files of a build (`NAME.ko` with or without a compression suffix), sorted.
pub fn module_files(layout: &Layout, build: &Build) -> Vec<ModuleFile> {
    let dir = layout.module_dir(build);
    let mut found: Vec<ModuleFile> = names(&dir)
        .into_iter()
        .filter_map(|file| {
            Some(ModuleFile { name: module_stem(&file)?.to_owned(), path: dir.join(&file), file })
        })
        .collect();
    found.sort();
    found
}

/// One module file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleFile {
    /// The name without `.ko` and the suffix of the compression.
    pub name: String,
    /// The name of the file.
    pub file: String,
    /// The full path.
    pub path: PathBuf,
}

/// `v4l2loopback` for `v4l2loopback.ko.xz`; `None` if the name is not that of a module.
pub fn module_stem(file: &str) -> Option<&str> {
    [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().find_map(|s| file.strip_suffix(s)).filter(|s| !s.is_empty())
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect()
}

/// The kernels that have a directory in `/lib/modules`, sorted bytewise.
#[must_use]
pub fn releases(layout: &Layout) -> Vec<Release> {
    subdirectories(&layout.install_tree).into_iter().filter_map(|name| Release::try_from(name).ok()).collect()
}

/// The names of the directories in `dir` (without links and dot names), sorted bytewise.
pub fn subdirectories(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|e| {
            let e = e.ok()?;
            let name = e.file_name().into_string().ok()?;
            (!name.starts_with('.') && e.file_type().ok()?.is_dir()).then_some(name)
        })
        .collect();
    found.sort_unstable();
    found
}
