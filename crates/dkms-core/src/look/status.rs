//! `dkms status`: shows the packages in the tree and the state of their builds. It only reads.

mod filter;
mod unfinished;

use crate::event::Sink;
use crate::system::System;
use dkms_conf::glob::matches_name;
use dkms_conf::kernel_match::compare_versions;
use dkms_sys::fs::{Dir, Kind};
pub use dkms_tree::entry::{Entry, State};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{Stamp, Summary};
use dkms_tree::state;
use filter::fits;
use std::path::{Path, PathBuf};

pub use filter::Filter;
pub(crate) use filter::escape;

/// Returns everything that matches one filter, in directory order, with weakly linked builds last. If a
/// command is changing something at the moment, the state before that change is shown.
///
/// This command must be fast. So it walks the tree through open directories, reads only what [`Summary`]
/// needs, and reads module files only if their stamps have changed.
pub fn status(system: &System, sink: &dyn Sink, filter: &Filter) -> Vec<Entry> {
    let mut entries = live(system, filter);
    for (kernels, before) in unfinished::unfinished(&system.layout, sink) {
        if fits(&filter.name, &before.package) {
            let now = live(system, &Filter { name: Some(escape(&before.package)), ..Filter::default() });
            entries = unfinished::as_before(filter, now, entries, &kernels, before);
        }
    }
    entries.extend(weak(&system.layout, filter));
    entries
}

/// The status of a package for these kernels, and of its versions that have no build. Reads only the tree.
pub fn of_package(system: &System, name: &str, kernels: &[&Kernel]) -> Vec<Entry> {
    let mut entries = live(system, &Filter { name: Some(escape(name)), ..Filter::default() });
    entries.retain(|e| e.kernel().is_none_or(|k| kernels.contains(&k)));
    entries
}

fn live(system: &System, filter: &Filter) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut buffer = Vec::new();
    if let Some(tree) = Dir::open(&system.layout.dkms_tree) {
        for (name, kind) in tree.entries() {
            if kind == Kind::Directory && fits(&filter.name, &name) {
                if let Some(dir) = tree.below(&name) {
                    package(system, filter, &name, &dir, &mut buffer, &mut entries);
                }
            }
        }
    }
    entries
}

/// A package directory that is being read.
struct Package<'a> {
    system: &'a System,
    dir: &'a Dir,
    inside: &'a [(String, Kind)],
    has_originals: bool,
}

fn package(
    system: &System,
    filter: &Filter,
    name: &str,
    dir: &Dir,
    buffer: &mut Vec<u8>,
    out: &mut Vec<Entry>,
) {
    let inside = dir.entries();
    let has_originals = inside.iter().any(|(n, _)| n == "original_module");
    let package = Package { system, dir, inside: &inside, has_originals };
    let first = out.len();
    for (version, kind) in &inside {
        if *kind != Kind::Directory || version == "original_module" || !fits(&filter.version, version) {
            continue;
        }
        let (Ok(id), Some(dir)) = (PackageId::new(name, version), package.dir.below(version)) else {
            continue;
        };
        if !dir.has_dir("source") {
            out.push(Entry::new(&id, State::Broken));
            continue;
        }
        let before = out.len();
        for (release, kind) in dir.entries() {
            if kind != Kind::Directory
                || !state::looks_like_release(&release)
                || !fits(&filter.release, &release)
            {
                continue;
            }
            package.builds(&id, &release, &dir, filter, buffer, out);
        }
        if out.len() == before {
            out.push(Entry::new(&id, State::Added));
        }
    }
    if system.settings.framework.fallback == Some(true) {
        let versions =
            inside.iter().filter(|(name, kind)| *kind == Kind::Directory && name != "original_module");
        let newest = versions.map(|(name, _)| name).max_by(|a, b| compare_versions(a, b));
        for entry in out.iter_mut().skip(first) {
            entry.fallback_for = newest.and_then(|newest| fallback_for(&system.layout, entry, newest));
        }
    }
}

/// Returns the newest version of a package, if an older version is installed for a kernel because the newest
/// did not build.
fn fallback_for(layout: &Layout, entry: &Entry, newest: &str) -> Option<String> {
    let State::Installed(kernel) = &entry.kind else { return None };
    let newer = Build::new(&PackageId::new(&entry.package.name, newest).ok()?, kernel);
    let failed = newer.package != entry.package
        && layout.failed_log(&newer).is_file()
        && !layout.module_dir(&newer).is_dir();
    failed.then(|| newest.to_owned())
}

impl Package<'_> {
    /// The builds for one kernel. There is usually only one architecture, and it is known. Then the kernel's
    /// directory need not be read.
    fn builds(
        &self,
        id: &PackageId,
        release: &str,
        dir: &Dir,
        filter: &Filter,
        buffer: &mut Vec<u8>,
        out: &mut Vec<Entry>,
    ) {
        if dir.subdirectories(release) == Some(1) {
            let linked = self
                .inside
                .iter()
                .find_map(|(name, _)| name.strip_prefix("kernel-")?.strip_prefix(release)?.strip_prefix('-'));
            let arch = linked.unwrap_or(&self.system.host.machine);
            if let Some(entry) = self.build(id, release, arch, dir, buffer) {
                out.extend(fits(&filter.arch, arch).then_some(entry));
                return;
            }
        }
        let Some(inside) = dir.below(release) else { return };
        for (arch, kind) in inside.entries() {
            if kind == Kind::Directory && fits(&filter.arch, &arch) {
                out.extend(self.build(id, release, &arch, dir, buffer));
            }
        }
    }

    /// One build; `dir` is the version's directory.
    fn build(
        &self,
        id: &PackageId,
        release: &str,
        arch: &str,
        dir: &Dir,
        buffer: &mut Vec<u8>,
    ) -> Option<Entry> {
        let build = Build::new(id, &Kernel::new(release, arch).ok()?);
        let glance = dir
            .read(format!("{release}/{arch}/.manifest.json"), buffer)
            .and_then(|bytes| Summary::parse(bytes, &build));
        if glance.is_none() && !dir.has_dir(format!("{release}/{arch}/module")) {
            return None;
        }
        let link = self.dir.link(format!("kernel-{release}-{arch}"));
        let active = link.is_some_and(|t| state::points_to(&self.system.layout, &t, &build));
        let kind =
            if active { State::Installed(build.kernel.clone()) } else { State::Built(build.kernel.clone()) };
        let mut entry = Entry::new(id, kind);
        entry.originals = self.has_originals && self.dir.has_dir(format!("original_module/{release}/{arch}"));
        match glance {
            Some(glance) => self.compare(&build, &glance, active, dir, &mut entry),
            None => {
                entry.built_missing = state::module_files(&self.system.layout, &build).is_empty();
                if active && !entry.built_missing {
                    compare_by_looking(self.system, &build, &mut entry);
                }
            }
        }
        Some(entry)
    }

    /// Compares the built and installed files with the manifest.
    fn compare(&self, build: &Build, glance: &Summary<'_>, active: bool, dir: &Dir, entry: &mut Entry) {
        let recorded = glance.installed.as_ref().map_or(&[][..], |i| &i.files);
        for module in &glance.modules {
            let below = format!("{}/{}/module/{}", build.kernel.release, build.kernel.arch, module.file);
            let Some(built) = dir.stat(&below).map(Stamp::from) else {
                entry.built_missing = true;
                continue;
            };
            let Some(file) = recorded.iter().find(|f| f.file == module.file).filter(|_| active) else {
                continue;
            };
            match Stamp::of(&file.path) {
                None => entry.built_missing = true,
                Some(now) if now == file.stamp && built == file.built => {}
                Some(_) => {
                    let path = self.system.layout.module_dir(build).join(&*module.file);
                    entry.differs |= !same(&file.path, &path);
                }
            }
        }
        if active && glance.installed.is_none() && !entry.built_missing {
            compare_by_looking(self.system, build, entry);
        }
        entry.differs &= !entry.built_missing;
    }
}

fn same(a: &Path, b: &Path) -> bool {
    dkms_sys::fs::same_contents(a, b).unwrap_or(false)
}

/// Compares built files with installed files for builds that dkms 3.x installed. If finding the destination
/// would require running dkms.conf in bash, nothing is reported.
fn compare_by_looking(system: &System, build: &Build, entry: &mut Entry) {
    for (file, places) in likely_places(system, build) {
        if places.is_empty() {
            continue;
        }
        let existing: Vec<_> = places.iter().filter(|c| dkms_sys::fs::exists(c)).collect();
        let same = existing.iter().any(|c| same(c, &file.path));
        entry.built_missing |= existing.is_empty();
        entry.differs |= !existing.is_empty() && !same;
    }
    entry.differs &= !entry.built_missing;
}

/// The module files of a build without a record, and the paths where each may be installed. The paths are
/// empty if only bash can determine them.
pub(crate) fn likely_places(system: &System, build: &Build) -> Vec<(state::ModuleFile, Vec<PathBuf>)> {
    let fixed = system.host.fixed_destination();
    let files = state::module_files(&system.layout, build);
    let place = |location: &str, f: &state::ModuleFile| {
        system.layout.destination(&build.kernel.release, location).join(&f.file)
    };
    // dkms.conf is read if it decides the destination, or may have decided it when this build was installed.
    // In the latter case the installed file must have the same contents, because it may be the kernel's own
    // module.
    let has_all_files = |dir: &String| files.iter().all(|f| dkms_sys::fs::exists(place(dir, f)));
    let written = if fixed.as_ref().is_some_and(has_all_files) {
        Vec::new()
    } else {
        native_destinations(system, build)
    };
    let counts = |path: &PathBuf, f: &state::ModuleFile| {
        fixed.is_none() || dkms_sys::fs::same_contents(path, &f.path).unwrap_or(false)
    };
    let places = |f: &state::ModuleFile| {
        let named = written.iter().filter(|(n, _)| *n == f.name).map(|(_, d)| place(d, f));
        fixed.iter().map(|d| place(d, f)).chain(named.filter(|path| counts(path, f))).collect()
    };
    files.iter().map(|f| (f.clone(), places(f))).collect()
}

fn native_destinations(system: &System, build: &Build) -> Vec<(String, String)> {
    let Ok(text) =
        dkms_sys::fs::read_bounded(system.layout.conf(&build.package), dkms_sys::fs::Limit::CONFIG)
    else {
        return Vec::new();
    };
    let before = dkms_conf::State {
        variables: crate::conf::load::variables(system, Some(&build.package), &build.kernel),
        directives: dkms_conf::Directives::new(),
    };
    let evaluated =
        dkms_conf::evaluate(&text, &before, dkms_conf::Dialect::Module, &crate::conf::regex_matches);
    let Ok(directives) = evaluated else { return Vec::new() };
    let (conf, _) = dkms_conf::module_conf::ModuleConf::from_directives(&directives);
    conf.modules.into_iter().map(|m| (m.dest_name, m.dest_location)).collect()
}

/// Modules that weak-modules linked into other kernels. A build is only listed if all its files are linked.
fn weak(layout: &Layout, filter: &Filter) -> Vec<Entry> {
    let mut found = Vec::new();
    for release in state::releases(layout) {
        let dir = layout.kernel_modules(&release).join("weak-updates");
        if !filter.release.as_deref().is_none_or(|p| matches_name(p, &release)) || !dir.is_dir() {
            continue;
        }
        let links = weak_links(&dir);
        if links.is_empty() {
            continue;
        }
        for package in state::all_packages(layout) {
            for build in state::builds(layout, &package) {
                if build.kernel.release == release || !state::is_active(layout, &build) {
                    continue;
                }
                let files = state::module_files(layout, &build);
                let linked = |f: &state::ModuleFile| {
                    links.iter().any(|link| {
                        link.name == f.file
                            && dkms_sys::fs::same_contents(&link.target, &f.path).unwrap_or(false)
                    })
                };
                let is_selected = filter.name.as_deref().is_none_or(|x| matches_name(x, &package.name))
                    && filter.version.as_deref().is_none_or(|x| matches_name(x, &package.version))
                    && filter.arch.as_deref().is_none_or(|x| matches_name(x, &build.kernel.arch));
                if is_selected && !files.is_empty() && files.iter().all(linked) {
                    let kernel = Kernel { release: release.clone(), arch: build.kernel.arch.clone() };
                    found.push(Entry::new(
                        &package,
                        State::InstalledWeak { kernel, from: build.kernel.release.clone() },
                    ));
                }
            }
        }
    }
    found
}

/// A link that weak-modules made.
pub(crate) struct WeakLink {
    /// Its file name.
    pub name: String,
    /// The path of the file.
    pub path: PathBuf,
    /// The module file it points to.
    pub target: PathBuf,
}

/// The links in a `weak-updates` directory that point to a file.
pub(crate) fn weak_links(dir: &Path) -> Vec<WeakLink> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = dkms_sys::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name().into_string());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(path),
                Ok(kind) if kind.is_symlink() => {
                    if let (Ok(name), Ok(target)) = (name, path.canonicalize()) {
                        found.push(WeakLink { name, path, target });
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// Returns whether any version of a package is weakly linked into a kernel.
pub fn is_weak(layout: &Layout, package: &PackageId, kernel: &Kernel) -> bool {
    let filter = Filter {
        name: Some(escape(&package.name)),
        version: Some(escape(&package.version)),
        release: Some(escape(&kernel.release)),
        arch: Some(escape(&kernel.arch)),
    };
    layout.kernel_modules(&kernel.release).join("weak-updates").is_dir() && !weak(layout, &filter).is_empty()
}
