//! The built modules of several packages for one kernel, with their firmware, as container images and system
//! extensions contain them.

use crate::add;
use crate::build::{BuildError, NotForKernel};
use crate::error::Result;
use crate::install::InstallError;
use crate::kernel::installed::decompressed;
use crate::pack::PackError;
use crate::pack::output::newest;
use dkms_sys::fs::{self, Limit};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, ModuleFile};
use kmodule::ModuleName;
use kmodule::elf::Module;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The modules of several packages for one kernel.
#[derive(Debug)]
pub(crate) struct Modules {
    pub kernel: Kernel,
    /// The modules, sorted by name.
    pub modules: Vec<BuiltModule>,
    /// The firmware files that the modules name and their packages contain, by the name that the kernel
    /// requests.
    pub firmware: BTreeMap<String, Vec<u8>>,
    /// The directories of the builds.
    directories: Vec<PathBuf>,
}

/// A built module.
#[derive(Debug)]
pub(crate) struct BuiltModule {
    pub package: PackageId,
    pub name: ModuleName,
    pub file: ModuleFile,
    /// The modules whose symbols it uses.
    pub depends: Vec<ModuleName>,
}

impl Modules {
    /// Reads the builds for a kernel, and checks that all modules which they depend on are among them, or
    /// among the kernel's own modules.
    ///
    /// # Errors
    /// As for [`Self::read`]; [`PackError::DependencyMissing`].
    pub(crate) fn read_complete(layout: &Layout, packages: &[PackageId], kernel: &Kernel) -> Result<Self> {
        let modules = Self::read(layout, packages, kernel)?;
        modules.require_dependencies(&kernel_modules(&layout.kernel_modules(&kernel.release))?)?;
        Ok(modules)
    }

    /// Reads the builds for a kernel.
    ///
    /// # Errors
    /// A package is not in the tree, or is not built for the kernel; two packages have a module of the same
    /// name; a file is not a module.
    pub(crate) fn read(layout: &Layout, packages: &[PackageId], kernel: &Kernel) -> Result<Self> {
        let mut all = Self {
            kernel: kernel.clone(),
            modules: Vec::new(),
            firmware: BTreeMap::new(),
            directories: Vec::new(),
        };
        for package in packages {
            add::require_added(layout, package)?;
            all.add(layout, package)?;
        }
        all.modules.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn add(&mut self, layout: &Layout, package: &PackageId) -> Result<()> {
        let build = Build::new(package, &self.kernel);
        let source = layout.source_link(package);
        for (file, module) in read_build(layout, &build)? {
            let name = ModuleName::new(&file.name);
            if let Some(other) = self.modules.iter().find(|other| other.name == name) {
                return Err(PackError::ModuleTwice {
                    module: name.to_string(),
                    packages: [other.package.clone(), package.clone()],
                }
                .into());
            }
            for name in module.modinfo.all("firmware").filter(|name| is_plain(name)) {
                if let Some(bytes) = read_firmware(&source, name) {
                    self.firmware.insert(name.to_owned(), bytes);
                }
            }
            let depends = module.modinfo.depends().collect();
            self.modules.push(BuiltModule { package: package.clone(), name, file, depends });
        }
        self.directories.push(layout.module_dir(&build));
        Ok(())
    }

    /// The time of the newest module, in seconds since 1970.
    pub(crate) fn time(&self) -> u64 {
        newest(&self.directories)
    }

    /// Returns the modules that no other one of them depends on. Loading these loads all of them.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &BuiltModule> {
        let needed: BTreeSet<&ModuleName> = self.modules.iter().flat_map(|m| &m.depends).collect();
        self.modules.iter().filter(move |m| !needed.contains(&m.name))
    }

    /// Checks that all modules which they depend on are among them or in `present`.
    fn require_dependencies(&self, present: &BTreeSet<ModuleName>) -> Result<()> {
        let own_names: BTreeSet<&ModuleName> = self.modules.iter().map(|m| &m.name).collect();
        let is_missing = |name: &&ModuleName| !own_names.contains(name) && !present.contains(name);
        for module in &self.modules {
            if let Some(needs) = module.depends.iter().find(is_missing) {
                return Err(PackError::DependencyMissing {
                    module: module.name.to_string(),
                    needs: needs.to_string(),
                    kernel: self.kernel.clone(),
                }
                .into());
            }
        }
        Ok(())
    }
}

/// Returns whether the name of a firmware file is a path that stays below a directory. Modules can contain
/// any name.
fn is_plain(name: &str) -> bool {
    let path = Path::new(name);
    path.components().count() > 0
        && path.components().all(|part| matches!(part, Component::Normal(_)))
        && !name.contains(|c: char| c.is_control() || c.is_whitespace())
        && !name.ends_with('/')
}

/// Reads a firmware file from the source of a package: from its directory `firmware`, or from the top.
fn read_firmware(source: &Path, name: &str) -> Option<Vec<u8>> {
    let source = fs::canonicalize(source).ok()?;
    let places = [Path::new("firmware").join(name), PathBuf::from(name)];
    places.iter().find_map(|place| fs::read_untrusted(&source, place, None).ok())
}

/// Returns the kernel's own modules, which are below `kernel/` in its directory, and its built-in modules.
/// Modules that dkms or other programs have added are left out, because other machines may not have them.
fn kernel_modules(kernel_dir: &Path) -> Result<BTreeSet<ModuleName>> {
    let mut modules = BTreeSet::new();
    let mut remaining = vec![kernel_dir.join("kernel")];
    while let Some(dir) = remaining.pop() {
        for name in fs::list_dir_optional(&dir)? {
            let path = dir.join(&name);
            if fs::is_real_dir(&path) {
                remaining.push(path);
            } else {
                modules.extend(name.to_str().and_then(ModuleName::from_file_name));
            }
        }
    }
    let builtin = fs::read_optional(kernel_dir.join("modules.builtin"), Limit::RECORD)?;
    for line in String::from_utf8_lossy(&builtin.unwrap_or_default()).lines() {
        modules.extend(line.rsplit('/').next().and_then(ModuleName::from_file_name));
    }
    Ok(modules)
}

/// Reads the modules of a build, which may be compressed.
///
/// # Errors
/// [`InstallError::NothingBuilt`]; [`BuildError::BadModule`].
pub(super) fn read_build(layout: &Layout, build: &Build) -> Result<Vec<(ModuleFile, Module)>> {
    let files = state::module_files(layout, build);
    if files.is_empty() {
        return Err(InstallError::NothingBuilt(build.clone()).into());
    }
    let read = |file: ModuleFile| {
        let module = decompressed(&fs::read(&file.path)?)
            .map_err(NotForKernel::from)
            .and_then(|plain| Ok(Module::parse(&plain)?))
            .map_err(|e| BuildError::BadModule { path: file.path.clone(), cause: e.into() })?;
        Ok((file, module))
    };
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_names_stay_below_the_directory() {
        for good in ["a.bin", "vendor/a.bin"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "/etc/shadow", "../x", "a/../../x", "a b", "a\nb", ".", "dir/"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn firmware_is_read_below_the_source_only() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        std::fs::create_dir_all(source.join("firmware/v")).unwrap();
        std::fs::write(source.join("firmware/v/a"), "1").unwrap();
        std::fs::write(source.join("b"), "2").unwrap();
        std::fs::write(dir.path().join("secret"), "3").unwrap();
        std::os::unix::fs::symlink("../secret", source.join("c")).unwrap();
        assert_eq!(read_firmware(&source, "v/a"), Some(b"1".to_vec()));
        assert_eq!(read_firmware(&source, "b"), Some(b"2".to_vec()));
        assert_eq!(read_firmware(&source, "c"), None);
        assert_eq!(read_firmware(&source, "d"), None);
    }

    #[test]
    fn modules_of_a_kernel_include_built_in_ones() {
        let dir = tempfile::tempdir().unwrap();
        let create = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        create("kernel/drivers/snd-hda.ko.xz");
        create("updates/dkms/hello.ko");
        std::fs::write(dir.path().join("modules.builtin"), "kernel/lib/crc-t10.ko\n").unwrap();
        let names: Vec<String> = kernel_modules(dir.path()).unwrap().into_iter().map(String::from).collect();
        assert_eq!(names, ["crc_t10", "snd_hda"]);
    }
}
