//! A kernel's directory in which the real depmod and our own writer are compared.

use crate::common;
use kmodule::index::{self, Cache, Config, Facts, Lists, Module, NewCache, Version};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel's directory below a temporary base directory, in which depmod may write.
pub struct Tree {
    pub base: tempfile::TempDir,
    release: String,
    depmods: Vec<(PathBuf, Version)>,
    /// The configuration of depmod. Without it, that of this machine applies.
    pub config: Option<String>,
    /// The data read so far, kept as dkms keeps it.
    pub cache: RefCell<String>,
}

impl Tree {
    /// The modules of a layer such as `image-6.1`, as links to the same files; otherwise prints the reason
    /// and returns `None`.
    pub fn of_layer(layer: &str) -> Option<Self> {
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

    pub fn dir(&self) -> PathBuf {
        self.base.path().join("lib/modules").join(&self.release)
    }

    /// Runs each depmod, then writes our own index for its version, and compares all files.
    pub fn compare(&self, what: &str) {
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

    pub fn index(&self) -> Result<BTreeMap<&'static str, Vec<u8>>, index::Decline> {
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
        let mut stamps = Vec::new();
        for path in selected.into_iter().filter_map(|at| paths.get(at)) {
            let file = self.dir().join(path);
            let meta = std::fs::metadata(&file).expect("module");
            let stamp = format!("{}:{}:{:?}", meta.ino(), meta.len(), meta.modified().expect("time"));
            let stamp = stamp.replace(' ', "");
            stamps.push((path.as_str(), stamp.clone()));
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
        let stored = |(path, stamp): &(&'_ str, String)| cache.facts(path, stamp).expect("stored");
        let facts: Vec<(&str, Facts<'_>)> =
            stamps.iter().map(|stamped| (stamped.0, Facts::parse(stored(stamped)))).collect();
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

    pub fn module(&self, name: &str) -> PathBuf {
        let mut paths = Vec::new();
        walk(&self.dir(), "", &Config::default(), &mut paths);
        let found = paths.iter().find(|path| path.ends_with(&format!("/{name}.ko")));
        self.dir().join(found.unwrap_or_else(|| panic!("no {name}")))
    }

    pub fn place(&self, path: &str, from: &Path) {
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

pub fn xz_of(module: &[u8]) -> Vec<u8> {
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
pub fn walk(dir: &Path, below: &str, config: &Config, paths: &mut Vec<String>) {
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
