//! Reads depmod's index of a kernel's modules: the file that modprobe uses for a name, the modules that are
//! loaded before it, and the module that exports a symbol. The index is read because depmod's rules for these
//! choices (depmod.d(5), modules.order) are not implemented here.

use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The index from the last run of depmod. If depmod has not run, every lookup returns nothing.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// `modules.dep`: the file of each module, and the unparsed list of the files that it depends on.
    files: HashMap<ModuleName, (PathBuf, String)>,
    /// `modules.symbols`: the module that exports each symbol. If there are several, depmod chose one.
    exporters: HashMap<String, ModuleName>,
    /// `modules.softdep`
    softdeps: HashMap<ModuleName, SoftDeps>,
    /// The time when it was written: seconds and nanoseconds.
    written: Option<(i64, i64)>,
}

/// Modules to load before and after another module. If they cannot be loaded, that is not an error.
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
            match word {
                "pre:" => list = Some(&mut self.pre),
                "post:" => list = Some(&mut self.post),
                name => list.iter_mut().for_each(|list| list.push(ModuleName::new(name))),
            }
        }
    }
}

impl Index {
    /// Reads the index in a kernel's directory of modules. Files that cannot be read are treated as empty.
    pub(super) fn read(modules: &Path) -> Self {
        let mut softdeps: HashMap<ModuleName, SoftDeps> = HashMap::new();
        for line in text(&modules.join("modules.softdep")).lines() {
            if let Some((name, words)) = line.strip_prefix("softdep ").and_then(|rest| rest.split_once(' ')) {
                softdeps.entry(ModuleName::new(name)).or_default().add(words);
            }
        }
        Self {
            files: read_dependencies(modules),
            exporters: read_exporters(modules),
            softdeps,
            written: change_time(&modules.join("modules.dep")),
        }
    }

    /// Returns the file that depmod chose for a module name.
    pub(super) fn file(&self, name: &ModuleName) -> Option<&Path> {
        self.files.get(name).map(|(path, _)| path.as_path())
    }

    /// Returns the names of all modules that are loaded before a module, in the order of its line.
    pub(super) fn depends<'a>(&'a self, name: &ModuleName) -> impl Iterator<Item = ModuleName> + 'a {
        let line = self.files.get(name).map_or("", |(_, files)| files.as_str());
        line.split_whitespace().filter_map(module_name)
    }

    /// Returns the module that is loaded to provide a symbol.
    pub(super) fn exporter(&self, symbol: &str) -> Option<&ModuleName> {
        self.exporters.get(symbol)
    }

    /// Returns the soft dependencies of a module.
    pub(super) fn softdeps(&self, name: &ModuleName) -> Option<&SoftDeps> {
        self.softdeps.get(name)
    }

    /// Returns whether depmod has not run since the file was installed. If so, the index does not describe
    /// that file.
    pub(super) fn is_older_than(&self, file: &Path) -> bool {
        self.written.is_none_or(|written| change_time(file).is_some_and(|changed| changed > written))
    }
}

/// Returns the change time of a file, or of the link at its path. It shows when the file was installed; its
/// modification time may be older.
fn change_time(path: &Path) -> Option<(i64, i64)> {
    let data = dkms_sys::fs::symlink_metadata(path).ok()?;
    Some((data.ctime(), data.ctime_nsec()))
}

fn text(path: &Path) -> String {
    dkms_sys::fs::read_text(path, dkms_sys::fs::Limit::INDEX).unwrap_or_default()
}

/// Returns the name of the module in a file.
fn module_name(file: &str) -> Option<ModuleName> {
    Some(ModuleName::new(module_stem(file.rsplit('/').next()?)?))
}

/// Reads `modules.dep`.
fn read_dependencies(modules: &Path) -> HashMap<ModuleName, (PathBuf, String)> {
    let parse = |line: &str| {
        let (file, dependencies) = line.split_once(':')?;
        Some((module_name(file)?, (modules.join(file), dependencies.trim().to_owned())))
    };
    text(&modules.join("modules.dep")).lines().filter_map(parse).collect()
}

/// Reads `modules.symbols`.
fn read_exporters(modules: &Path) -> HashMap<String, ModuleName> {
    let parse = |line: &str| {
        let (symbol, module) = line.strip_prefix("alias symbol:")?.split_once(' ')?;
        Some((symbol.to_owned(), ModuleName::new(module.trim())))
    };
    text(&modules.join("modules.symbols")).lines().filter_map(parse).collect()
}

/// Returns the module files that `modules.dep` lists, by name.
pub(crate) fn indexed_files(modules: &Path) -> HashMap<ModuleName, PathBuf> {
    read_dependencies(modules).into_iter().map(|(name, (path, _))| (name, path)).collect()
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
    fn files_of_depmod() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("new.ko", "");
        write("modules.dep", "updates/a-b.ko.xz: kernel/c.ko updates/d-e.ko\nkernel/c.ko:\n");
        write("modules.symbols", "# Aliases\nalias symbol:give a_b\nalias symbol:take c\n");
        write("modules.softdep", "# Soft\nsoftdep a-b pre: c x-y\nsoftdep a_b post: z\n");
        let index = Index::read(dir);
        let name = ModuleName::new;
        assert_eq!(index.file(&name("a_b")), Some(dir.join("updates/a-b.ko.xz").as_path()));
        assert_eq!(index.depends(&name("a_b")).collect::<Vec<_>>(), names(&["c", "d_e"]));
        assert_eq!(index.depends(&name("c")).count() + index.depends(&name("absent")).count(), 0);
        assert_eq!((index.exporter("give"), index.exporter("none")), (Some(&name("a_b")), None));
        let soft = index.softdeps(&name("a-b")).unwrap();
        assert_eq!((&soft.pre, &soft.post), (&names(&["c", "x_y"]), &names(&["z"])));
        assert!(!index.is_older_than(&dir.join("gone.ko")));
        assert!(Index::read(Path::new("/nonexistent")).is_older_than(Path::new("/")));
    }

    #[test]
    fn lines_with_soft_dependencies() {
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
