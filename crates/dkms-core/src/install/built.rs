//! Reads the files of a build for the installation.

use super::InstallError;
use super::plan::{self, Source};
use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::kernel::installed::ModuleIndex;
use crate::look::verify::Facts;
use crate::request::Overrides;
use crate::system::{Settings, System};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;

/// The built modules, and the checks that are overridden when they are installed.
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

/// Returns what installing a build would change, as far as this is known without the kernel's lock and before
/// PRE_INSTALL has run.
///
/// # Errors
/// The error with which the installation would fail.
pub(crate) fn preview(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    index: &ModuleIndex,
    facts: &Facts,
    overrides: Overrides,
) -> Result<plan::InstallChanges> {
    let built = Built::read(system, sink, build, overrides)?;
    built.require_all(&system.layout, &system.settings, build)?;
    let planned = plan::plan(system, sink, build, &built.sources, index, facts, built.force)?;
    if planned.ops.is_empty() && !planned.refused.is_empty() {
        return Err(InstallError::Newer(planned.refused).into());
    }
    crate::trust::signing::reach(system, sink).refuse_strays(&build.kernel, &planned.ops)?;
    Ok(planned)
}
