//! The spots into which the tree is divided.

use super::about::About;
use crate::event::Sink;
use crate::look::status::Filter;
use crate::system::System;
use dkms_conf::glob::matches_name;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::{looks_like_release, subdirectories};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

/// A file or directory that is checked in one step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// Files at the top of the tree.
    Tree,
    /// `.journal/`
    Journals,
    /// `/usr/src`
    Sources,
    /// `/var/cache/dkms`
    Cache,
    /// `M`, without the contents of its versions.
    Package(String),
    /// `M/V`, without the contents of `K/A`.
    Version(PackageId),
    /// `M/V/K/A`, and the files it installed.
    Build(Build),
    /// `M/kernel-K-A`
    Link(String, Kernel),
    /// `M/original_module/K/A`
    Originals(String, Kernel),
    /// `/lib/modules/K`
    KernelDir(String),
}

/// The type of a directory entry. Links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    Link,
    File,
}

/// One pass over all spots.
pub(super) struct Inspection<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    filters: &'a [Filter],
    /// The directories in `/lib/modules`; `None` if they cannot be listed.
    pub kernels: Option<BTreeSet<String>>,
    /// The errors about files that could not be read.
    pub unreadable: RefCell<BTreeSet<String>>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, filters: &'a [Filter]) -> Self {
        let listed = dkms_sys::fs::list_dir(&system.layout.install_tree);
        let unreadable: BTreeSet<String> =
            listed.as_ref().err().map(ToString::to_string).into_iter().collect();
        let kernels = listed.ok().map(|names| {
            let names = names.into_iter().filter_map(|name| name.into_string().ok());
            names.filter(|name| system.layout.kernel_modules(name).is_dir()).collect()
        });
        Self { system, sink, filters, kernels, unreadable: RefCell::new(unreadable) }
    }

    /// Returns whether the filters select particular packages.
    pub(super) fn names_a_package(&self) -> bool {
        !self.filters.is_empty() && self.filters.iter().all(|f| f.name.is_some())
    }

    /// Returns whether the filters select this subject. A subject without a version or a kernel matches every
    /// version or kernel.
    pub(super) fn selects(&self, about: &About) -> bool {
        let fits = |pattern: &Option<String>, text: &Option<String>, if_unknown: bool| match (pattern, text) {
            (None, _) => true,
            (Some(pattern), Some(text)) => matches_name(pattern, text),
            (Some(_), None) => if_unknown,
        };
        self.filters.is_empty()
            || self.filters.iter().any(|filter| {
                fits(&filter.name, &about.package, false)
                    && fits(&filter.version, &about.version, true)
                    && fits(&filter.release, &about.release, true)
                    && fits(&filter.arch, &about.arch, true)
            })
    }

    /// Returns every selected spot, in the order of the checks.
    pub(super) fn spots(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        if !self.names_a_package() {
            spots.extend([Spot::Tree, Spot::Journals, Spot::Cache]);
        }
        spots.push(Spot::Sources);
        for name in subdirectories(&self.system.layout.dkms_tree) {
            if self.selects(&About::package(&name)) {
                spots.extend(self.spots_of_package(&name));
            }
        }
        if !self.names_a_package() {
            let selected =
                self.kernels.iter().flatten().filter(|release| self.selects(&About::release(release)));
            spots.extend(selected.cloned().map(Spot::KernelDir));
        }
        spots
    }

    fn spots_of_package(&self, name: &str) -> Vec<Spot> {
        let layout = &self.system.layout;
        let mut spots = Vec::new();
        for (entry, what) in self.entries(&layout.package_dir(name)) {
            if entry == "original_module" && what == What::Directory {
                let kernels = self.kernels_below(&layout.originals_root(name)).into_iter();
                spots.extend(kernels.map(|kernel| Spot::Originals(name.to_owned(), kernel)));
            } else if what == What::Link {
                let kernel = super::names::active_link(&entry).and_then(|(k, a)| Kernel::new(k, a).ok());
                spots.extend(kernel.map(|kernel| Spot::Link(name.to_owned(), kernel)));
            } else if what == What::Directory && !entry.starts_with('.') {
                let Ok(id) = PackageId::new(name, &entry) else { continue };
                if self.selects(&About::version(&id)) {
                    spots.push(Spot::Version(id.clone()));
                    let kernels = self.kernels_below(&layout.version_dir(&id));
                    spots.extend(kernels.iter().map(|kernel| Spot::Build(Build::new(&id, kernel))));
                }
            }
        }
        // A filter for a version that does not exist does not select the package either.
        let has_version = spots.iter().any(|spot| matches!(spot, Spot::Version(_)));
        if !has_version && !self.selects_all_versions(name) {
            return Vec::new();
        }
        let about = |spot: &Spot| match spot {
            Spot::Link(_, kernel) | Spot::Originals(_, kernel) => About::package(name).for_kernel(kernel),
            Spot::Build(build) => About::build(build),
            _ => About::package(name),
        };
        spots.retain(|spot| self.selects(&about(spot)));
        spots.insert(0, Spot::Package(name.to_owned()));
        spots
    }

    fn selects_all_versions(&self, name: &str) -> bool {
        let fits = |filter: &Filter| {
            filter.version.is_none()
                && filter.name.as_deref().is_none_or(|pattern| matches_name(pattern, name))
        };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }

    /// Returns the kernels that have a directory `K/A` below `dir`.
    fn kernels_below(&self, dir: &Path) -> Vec<Kernel> {
        let directories = |dir: &Path| {
            let entries = self.entries(dir).into_iter();
            entries.filter(|(_, what)| *what == What::Directory).map(|(name, _)| name)
        };
        let mut kernels = Vec::new();
        for release in directories(dir).filter(|name| looks_like_release(name)) {
            kernels.extend(
                directories(&dir.join(&release)).filter_map(|arch| Kernel::new(&release, &arch).ok()),
            );
        }
        kernels
    }

    /// Returns the names in a directory and their types, sorted. A directory that does not exist has none. An
    /// unreadable directory is recorded in the report.
    pub(super) fn entries(&self, dir: &Path) -> Vec<(String, What)> {
        let entries = match dkms_sys::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.note(&e);
                return Vec::new();
            }
        };
        let mut names: Vec<(String, What)> = entries
            .into_iter()
            .filter_map(|entry| {
                let what = match entry.file_type().ok()? {
                    kind if kind.is_dir() => What::Directory,
                    kind if kind.is_symlink() => What::Link,
                    _ => What::File,
                };
                Some((entry.file_name().into_string().ok()?, what))
            })
            .collect();
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        names
    }

    /// Records that a file could not be read, unless it does not exist.
    pub(super) fn note(&self, e: &dkms_sys::IoError) {
        if !e.is_not_found() {
            self.unreadable.borrow_mut().insert(e.to_string());
        }
    }

    /// Returns whether a kernel's directory exists; `None` if `/lib/modules` cannot be listed.
    pub(super) fn has_kernel(&self, release: &str) -> Option<bool> {
        self.kernels.as_ref().map(|kernels| kernels.contains(release))
    }
}
