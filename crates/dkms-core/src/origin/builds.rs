//! Adds the built modules of an archive to the tree, where their state is *built*.

use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::{Manifest, ModuleRecord};
use dkms_tree::state::{self, ModuleFile};
use std::path::Path;

/// Adds the builds in an unpacked `dkms_main_tree` to the tree, and returns their kernels. With `force`, they
/// replace existing builds.
///
/// # Errors
/// The name of a kernel is not valid; a file cannot be copied.
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
    // Keep the record of the installed files of the replaced build.
    let replaced = Manifest::read(layout, build)?.filter(|manifest| manifest.installed.is_some());
    let staging = staging.keep();
    if fs::is_dir(&to) {
        dkms_tree::layers::recover(&to)?;
        dkms_tree::layers::exchange(&staging, &to)?;
        fs::remove_tree(&staging)?;
    } else {
        fs::rename(&staging, &to)?;
    }
    if let Some(mut manifest) = replaced {
        let record =
            |file: ModuleFile| ModuleRecord { name: file.name, file: file.file, ..Default::default() };
        manifest.modules = state::module_files(layout, build).into_iter().map(record).collect();
        manifest.store(&layout.manifest(build))?;
    }
    Ok(())
}
