//! Reads the files of a build for its installation.

use super::InstallError;
use crate::build::collect;
use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::kernel::headers::{self, KernelConfig};
use crate::request::Overrides;
use crate::system::System;
use dkms_sys::fs::{self, Limit};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;
use dkms_tree::state::{self, ModuleFile};
use std::path::PathBuf;

/// A build with everything that its installation needs.
pub(super) struct Built {
    pub(super) build: Build,
    pub(super) loaded: load::Loaded,
    /// `None` if dkms 3.x made the build.
    pub(super) manifest: Option<Manifest>,
    pub(super) modules: Vec<BuiltModule>,
    pub(super) force: Force,
}

/// A module file of a build, and where it is installed.
#[derive(Clone, Debug)]
pub(crate) struct BuiltModule {
    /// DEST_MODULE_NAME
    pub(super) name: String,
    /// File name with suffixes.
    pub(super) file: String,
    /// The built file.
    pub(super) path: PathBuf,
    /// The directory into which it is installed.
    pub(super) destination: PathBuf,
}

impl BuiltModule {
    /// Returns the path of the installed file.
    pub(super) fn target(&self) -> PathBuf {
        self.destination.join(&self.file)
    }
}

/// The checks that `--force` and the files in `modules_to_force_install/` override.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Force {
    /// Replace any existing file.
    pub(super) all: bool,
    /// Do not compare versions.
    pub(super) version: bool,
}

impl Built {
    /// Reads a build.
    ///
    /// # Errors
    /// Its dkms.conf is invalid; its manifest is damaged; a module that was built, and that BUILD_EXCLUSIVE
    /// allows, is missing ([`InstallError::BuiltModuleMissing`]).
    pub(super) fn read(
        system: &System,
        sink: &dyn Sink,
        build: &Build,
        overrides: Overrides,
    ) -> Result<Self> {
        let loaded = load::load(system, sink, &build.package, &build.kernel)?.strict()?;
        let manifest = Manifest::read(&system.layout, build)?;
        let modules = built_modules(system, build, manifest.as_ref(), &loaded);
        let force = force_for(&system.layout, sink, overrides, &build.package.name);
        let built = Self { build: build.clone(), loaded, manifest, modules, force };
        built.require_all_modules(system)?;
        Ok(built)
    }

    fn require_all_modules(&self, system: &System) -> Result<()> {
        let Self { build, loaded, .. } = self;
        let expected: Vec<&str> = match &self.manifest {
            Some(manifest) => manifest.modules.iter().map(|record| record.name.as_str()).collect(),
            None => {
                let config = headers::config_path(&system.layout, &system.settings, &build.kernel.release);
                let config = KernelConfig::read(&config);
                let exclusion = load::exclusion(loaded, &build.kernel, config.as_ref())?;
                let modules = loaded.conf.modules.iter().zip(&exclusion.modules);
                modules
                    .filter(|(_, excluded)| excluded.is_none())
                    .map(|(module, _)| &*module.dest_name)
                    .collect()
            }
        };
        let is_missing = |name: &&str| !self.modules.iter().any(|module| module.name == *name);
        match expected.into_iter().find(is_missing) {
            Some(name) => Err(InstallError::BuiltModuleMissing {
                name: name.to_owned(),
                dir: system.layout.module_dir(build),
            }
            .into()),
            None => Ok(()),
        }
    }
}

/// Returns the module files of a build. Their destinations come from its manifest, or from its dkms.conf if
/// dkms 3.x built it.
fn built_modules(
    system: &System,
    build: &Build,
    manifest: Option<&Manifest>,
    loaded: &load::Loaded,
) -> Vec<BuiltModule> {
    let location = |file: &ModuleFile| {
        let record = manifest.and_then(|manifest| manifest.modules.iter().find(|r| r.file == file.file));
        record.map(|record| record.destination.clone()).unwrap_or_else(|| {
            let entry = loaded.conf.modules.iter().find(|module| module.dest_name == file.name);
            collect::destination(&system.host, entry.map_or("/extra", |entry| &entry.dest_location))
        })
    };
    let built_module = |file: ModuleFile| BuiltModule {
        destination: system.layout.destination(&build.kernel.release, &location(&file)),
        name: file.name,
        file: file.file,
        path: file.path,
    };
    state::module_files(&system.layout, build).into_iter().map(built_module).collect()
}

/// Combines `--force`, `--force-version-override`, `--rpm_safe_upgrade`, and the files in
/// `modules_to_force_install/`.
fn force_for(layout: &Layout, sink: &dyn Sink, overrides: Overrides, package: &str) -> Force {
    let mut force = Force { all: overrides.force || overrides.rpm_safe_upgrade, version: overrides.version };
    let ignored = |e| sink.warn(format!("a list of modules to install by force is ignored: {e}"));
    let names = fs::list_dir_optional(&layout.force_dir).map_err(ignored).unwrap_or_default();
    for name in names {
        let Ok(text) = fs::read_text(layout.force_dir.join(name), Limit::CONFIG).map_err(ignored) else {
            continue;
        };
        for word in text.split_whitespace() {
            force.all |= word == package;
            force.version |= word.strip_suffix("_version-override") == Some(package);
        }
    }
    force
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use std::sync::Mutex;

    struct Warnings(Mutex<Vec<String>>);

    impl Sink for Warnings {
        fn event(&self, event: Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    #[test]
    fn a_force_list_that_cannot_be_read_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { force_dir: dir.path().to_owned(), ..Layout::default() };
        std::fs::write(dir.path().join("a"), "foo bar_version-override\n").unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        let warnings = Warnings(Mutex::default());
        let force = |package| force_for(&layout, &warnings, Overrides::default(), package);
        assert!(force("foo").all && !force("foo").version);
        assert!(force("bar").version && !force("bar").all);
        let no_directory = Layout { force_dir: dir.path().join("a"), ..Layout::default() };
        assert!(!force_for(&no_directory, &warnings, Overrides::default(), "foo").all);
        let missing = Layout { force_dir: dir.path().join("c"), ..Layout::default() };
        assert!(!force_for(&missing, &warnings, Overrides::default(), "foo").all);
        let warnings = warnings.0.into_inner().unwrap();
        assert!(warnings.len() == 5 && warnings[0].contains("is ignored"), "{warnings:?}");
    }
}
