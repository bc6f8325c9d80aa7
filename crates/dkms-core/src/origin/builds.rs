//! Built modules from an archive, which become *built* in the tree.

use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::{Manifest, ModuleRecord};
use dkms_tree::state;
use std::path::Path;

/// Loads the builds of an unpacked `dkms_main_tree`, and returns their kernels.
///
/// # Errors
/// A kernel name that is not valid; a file that cannot be copied.
pub(super) fn load(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    main: &Path,
    force: bool,
) -> Result<Vec<Kernel>> {
    let mut loaded = Vec::new();
    for release in state::subdirectories(main) {
        for arch in state::subdirectories(&main.join(&release)) {
            let from = main.join(&release).join(&arch);
            if !fs::is_dir(from.join("module")) {
                continue;
            }
            let kernel = Kernel::new(&release, &arch)?;
            let build = Build::new(package, &kernel);
            if fs::is_dir(system.layout.built_dir(&build)) && !force {
                sink.warn(format!("{build} is built already and is kept (--force replaces it)"));
                continue;
            }
            load_build(system, sink, &build, &from)?;
            loaded.push(kernel);
        }
    }
    Ok(loaded)
}

fn load_build(system: &System, sink: &dyn Sink, build: &Build, from: &Path) -> Result<()> {
    let layout = &system.layout;
    let _held = crate::lock::build(system, sink, &build.package)?;
    let (kernel_dir, to) = (layout.kernel_dir(build), layout.built_dir(build));
    let _installing = crate::lock::install(system, sink, std::slice::from_ref(&build.kernel))?;
    fs::create_dir_all(&kernel_dir)?;
    let staging = TempDir::new_in(&kernel_dir, &format!(".tmp_{}_", build.kernel.arch))?;
    for part in ["module", "log"] {
        if fs::is_dir(from.join(part)) {
            sink.warn_left_out(&fs::copy_tree(from.join(part), staging.path().join(part))?);
        }
    }
    fs::set_mode(staging.path(), 0o755)?;
    // The record of the installed files of the replaced build is kept.
    let earlier = Manifest::read(layout, build)?.filter(|manifest| manifest.installed.is_some());
    let staging = staging.keep();
    if fs::is_dir(&to) {
        dkms_tree::layers::recover(&to)?;
        dkms_tree::layers::exchange(&staging, &to)?;
        fs::remove_tree(&staging)?;
    } else {
        fs::rename(&staging, &to)?;
    }
    if let Some(mut manifest) = earlier {
        let files = state::module_files(layout, build).into_iter();
        manifest.modules =
            files.map(|f| ModuleRecord { name: f.name, file: f.file, ..Default::default() }).collect();
        manifest.store(&layout.manifest(build))?;
    }
    Ok(())
}
