//! depmod's index of a kernel's modules: the file that modprobe uses for a name, the modules that are loaded
//! before it, and the module that exports a symbol. depmod decides this by rules (depmod.d(5), modules.order)
//! that are not reimplemented here.

use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The index from the last run of depmod. If depmod has not run, every lookup returns nothing.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// `modules.dep`: each file, and the files it depends on, as written there.
    files: HashMap<ModuleName, (PathBuf, String)>,
    /// `modules.symbols`: if several modules export a symbol, the module that depmod chose.
    exporters: HashMap<String, ModuleName>,
    /// `modules.softdep`
    softdeps: HashMap<ModuleName, SoftDeps>,
    /// The time when it was written.
    written: Option<(i64, i64)>,
}

/// Modules to load before and after another module. It is no error if they cannot be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SoftDeps {
    pub pre: Vec<ModuleName>,
    pub post: Vec<ModuleName>,
}

impl SoftDeps {
    /// Adds the words of one line: names after `pre:` and `post:`.
    pub(super) fn add(&mut self, words: &str) {
        let mut list = None;
        for word in words.split_whitespace() {
            match (word, &mut list) {
                ("pre:", _) => list = Some(true),
                ("post:", _) => list = Some(false),
                (name, Some(true)) => self.pre.push(ModuleName::new(name)),
                (name, Some(false)) => self.post.push(ModuleName::new(name)),
                (_, None) => {}
            }
        }
    }
}

impl Index {
    /// Reads the index below a kernel's directory of modules.
    pub(super) fn read(modules: &Path) -> Self {
        let mut softdeps: HashMap<ModuleName, SoftDeps> = HashMap::new();
        for line in text(&modules.join("modules.softdep")).lines() {
            if let Some((name, words)) = line.strip_prefix("softdep ").and_then(|rest| rest.split_once(' ')) {
                softdeps.entry(ModuleName::new(name)).or_default().add(words);
            }
        }
        Self {
            files: dep_lines(modules),
            exporters: exporters(modules),
            softdeps,
            written: changed(&modules.join("modules.dep")),
        }
    }

    /// The file for a name.
    pub(super) fn file(&self, name: &ModuleName) -> Option<&Path> {
        self.files.get(name).map(|(path, _)| path.as_path())
    }

    /// The names of all modules that are loaded before a module, in the order of its line.
    pub(super) fn depends<'a>(&'a self, name: &ModuleName) -> impl Iterator<Item = ModuleName> + 'a {
        let line = self.files.get(name).map_or("", |(_, files)| files.as_str());
        line.split_whitespace().filter_map(name_of)
    }

    /// The module that is loaded to provide a symbol.
    pub(super) fn exporter(&self, symbol: &str) -> Option<&ModuleName> {
        self.exporters.get(symbol)
    }

    /// The soft dependencies of a module.
    pub(super) fn softdeps(&self, name: &ModuleName) -> Option<&SoftDeps> {
        self.softdeps.get(name)
    }

    /// Returns whether depmod has not run since the file was installed. If so, the index does not describe
    /// that file.
    pub(super) fn is_older_than(&self, file: &Path) -> bool {
        self.written.is_none_or(|written| changed(file).is_some_and(|changed| changed > written))
    }
}

/// Returns the time when a file, or the link at its path, was installed. The modification time may be older.
fn changed(path: &Path) -> Option<(i64, i64)> {
    let data = dkms_sys::fs::symlink_metadata(path).ok()?;
    Some((data.ctime(), data.ctime_nsec()))
}

fn text(path: &Path) -> String {
    dkms_sys::fs::read_text(path, dkms_sys::fs::Limit::INDEX).unwrap_or_default()
}

/// The name of the module in a file.
fn name_of(file: &str) -> Option<ModuleName> {
    Some(ModuleName::new(module_stem(file.rsplit('/').next()?)?))
}

fn dep_lines(modules: &Path) -> HashMap<ModuleName, (PathBuf, String)> {
    let line = |line: &str| {
        let (file, needed) = line.split_once(':')?;
        Some((name_of(file)?, (modules.join(file), needed.trim().to_owned())))
    };
    text(&modules.join("modules.dep")).lines().filter_map(line).collect()
}

fn exporters(modules: &Path) -> HashMap<String, ModuleName> {
    let line = |line: &str| {
        let (symbol, module) = line.strip_prefix("alias symbol:")?.split_once(' ')?;
        Some((symbol.to_owned(), ModuleName::new(module.trim())))
    };
    text(&modules.join("modules.symbols")).lines().filter_map(line).collect()
}

/// `modules.dep`: the files of modules by name.
pub(crate) fn indexed_files(modules: &Path) -> HashMap<ModuleName, PathBuf> {
    dep_lines(modules).into_iter().map(|(name, (path, _))| (name, path)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Index, SoftDeps};
    use kmodule::ModuleName;
    use std::path::Path;

    fn names(all: &[&str]) -> Vec<ModuleName> {
        all.iter().map(|name| ModuleName::new(name)).collect()
    }

    #[test]
    fn what_depmod_wrote() {
        let dir = std::env::temp_dir().join(format!("dkms-index-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        put("new.ko", "");
        put("modules.dep", "updates/a-b.ko.xz: kernel/c.ko updates/d-e.ko\nkernel/c.ko:\n");
        put("modules.symbols", "# Aliases\nalias symbol:give a_b\nalias symbol:take c\n");
        put("modules.softdep", "# Soft\nsoftdep a-b pre: c x-y\nsoftdep a_b post: z\n");
        let index = Index::read(&dir);
        let name = ModuleName::new;
        assert_eq!(index.file(&name("a_b")), Some(dir.join("updates/a-b.ko.xz").as_path()));
        assert_eq!(index.depends(&name("a_b")).collect::<Vec<_>>(), names(&["c", "d_e"]));
        assert_eq!(index.depends(&name("c")).count() + index.depends(&name("absent")).count(), 0);
        assert_eq!((index.exporter("give"), index.exporter("none")), (Some(&name("a_b")), None));
        let soft = index.softdeps(&name("a-b")).unwrap();
        assert_eq!((&soft.pre, &soft.post), (&names(&["c", "x_y"]), &names(&["z"])));
        assert!(!index.is_older_than(&dir.join("gone.ko")));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Index::read(Path::new("/nonexistent")).is_older_than(Path::new("/")));
    }

    #[test]
    fn soft_dependencies_of_every_shape() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("pre: a b post: c", &["a", "b"], &["c"]),
            ("post: a-b pre: c", &["c"], &["a_b"]),
            ("a pre: b", &["b"], &[]),
            ("pre: post:", &[], &[]),
            ("", &[], &[]),
        ];
        for (words, pre, post) in cases {
            let mut soft = SoftDeps::default();
            soft.add(words);
            assert_eq!((soft.pre, soft.post), (names(pre), names(post)));
        }
    }
}
