//! `dkms status`: shows the packages in the tree and the state of their builds. It only reads.

mod filter;
mod unfinished;

use crate::event::Sink;
use crate::system::System;
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
    let mut entries = read_tree(system, filter);
    for (kernels, before) in unfinished::states_before(&system.layout, sink) {
        if fits(&filter.name, &before.package) {
            let now = read_tree(system, &Filter::of_package(&before.package));
            entries = unfinished::show_state_before(filter, now, entries, &kernels, before);
        }
    }
    entries.extend(weak_entries(&system.layout, filter));
    entries
}

/// Returns the entries of a package for these kernels, and of its versions that have no build. Unlike
/// [`status`], it ignores running commands and weak links.
pub fn package_status(system: &System, name: &str, kernels: &[&Kernel]) -> Vec<Entry> {
    let mut entries = read_tree(system, &Filter::of_package(name));
    entries.retain(|entry| entry.kernel().is_none_or(|kernel| kernels.contains(&kernel)));
    entries
}

fn read_tree(system: &System, filter: &Filter) -> Vec<Entry> {
    let mut reader = Reader { system, filter, buffer: Vec::new(), entries: Vec::new() };
    if let Some(tree) = Dir::open(&system.layout.dkms_tree) {
        for (name, kind) in tree.entries() {
            if kind == Kind::Directory && fits(&filter.name, &name) {
                if let Some(dir) = tree.below(&name) {
                    reader.read_package(&name, &dir);
                }
            }
        }
    }
    reader.entries
}

/// Collects the entries of the packages that a filter selects.
struct Reader<'a> {
    system: &'a System,
    filter: &'a Filter,
    /// The contents of a manifest; reused for each one.
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

/// The open directory of a package.
struct PackageDir<'a> {
    dir: &'a Dir,
    contents: Vec<(String, Kind)>,
    has_originals: bool,
}

/// The open directory of a package version.
struct VersionDir<'a> {
    package: &'a PackageDir<'a>,
    id: PackageId,
    dir: Dir,
}

impl Reader<'_> {
    fn read_package(&mut self, name: &str, dir: &Dir) {
        let filter = self.filter;
        let contents = dir.entries();
        let has_originals = contents.iter().any(|(entry, _)| entry == "original_module");
        let package = PackageDir { dir, contents, has_originals };
        let versions = || {
            let directories = package.contents.iter().filter(|(_, kind)| *kind == Kind::Directory);
            directories.map(|(entry, _)| entry).filter(|entry| *entry != "original_module")
        };
        let first = self.entries.len();
        for version in versions().filter(|version| fits(&filter.version, version)) {
            if let (Ok(id), Some(dir)) = (PackageId::new(name, version), dir.below(version)) {
                self.read_version(&VersionDir { package: &package, id, dir });
            }
        }
        if self.system.settings.framework.fallback == Some(true) {
            let newest = versions().max_by(|a, b| compare_versions(a, b));
            for entry in self.entries.iter_mut().skip(first) {
                entry.fallback_for =
                    newest.and_then(|newest| fallback_for(&self.system.layout, entry, newest));
            }
        }
    }

    fn read_version(&mut self, version: &VersionDir<'_>) {
        if !version.dir.has_dir("source") {
            self.entries.push(Entry::new(&version.id, State::Broken));
            return;
        }
        let before = self.entries.len();
        for (release, kind) in version.dir.entries() {
            if kind == Kind::Directory
                && state::looks_like_release(&release)
                && fits(&self.filter.release, &release)
            {
                self.read_builds(version, &release);
            }
        }
        if self.entries.len() == before {
            self.entries.push(Entry::new(&version.id, State::Added));
        }
    }

    /// Reads the builds for one kernel. Usually there is only one architecture, and it is known. Then the
    /// kernel's directory need not be read.
    fn read_builds(&mut self, version: &VersionDir<'_>, release: &str) {
        if version.dir.subdirectories(release) == Some(1) {
            let linked_arch =
                version.package.contents.iter().find_map(|(name, _)| {
                    name.strip_prefix("kernel-")?.strip_prefix(release)?.strip_prefix('-')
                });
            let arch = linked_arch.unwrap_or(&self.system.host.machine);
            if let Some(entry) = version.read_build(self.system, release, arch, &mut self.buffer) {
                self.entries.extend(fits(&self.filter.arch, arch).then_some(entry));
                return;
            }
        }
        let Some(dir) = version.dir.below(release) else { return };
        for (arch, kind) in dir.entries() {
            if kind == Kind::Directory && fits(&self.filter.arch, &arch) {
                self.entries.extend(version.read_build(self.system, release, &arch, &mut self.buffer));
            }
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

impl VersionDir<'_> {
    /// Returns the entry of one build; `None` if there is no build for this kernel.
    fn read_build(&self, system: &System, release: &str, arch: &str, buffer: &mut Vec<u8>) -> Option<Entry> {
        let build = Build::new(&self.id, &Kernel::new(release, arch).ok()?);
        let glance = self
            .dir
            .read(format!("{release}/{arch}/.manifest.json"), buffer)
            .and_then(|bytes| Summary::parse(bytes, &build));
        if glance.is_none() && !self.dir.has_dir(format!("{release}/{arch}/module")) {
            return None;
        }
        let package = self.package;
        let link = package.dir.link(format!("kernel-{release}-{arch}"));
        let active = link.is_some_and(|target| state::points_to(&system.layout, &target, &build));
        let kind = if active { State::Installed } else { State::Built };
        let mut entry = Entry::new(&self.id, kind(build.kernel.clone()));
        entry.originals =
            package.has_originals && package.dir.has_dir(format!("original_module/{release}/{arch}"));
        match glance {
            Some(glance) => self.compare(system, &build, &glance, active, &mut entry),
            None => {
                entry.built_missing = state::module_files(&system.layout, &build).is_empty();
                if active && !entry.built_missing {
                    compare_without_record(system, &build, &mut entry);
                }
            }
        }
        Some(entry)
    }

    /// Compares the built and installed files with the manifest.
    fn compare(&self, system: &System, build: &Build, glance: &Summary<'_>, active: bool, entry: &mut Entry) {
        let recorded = glance.installed.as_ref().map_or(&[][..], |installed| &installed.files);
        for module in &glance.modules {
            let path = format!("{}/{}/module/{}", build.kernel.release, build.kernel.arch, module.file);
            let Some(built) = self.dir.stat(&path).map(Stamp::from) else {
                entry.built_missing = true;
                continue;
            };
            let Some(file) = recorded.iter().find(|file| file.file == module.file).filter(|_| active) else {
                continue;
            };
            match Stamp::of(&file.path) {
                None => entry.built_missing = true,
                Some(now) if now == file.stamp && built == file.built => {}
                Some(_) => {
                    let path = system.layout.module_dir(build).join(&*module.file);
                    entry.differs |= !same_contents(&file.path, &path);
                }
            }
        }
        if active && glance.installed.is_none() && !entry.built_missing {
            compare_without_record(system, build, entry);
        }
        entry.differs &= !entry.built_missing;
    }
}

/// Returns whether two files have the same contents; `false` if one of them cannot be read.
pub(super) fn same_contents(a: &Path, b: &Path) -> bool {
    dkms_sys::fs::same_contents(a, b).unwrap_or(false)
}

/// Compares built files with installed files for builds that dkms 3.x installed. A file is skipped if only
/// bash could determine its destination from dkms.conf.
fn compare_without_record(system: &System, build: &Build, entry: &mut Entry) {
    for (file, paths) in possible_paths(system, build) {
        if paths.is_empty() {
            continue;
        }
        let existing: Vec<_> = paths.iter().filter(|path| dkms_sys::fs::exists(path)).collect();
        let same = existing.iter().any(|path| same_contents(path, &file.path));
        entry.built_missing |= existing.is_empty();
        entry.differs |= !existing.is_empty() && !same;
    }
    entry.differs &= !entry.built_missing;
}

/// Returns the module files of a build without a record, and the paths where each may be installed. The paths
/// are empty if only bash can determine them.
pub(super) fn possible_paths(system: &System, build: &Build) -> Vec<(state::ModuleFile, Vec<PathBuf>)> {
    let fixed = system.host.fixed_destination();
    let files = state::module_files(&system.layout, build);
    let path_in = |location: &str, file: &state::ModuleFile| {
        system.layout.destination(&build.kernel.release, location).join(&file.file)
    };
    // dkms.conf is read if it decides the destination, or may have decided it when this build was installed.
    // In the latter case the installed file must have the same contents, because it may be the kernel's own
    // module.
    let has_all_files = |dir: &String| files.iter().all(|file| dkms_sys::fs::exists(path_in(dir, file)));
    let written = if fixed.as_ref().is_some_and(has_all_files) {
        Vec::new()
    } else {
        native_destinations(system, build)
    };
    let paths = |file: &state::ModuleFile| {
        let named = written.iter().filter(|(name, _)| *name == file.name).map(|(_, dir)| path_in(dir, file));
        let named = named.filter(|path| fixed.is_none() || same_contents(path, &file.path));
        fixed.iter().map(|dir| path_in(dir, file)).chain(named).collect()
    };
    files.iter().map(|file| (file.clone(), paths(file))).collect()
}

/// Returns the name and DEST_MODULE_LOCATION of each module of a build, if dkms.conf can be evaluated without
/// bash.
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
    conf.modules.into_iter().map(|module| (module.dest_name, module.dest_location)).collect()
}

/// Returns the builds that weak-modules linked into other kernels. A build is only listed if all its files
/// are linked.
fn weak_entries(layout: &Layout, filter: &Filter) -> Vec<Entry> {
    let mut entries = Vec::new();
    for release in state::releases(layout) {
        let dir = layout.kernel_modules(&release).join("weak-updates");
        if !fits(&filter.release, &release) || !dir.is_dir() {
            continue;
        }
        let links = weak_links(&dir);
        if links.is_empty() {
            continue;
        }
        let is_linked = |file: &state::ModuleFile| {
            links.iter().any(|link| link.name == file.file && same_contents(&link.target, &file.path))
        };
        let packages = state::all_packages(layout).into_iter();
        let selected =
            packages.filter(|id| fits(&filter.name, &id.name) && fits(&filter.version, &id.version));
        for build in selected.flat_map(|package| state::builds(layout, &package)) {
            let Kernel { release: from, arch } = &build.kernel;
            if *from == release || !fits(&filter.arch, arch) || !state::is_active(layout, &build) {
                continue;
            }
            let files = state::module_files(layout, &build);
            if !files.is_empty() && files.iter().all(is_linked) {
                let kernel = Kernel { release: release.clone(), arch: arch.clone() };
                entries.push(Entry::new(&build.package, State::InstalledWeak { kernel, from: from.clone() }));
            }
        }
    }
    entries
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

/// Returns the links in a `weak-updates` directory and its subdirectories that point to existing files.
pub(crate) fn weak_links(dir: &Path) -> Vec<WeakLink> {
    let mut links = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = dkms_sys::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name().into_string());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(path),
                Ok(kind) if kind.is_symlink() => {
                    if let (Ok(name), Ok(target)) = (name, path.canonicalize()) {
                        links.push(WeakLink { name, path, target });
                    }
                }
                _ => {}
            }
        }
    }
    links
}

/// Returns whether a package version is weakly linked into a kernel.
pub fn is_weakly_linked(layout: &Layout, package: &PackageId, kernel: &Kernel) -> bool {
    let filter = Filter {
        name: Some(escape(&package.name)),
        version: Some(escape(&package.version)),
        release: Some(escape(&kernel.release)),
        arch: Some(escape(&kernel.arch)),
    };
    layout.kernel_modules(&kernel.release).join("weak-updates").is_dir()
        && !weak_entries(layout, &filter).is_empty()
}
