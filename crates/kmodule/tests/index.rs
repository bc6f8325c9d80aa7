//! Compares the index byte for byte with the one written by the depmod of this machine, and by that of Debian
//! 13.
//!
//! The modules and Debian 13's depmod are from the test layers (`tests/fetch.sh`). If the layers are missing,
//! or the version of depmod is unknown, a test prints that it is skipped.

#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

mod common;

use kmodule::index::{self, Cache, Config, Facts, Lists, Module, NewCache, Version};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel's directory below a temporary base directory, in which depmod may write.
struct Tree {
    base: tempfile::TempDir,
    release: String,
    depmods: Vec<(PathBuf, Version)>,
    /// The configuration of depmod. Without it, that of this machine applies.
    config: Option<String>,
    /// The data read so far, kept as dkms keeps it.
    cache: RefCell<String>,
}

impl Tree {
    /// The modules of a layer such as `image-6.1`, as links to the same files; otherwise prints the reason
    /// and returns `None`.
    fn of_layer(layer: &str) -> Option<Self> {
        let build = std::env::var_os("DKMS_TEST_BUILD")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../build"), PathBuf::from);
        let modules = build.join("layers").join(layer).join("root/usr/lib/modules");
        let known = |depmod: PathBuf| version_of(&depmod).map(|version| (depmod, version));
        let depmods = [PathBuf::from("depmod"), build.join("layers/depmod-34/depmod")];
        let depmods: Vec<_> = depmods.into_iter().filter_map(known).collect();
        if depmods.len() < 2 {
            common::skip("one of the two versions of depmod is missing");
        }
        let found = std::fs::read_dir(&modules).ok().and_then(|mut entries| entries.next()?.ok());
        let Some(source) = found.filter(|_| !depmods.is_empty()) else {
            common::skip(&format!("no {} or no depmod of a known version", modules.display()));
            return None;
        };
        let base = tempfile::tempdir_in(&build).expect("temporary directory");
        let release = source.file_name().into_string().expect("release");
        let tree = Self { base, release, depmods, config: None, cache: RefCell::default() };
        link_tree(&source.path(), &tree.dir());
        Some(tree)
    }

    fn dir(&self) -> PathBuf {
        self.base.path().join("lib/modules").join(&self.release)
    }

    /// Runs each depmod, then writes our own index for its version, and compares all files.
    fn compare(&self, what: &str) {
        for (depmod, version) in &self.depmods {
            self.compare_with(depmod, *version, what);
        }
    }

    fn compare_with(&self, depmod: &Path, version: Version, what: &str) {
        let mut command = Command::new(depmod);
        command.arg("-a").arg("-b").arg(self.base.path());
        if let Some(config) = &self.config {
            let file = self.base.path().join("depmod.conf");
            std::fs::write(&file, config).expect("write");
            command.arg("-C").arg(file);
        }
        let said = command.arg(&self.release).output().expect("depmod");
        assert!(said.status.success() && said.stderr.is_empty(), "{what}: {said:?}");
        let ours = self.index_of(version).unwrap_or_else(|e| panic!("{what}: {e}"));
        for (name, bytes) in &ours {
            let theirs =
                std::fs::read(self.dir().join(name)).unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
            let (have, want) = (bytes.len(), theirs.len());
            assert!(&theirs == bytes, "{what}: {name} differs from {version:?}'s: {have} and {want} bytes");
        }
        assert!(ours.len() >= 10);
    }

    fn index(&self) -> Result<BTreeMap<&'static str, Vec<u8>>, index::Decline> {
        self.index_of(self.depmods[0].1)
    }

    fn index_of(&self, version: Version) -> Result<BTreeMap<&'static str, Vec<u8>>, index::Decline> {
        let mut paths = Vec::new();
        let config = self.config()?;
        walk(&self.dir(), "", &config, &mut paths);
        let selected = index::select(&paths, &config)?;
        let text = self.cache.borrow().clone();
        let cache = Cache::parse(&text);
        let mut new = NewCache::new("a depmod");
        for path in selected.into_iter().filter_map(|at| paths.get(at)) {
            let file = self.dir().join(path);
            let meta = std::fs::metadata(&file).expect("module");
            let stamp = format!("{}:{}:{:?}", meta.ino(), meta.len(), meta.modified().expect("time"));
            let stamp = stamp.replace(' ', "");
            match cache.facts(path, &stamp) {
                Some(facts) => new.add(path, &stamp, facts),
                None => {
                    let bytes = std::fs::read(file).expect("module");
                    let bytes = kmodule::compress::decompress(&bytes, 1 << 30).expect("decompress");
                    let mut facts = String::new();
                    Facts::read(&bytes)?.append_to(&mut facts);
                    new.add(path, &stamp, &facts);
                }
            }
        }
        let text = new.finish();
        let cache = Cache::parse(&text);
        let facts: Vec<(&str, Facts<'_>)> =
            cache.iter().map(|(path, facts)| (path, Facts::parse(facts))).collect();
        let modules: Vec<Module<'_>> = facts.iter().map(|(path, facts)| Module { path, facts }).collect();
        self.cache.replace(text.clone());
        let text = |name: &str| std::fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        let modinfo = std::fs::read(self.dir().join("modules.builtin.modinfo")).unwrap_or_default();
        let (order, builtin) = (text("modules.order"), text("modules.builtin"));
        let lists = Lists { order: &order, builtin: &builtin, builtin_modinfo: &modinfo };
        Ok(index::write(version, &modules, &lists)?.into_iter().map(|file| (file.name, file.bytes)).collect())
    }

    /// The configuration that depmod also reads. `5.10` stands for another kernel in it.
    fn config(&self) -> Result<Config, index::Decline> {
        if let Some(config) = &self.config {
            return Config::parse([config.as_str()], &|pattern| pattern != "5.10");
        }
        let mut files = BTreeMap::new();
        for dir in ["/lib/depmod.d", "/usr/local/lib/depmod.d", "/run/depmod.d", "/etc/depmod.d"] {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                files.insert(entry.file_name(), std::fs::read_to_string(entry.path()).expect("text"));
            }
        }
        Config::parse(files.values().map(String::as_str), &|_| panic!("a pattern"))
    }

    fn module(&self, name: &str) -> PathBuf {
        let mut paths = Vec::new();
        walk(&self.dir(), "", &Config::default(), &mut paths);
        let found = paths.iter().find(|path| path.ends_with(&format!("/{name}.ko")));
        self.dir().join(found.unwrap_or_else(|| panic!("no {name}")))
    }

    fn place(&self, path: &str, from: &Path) {
        let to = self.dir().join(path);
        std::fs::create_dir_all(to.parent().expect("parent")).expect("directory");
        let _ = std::fs::remove_file(&to);
        std::fs::copy(from, to).expect("copy");
    }
}

fn version_of(depmod: &Path) -> Option<Version> {
    let said = Command::new(depmod).arg("--version").output().ok()?;
    Version::from_line(String::from_utf8_lossy(&said.stdout).lines().next()?)
}

fn xz_of(module: &[u8]) -> Vec<u8> {
    let options = kmodule::compress::Options::parse(kmodule::Compression::Xz, "").expect("options");
    kmodule::compress::compress(module, &options).expect("xz")
}

fn link_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("directory");
    for entry in std::fs::read_dir(from).expect("directory").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("type") {
            kind if kind.is_dir() => link_tree(&source, &target),
            // depmod replaces its own files by renaming, so the files of the layer are unchanged.
            kind if kind.is_file() => std::fs::hard_link(source, target).expect("link"),
            _ => {}
        }
    }
}

/// The module files, in directory order.
fn walk(dir: &Path, below: &str, config: &Config, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("directory").flatten() {
        let name = entry.file_name().into_string().expect("name");
        if config.excludes(&name) {
            continue;
        }
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            walk(&entry.path(), &path, config, paths);
        } else if index::is_module(&name) {
            paths.push(path);
        }
    }
}

#[test]
fn the_index_of_a_kernel_is_that_of_depmod() {
    for layer in ["image-6.1", "vm-6.1", "vm-6.12"] {
        let Some(tree) = Tree::of_layer(layer) else { return };
        tree.compare(layer);
    }
}

#[test]
fn it_stays_so_while_modules_come_and_go() {
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    let xz = |path: &Path| {
        let bytes = std::fs::read(path).expect("module");
        let file = tree.base.path().join("compressed");
        std::fs::write(&file, xz_of(&bytes)).expect("write");
        file
    };
    let (dummy, raid) = (tree.module("dummy"), tree.module("raid456"));
    tree.place("updates/dkms/new-name.ko", &dummy);
    tree.compare("a module outside of modules.order");
    tree.place("updates/dkms/another.ko", &raid);
    tree.compare("one that needs others");
    tree.place("updates/dkms/dummy.ko", &dummy);
    tree.compare("one that overrides the kernel's");
    tree.place("extra/dummy.ko", &dummy);
    tree.compare("one that overrides nothing");
    tree.place("updates/dummy.ko.xz", &xz(&dummy));
    tree.compare("two in updates");
    std::fs::remove_file(tree.dir().join("updates/dkms/dummy.ko")).expect("remove");
    tree.compare("removed");
    tree.place("updates/dkms/xor.ko", &tree.module("xor"));
    tree.compare("one that others need has moved");
    std::fs::remove_dir_all(tree.dir().join("updates")).expect("remove");
    tree.compare("all removed");
    std::os::unix::fs::symlink(&raid, tree.dir().join("extra/linked.ko")).expect("link");
    tree.compare("a link to a module");
}

#[test]
fn lists_may_be_empty() {
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        // Create a new file, because the old one is a link to the layer's file.
        std::fs::remove_file(tree.dir().join(name)).expect("remove");
        std::fs::write(tree.dir().join(name), "").expect("write");
        tree.compare(&format!("an empty {name}"));
    }
    std::fs::remove_dir_all(tree.dir().join("kernel")).expect("remove");
    tree.compare("no modules at all");
}

#[test]
fn what_could_differ_is_left_to_depmod() {
    let Some(mut tree) = Tree::of_layer("vm-6.1") else { return };
    let file = tree.base.path().join("text");
    std::fs::write(&file, "not a module").expect("write");
    tree.place("updates/text.ko", &file);
    assert!(tree.index().is_err(), "not an ELF file");
    std::fs::remove_file(tree.dir().join("updates/text.ko")).expect("remove");
    tree.place("updates/dotted.name.ko", &tree.module("dummy"));
    assert!(tree.index().is_err(), "a name with a dot");
    std::fs::remove_file(tree.dir().join("updates/dotted.name.ko")).expect("remove");
    tree.place("updates/zipped.ko.gz", &file);
    assert!(tree.index().is_err(), "gzip");
    std::fs::remove_file(tree.dir().join("updates/zipped.ko.gz")).expect("remove");
    let mut foreign = std::fs::read(tree.module("dummy")).expect("module");
    // e_machine: AArch64.
    foreign[18..20].copy_from_slice(&[183, 0]);
    std::fs::write(&file, foreign).expect("write");
    tree.place("updates/foreign.ko", &file);
    tree.compare("a module for another type of machine");
    std::fs::remove_file(tree.dir().join("updates/foreign.ko")).expect("remove");
    tree.config = Some("external * /root/modules\nsearch external updates built-in\n".to_owned());
    assert!(tree.index().is_err(), "external directories");
    tree.config = None;
    tree.compare("nothing odd is left");
}

/// One step of the walk.
const KINDS: [Kind; 12] = [
    Kind::NewName,
    Kind::SameName,
    Kind::Override,
    Kind::Dependents,
    Kind::Move,
    Kind::Compress,
    Kind::Uncompress,
    Kind::RemoveOwn,
    Kind::RemoveKernels,
    Kind::Configure,
    Kind::DamageCache,
    Kind::ChangeFile,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A package's module, under a name of its own.
    NewName,
    /// Another copy of a module, anywhere.
    SameName,
    /// Installed where it overrides one of the kernel's modules.
    Override,
    /// A module that others depend on, or one that depends on others.
    Dependents,
    Move,
    Compress,
    Uncompress,
    RemoveOwn,
    RemoveKernels,
    /// Another depmod.d.
    Configure,
    DamageCache,
    /// A file is replaced behind our back.
    ChangeFile,
}

/// The lines of depmod.d that the walk chooses from.
const CONFIGURATIONS: [&str; 7] = [
    "",
    "search extra updates built-in\n",
    "search built-in updates\n",
    "search updates built-in\noverride dummy * extra\noverride xor * kernel/drivers/misc\n",
    "override dummy 5.10 extra\nsearch updates extra built-in\n",
    "exclude extra\n",
    "search updates/dkms updates built-in\nexclude .debug misc\nmake_map_files no\n",
];

/// Numbers that are the same in each run, so that a failure is reproducible.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("small")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

struct Walk {
    tree: Tree,
    numbers: Numbers,
    /// The kernel's modules: path and content.
    kernels: Vec<(PathBuf, Vec<u8>)>,
    /// Modules of another kernel.
    foreign: Vec<(PathBuf, Vec<u8>)>,
    placed: Vec<PathBuf>,
}

impl Walk {
    fn start() -> Option<Self> {
        let (tree, other) = (Tree::of_layer("vm-6.1")?, Tree::of_layer("vm-6.12")?);
        // A smaller kernel, because depmod runs 400 times.
        for part in ["fs", "net", "sound", "arch"] {
            let _ = std::fs::remove_dir_all(tree.dir().join("kernel").join(part));
        }
        for entry in std::fs::read_dir(tree.dir().join("kernel/drivers")).expect("drivers").flatten() {
            if !matches!(entry.file_name().to_str(), Some("md" | "net" | "block")) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let (kernels, foreign) = (contents(&tree), contents(&other));
        Some(Self { tree, numbers: Numbers(0x2545_f491_4f6c_dd1d), kernels, foreign, placed: Vec::new() })
    }

    /// Executes one step and describes it; `None` if there is no module that it could change.
    fn step(&mut self, kind: Kind) -> Option<String> {
        let source = self.numbers.below(self.kernels.len());
        let name = name_of(&self.kernels[source].0).to_owned();
        let anywhere = ["updates/dkms", "updates", "extra", "kernel/drivers/misc"];
        match kind {
            Kind::NewName => {
                // Every other one was built for another kernel.
                let (from, bytes) = match self.numbers.below(2) {
                    0 => self.kernels[source].clone(),
                    _ => self.numbers.of(&self.foreign).clone(),
                };
                let name = format!("{}-{}", name_of(&from), self.numbers.below(9));
                let dir = *self.numbers.of(&anywhere);
                Some(self.put(dir, &name, &bytes))
            }
            Kind::SameName | Kind::Override => {
                let dir = if kind == Kind::Override { "updates/dkms" } else { *self.numbers.of(&anywhere) };
                let bytes = self.kernels[source].1.clone();
                Some(self.put(dir, &name, &bytes))
            }
            Kind::Dependents => {
                let name = *self.numbers.of(&["xor", "raid456", "raid6_pq", "async_tx", "dm-raid", "dummy"]);
                let file = format!("{name}.ko");
                let (_, bytes) = self.kernels.iter().find(|(path, _)| path.ends_with(&file))?;
                let (bytes, dir) = (bytes.clone(), *self.numbers.of(&anywhere));
                Some(self.put(dir, name, &bytes))
            }
            Kind::Move => {
                let from = self.present()?;
                let to = self.tree.dir().join(self.numbers.of(&anywhere)).join(from.file_name()?);
                std::fs::create_dir_all(to.parent()?).expect("directory");
                std::fs::rename(&from, &to).expect("rename");
                self.placed.push(to.clone());
                Some(format!("moved {} to {}", from.display(), to.display()))
            }
            Kind::Compress | Kind::Uncompress => self.recode(kind == Kind::Compress),
            Kind::RemoveOwn if self.placed.is_empty() => None,
            Kind::RemoveOwn => {
                let target = self.placed.swap_remove(self.numbers.below(self.placed.len()));
                std::fs::remove_file(&target).ok()?;
                Some(format!("removed {}", target.display()))
            }
            Kind::RemoveKernels => {
                std::fs::remove_file(&self.kernels[source].0).ok()?;
                Some(format!("removed {}", self.kernels[source].0.display()))
            }
            Kind::Configure => {
                self.tree.config = Some((*self.numbers.of(&CONFIGURATIONS)).to_owned());
                Some(format!("configured {:?}", self.tree.config))
            }
            Kind::DamageCache => {
                let mut text = self.tree.cache.borrow().clone();
                let at =
                    (0..text.len()).rev().find(|at| text.is_char_boundary(*at) && *at <= text.len() / 2)?;
                if self.numbers.below(2) == 0 {
                    text.truncate(at)
                } else {
                    text.insert(at, 'x')
                }
                self.tree.cache.replace(text);
                Some("damaged the cache".to_owned())
            }
            Kind::ChangeFile => {
                let target = self.present()?;
                let bytes = encoded(&target, &self.kernels[source].1);
                // The file may be a link to the layer's.
                std::fs::remove_file(&target).expect("remove");
                std::fs::write(&target, bytes).expect("write");
                Some(format!("another module in {}", target.display()))
            }
        }
    }

    /// A module that is there: one that the walk placed, or one of the kernel's.
    fn present(&mut self) -> Option<PathBuf> {
        let all: Vec<_> = self.placed.iter().chain(self.kernels.iter().map(|(path, _)| path)).collect();
        (0..9).map(|_| (*self.numbers.of(&all)).clone()).find(|path| path.exists())
    }

    fn put(&mut self, dir: &str, name: &str, bytes: &[u8]) -> String {
        let suffix = *self.numbers.of(&["ko", "ko.xz", "ko.zst"]);
        let target = self.tree.dir().join(dir).join(format!("{name}.{suffix}"));
        std::fs::create_dir_all(target.parent().expect("parent")).expect("directory");
        let _ = std::fs::remove_file(&target);
        std::fs::write(&target, encoded(&target, bytes)).expect("write");
        self.placed.push(target.clone());
        format!("placed {}", target.display())
    }

    /// Compresses a module in place, or the other way round.
    fn recode(&mut self, compress: bool) -> Option<String> {
        let from = self.present()?;
        let text = from.to_str()?.to_owned();
        let plain = text.trim_end_matches(".xz").trim_end_matches(".zst");
        let to = PathBuf::from(match compress {
            true => format!("{plain}{}", self.numbers.of(&[".xz", ".zst"])),
            false => plain.to_owned(),
        });
        let bytes = std::fs::read(&from).expect("module");
        let bytes = kmodule::compress::decompress(&bytes, 1 << 30).expect("decompress");
        std::fs::remove_file(&from).expect("remove");
        let _ = std::fs::remove_file(&to);
        std::fs::write(&to, encoded(&to, &bytes)).expect("write");
        self.placed.push(to.clone());
        Some(format!("{} became {}", from.display(), to.display()))
    }
}

fn name_of(module: &Path) -> &str {
    let name = module.file_name().and_then(|name| name.to_str()).expect("name");
    name.split('.').next().expect("name")
}

/// The modules of a tree, not compressed.
fn contents(tree: &Tree) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = Vec::new();
    walk(&tree.dir(), "", &Config::default(), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("module");
        (path, kmodule::compress::decompress(&bytes, 1 << 30).expect("decompress"))
    };
    paths.into_iter().map(|path| read(tree.dir().join(path))).collect()
}

/// A module as a file of this name contains it.
fn encoded(file: &Path, module: &[u8]) -> Vec<u8> {
    let compression = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => kmodule::Compression::Xz,
        Some("zst") => kmodule::Compression::Zstd,
        _ => return module.to_vec(),
    };
    let options = kmodule::compress::Options::parse(compression, "").expect("options");
    kmodule::compress::compress(module, &options).expect("compress")
}

/// All kinds of changes, in an order that looks random.
#[test]
fn a_random_walk_of_changes_never_differs() {
    const STEPS: usize = 200;
    let Some(mut walk) = Walk::start() else { return };
    let (mut steps, mut seen) = (0, std::collections::BTreeMap::new());
    while steps < STEPS {
        let kind = *walk.numbers.of(&KINDS);
        let Some(what) = walk.step(kind) else { continue };
        walk.tree.compare(&format!("step {steps}: {what}"));
        *seen.entry(kind).or_insert(0) += 1;
        steps += 1;
    }
    assert!(KINDS.iter().all(|kind| seen.get(kind).is_some_and(|times| *times >= 5)), "{seen:?}");
}
