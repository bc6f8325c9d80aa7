//! Compares the index byte for byte with the one written by the depmod of this machine.
//!
//! The modules are from Debian's kernel packages in the test layers (`tests/fetch.sh`). If the layers are
//! missing, or the version of depmod is unknown, a test prints that it is skipped.

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
    version: Version,
    depmod: PathBuf,
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
        // DKMS_TEST_DEPMOD selects the depmod of another version of kmod.
        let depmod =
            std::env::var_os("DKMS_TEST_DEPMOD").map_or_else(|| PathBuf::from("depmod"), PathBuf::from);
        let version = version_of(&depmod);
        let found = std::fs::read_dir(&modules).ok().and_then(|mut entries| entries.next()?.ok());
        let (Some(source), Some(version)) = (found, version) else {
            common::skip(&format!("no {} or no depmod of a known version", modules.display()));
            return None;
        };
        let base = tempfile::tempdir_in(&build).expect("temporary directory");
        let release = source.file_name().into_string().expect("release");
        let tree = Self { base, release, version, depmod, cache: RefCell::default() };
        link_tree(&source.path(), &tree.dir());
        Some(tree)
    }

    fn dir(&self) -> PathBuf {
        self.base.path().join("lib/modules").join(&self.release)
    }

    /// Runs depmod, then writes our own index, and compares all files.
    fn compare(&self, what: &str) {
        let said =
            Command::new(&self.depmod).arg("-a").arg("-b").arg(self.base.path()).arg(&self.release).output();
        let said = said.expect("depmod");
        assert!(said.status.success() && said.stderr.is_empty(), "{what}: {said:?}");
        let ours = self.index().unwrap_or_else(|e| panic!("{what}: {e}"));
        for (name, bytes) in &ours {
            let theirs =
                std::fs::read(self.dir().join(name)).unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
            assert!(&theirs == bytes, "{what}: {name} differs: {} and {} bytes", theirs.len(), bytes.len());
        }
        assert!(ours.len() >= 10);
    }

    fn index(&self) -> Result<BTreeMap<&'static str, Vec<u8>>, index::Decline> {
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
        Ok(index::write(self.version, &modules, &lists)?
            .into_iter()
            .map(|file| (file.name, file.bytes))
            .collect())
    }

    /// The configuration of this machine, which depmod also reads.
    fn config(&self) -> Result<Config, index::Decline> {
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
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    let declines = |what: &str| assert!(tree.index().is_err(), "{what}");
    let file = tree.base.path().join("text");
    std::fs::write(&file, "not a module").expect("write");
    tree.place("updates/text.ko", &file);
    declines("not an ELF file");
    std::fs::remove_file(tree.dir().join("updates/text.ko")).expect("remove");
    tree.place("updates/dotted.name.ko", &tree.module("dummy"));
    declines("a name with a dot");
    std::fs::remove_file(tree.dir().join("updates/dotted.name.ko")).expect("remove");
    tree.place("updates/zipped.ko.gz", &file);
    declines("gzip");
    std::fs::remove_file(tree.dir().join("updates/zipped.ko.gz")).expect("remove");
    tree.compare("nothing odd is left");
}

/// Places, replaces, moves and removes modules at random. The seed is fixed, so that a failure is
/// reproducible.
#[test]
fn a_random_walk_of_changes_never_differs() {
    const STEPS: usize = 60;
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    let mut paths = Vec::new();
    walk(&tree.dir(), "", &Config::default(), &mut paths);
    paths.sort();
    let sources: Vec<PathBuf> = paths.iter().map(|path| tree.dir().join(path)).collect();
    let contents: Vec<Vec<u8>> = sources.iter().map(|path| std::fs::read(path).expect("module")).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    let mut placed: Vec<PathBuf> = Vec::new();
    for step in 0..STEPS {
        let from = random(contents.len());
        let name = sources[from].file_stem().and_then(|stem| stem.to_str()).expect("name").to_owned();
        let what = match random(5) {
            // Copy another module: under a new name, under its own name, or in the place of one of the
            // kernel's modules.
            choice @ 0..=2 => {
                let dir = ["updates/dkms", "updates", "extra", "kernel/drivers/misc"][random(4)];
                let name = if choice == 0 { format!("{name}-{}", random(9)) } else { name };
                let suffix = if random(3) == 0 { ".ko.xz" } else { ".ko" };
                let target = tree.dir().join(dir).join(format!("{name}{suffix}"));
                let bytes = match suffix {
                    ".ko" => contents[from].clone(),
                    _ => xz_of(&contents[from]),
                };
                std::fs::create_dir_all(target.parent().expect("parent")).expect("directory");
                let _ = std::fs::remove_file(&target);
                std::fs::write(&target, bytes).expect("write");
                placed.push(target.clone());
                format!("placed {}", target.display())
            }
            3 => {
                let _ = std::fs::remove_file(&sources[from]);
                format!("removed {}", sources[from].display())
            }
            _ if placed.is_empty() => continue,
            _ => {
                let target = placed.swap_remove(random(placed.len()));
                let _ = std::fs::remove_file(&target);
                format!("removed {}", target.display())
            }
        };
        tree.compare(&format!("step {step}: {what}"));
    }
}
