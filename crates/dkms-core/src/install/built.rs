//! What a build left for the installation.

use super::InstallError;
use super::plan::{self, Source};
use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::request::Overrides;
use crate::system::{Settings, System};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;

/// What was built, and which checks are overridden when it is installed.
pub(super) struct Built {
    pub(super) loaded: load::Loaded,
    pub(super) manifest: Option<Manifest>,
    pub(super) sources: Vec<Source>,
    pub(super) force: plan::Force,
}

impl Built {
    pub(super) fn read(
        system: &System,
        sink: &dyn Sink,
        build: &Build,
        overrides: Overrides,
    ) -> Result<Self> {
        let loaded = load::load(system, sink, &build.package, &build.kernel)?.strict()?;
        let manifest = Manifest::read(&system.layout, build)?;
        let written = |name: &str| {
            loaded.conf.modules.iter().find(|m| m.dest_name == name).map(|m| m.dest_location.clone())
        };
        let sources = plan::sources(&system.host, &system.layout, build, manifest.as_ref(), &written);
        let force = plan::force_for(&system.layout, overrides, &build.package.name);
        Ok(Self { loaded, manifest, sources, force })
    }

    /// Checks that every module that was built, and that BUILD_EXCLUSIVE allows, exists.
    pub(super) fn require_all(&self, layout: &Layout, settings: &Settings, build: &Build) -> Result<()> {
        let expected: Vec<String> = match &self.manifest {
            Some(m) => m.modules.iter().map(|r| r.name.clone()).collect(),
            None => {
                let config = crate::kernel::headers::config_path(layout, settings, &build.kernel.release);
                let config = crate::kernel::headers::KernelConfig::read(&config);
                let exclusion = load::exclusion(&self.loaded, &build.kernel, config.as_ref())?;
                let wanted = self.loaded.conf.modules.iter().zip(&exclusion.modules);
                wanted.filter(|(_, out)| out.is_none()).map(|(e, _)| e.dest_name.clone()).collect()
            }
        };
        for name in expected {
            if !self.sources.iter().any(|f| f.name == name) {
                return Err(InstallError::BuiltModuleMissing { name, dir: layout.module_dir(build) }.into());
            }
        }
        Ok(())
    }
}
