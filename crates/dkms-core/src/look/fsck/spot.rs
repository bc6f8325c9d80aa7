//! The spots: the tree is divided into places, and each place is checked in one step.

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

/// A place that is checked in one step.
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
    /// The directories in `/lib/modules`; `None`: they cannot be listed.
    pub kernels: Option<BTreeSet<String>>,
    pub unreadable: RefCell<BTreeSet<String>>,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, filters: &'a [Filter]) -> Self {
        let listed = dkms_sys::fs::list_dir(&system.layout.install_tree);
        let unreadable: BTreeSet<String> =
            listed.as_ref().err().map(ToString::to_string).into_iter().collect();
        let kernels = listed.ok().map(|names| {
            let dirs = names.into_iter().filter_map(|n| n.into_string().ok());
            dirs.filter(|n| system.layout.kernel_modules(n).is_dir()).collect()
        });
        Self { system, sink, filters, kernels, unreadable: RefCell::new(unreadable) }
    }

    /// Returns whether the filters select only some packages.
    pub(super) fn names_a_package(&self) -> bool {
        !self.filters.is_empty() && self.filters.iter().all(|f| f.name.is_some())
    }

    /// Returns whether the filters select this subject. A subject without a version or a kernel matches every
    /// version or kernel.
    pub(super) fn wants(&self, about: &About) -> bool {
        let fits = |pattern: &Option<String>, text: &Option<String>, unknown: bool| match (pattern, text) {
            (None, _) => true,
            (Some(p), Some(t)) => matches_name(p, t),
            (Some(_), None) => unknown,
        };
        self.filters.is_empty()
            || self.filters.iter().any(|f| {
                fits(&f.name, &about.package, false)
                    && fits(&f.version, &about.version, true)
                    && fits(&f.release, &about.release, true)
                    && fits(&f.arch, &about.arch, true)
            })
    }

    /// Every selected spot, in order.
    pub(super) fn spots(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        if !self.names_a_package() {
            spots.extend([Spot::Tree, Spot::Journals, Spot::Cache]);
        }
        spots.push(Spot::Sources);
        for name in subdirectories(&self.system.layout.dkms_tree) {
            if self.wants(&About::package(&name)) {
                self.package(&name, &mut spots);
            }
        }
        if !self.names_a_package() {
            let wanted = self.kernels.iter().flatten().filter(|k| self.wants(&About::release(k)));
            spots.extend(wanted.cloned().map(Spot::KernelDir));
        }
        spots
    }

    fn package(&self, name: &str, spots: &mut Vec<Spot>) {
        let before = spots.len();
        let layout = &self.system.layout;
        for (entry, what) in self.entries(&layout.package_dir(name)) {
            if entry == "original_module" && what == What::Directory {
                let root = layout.originals_root(name);
                self.kernels_below(&root, |k| spots.push(Spot::Originals(name.to_owned(), k)));
            } else if what == What::Link {
                let kernel = super::names::active_link(&entry).and_then(|(k, a)| Kernel::new(k, a).ok());
                spots.extend(kernel.map(|k| Spot::Link(name.to_owned(), k)));
            } else if what == What::Directory && !entry.starts_with('.') {
                let Ok(id) = PackageId::new(name, &entry) else { continue };
                if self.wants(&About::version(&id)) {
                    self.version(id, spots);
                }
            }
        }
        let about = |spot: &Spot| match spot {
            Spot::Link(_, k) | Spot::Originals(_, k) => About::package(name).on(k),
            Spot::Build(b) => About::build(b),
            _ => About::package(name),
        };
        let found = spots.split_off(before);
        // A filter for a version that does not exist does not select the package either.
        if found.iter().any(|s| matches!(s, Spot::Version(_))) || self.wants_all_versions(name) {
            spots.push(Spot::Package(name.to_owned()));
            spots.extend(found.into_iter().filter(|spot| self.wants(&about(spot))));
        }
    }

    fn wants_all_versions(&self, name: &str) -> bool {
        let fits =
            |f: &Filter| f.version.is_none() && f.name.as_deref().is_none_or(|p| matches_name(p, name));
        self.filters.is_empty() || self.filters.iter().any(fits)
    }

    fn version(&self, id: PackageId, spots: &mut Vec<Spot>) {
        let dir = self.system.layout.version_dir(&id);
        spots.push(Spot::Version(id.clone()));
        self.kernels_below(&dir, |k| spots.push(Spot::Build(Build::new(&id, &k))));
    }

    /// Calls `each` for each directory `K/A` below `dir`.
    fn kernels_below(&self, dir: &Path, mut each: impl FnMut(Kernel)) {
        for (release, what) in self.entries(dir) {
            if what != What::Directory || !looks_like_release(&release) {
                continue;
            }
            for (arch, what) in self.entries(&dir.join(&release)) {
                if what == What::Directory {
                    if let Ok(kernel) = Kernel::new(&release, &arch) {
                        each(kernel);
                    }
                }
            }
        }
    }

    /// Returns the names in a directory, sorted. A directory that no longer exists has none; an unreadable
    /// directory is recorded in the report.
    pub(super) fn entries(&self, dir: &Path) -> Vec<(String, What)> {
        let entries = match dkms_sys::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.note(&e);
                return Vec::new();
            }
        };
        let mut found: Vec<(String, What)> = entries
            .into_iter()
            .filter_map(|e| {
                let what = match e.file_type().ok()? {
                    t if t.is_dir() => What::Directory,
                    t if t.is_symlink() => What::Link,
                    _ => What::File,
                };
                Some((e.file_name().into_string().ok()?, what))
            })
            .collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Notes something that could not be checked. If it no longer exists, there is nothing to note.
    pub(super) fn note(&self, e: &dkms_sys::IoError) {
        if !e.is_not_found() {
            self.unreadable.borrow_mut().insert(e.to_string());
        }
    }

    /// Returns whether a kernel's directory exists; `None` if `/lib/modules` cannot be listed.
    pub(super) fn has_kernel(&self, release: &str) -> Option<bool> {
        self.kernels.as_ref().map(|k| k.contains(release))
    }
}
