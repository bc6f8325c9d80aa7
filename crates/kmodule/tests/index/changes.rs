//! A random walk of changes to the modules of a kernel: after each one, the index is that of depmod.

use crate::tree::{Tree, walk};
use kmodule::index::Config;
use std::path::{Path, PathBuf};

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
