//! Executes a plan, and rolls it back if a step fails.

use super::{Plan, ReloadError};
use crate::cause::Cause;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::kernel::running::Identity;
use crate::program::ProgramError;
use crate::system::System;
use dkms_sys::process::{Command, which};
use dkms_tree::state::{self, ModuleFile};
use kmodule::ModuleName;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Unloads the modules of a plan, and loads the installed modules.
///
/// # Errors
/// [`ReloadError`], after the unloaded modules are loaded again, as far as that is possible. A missing
/// program.
pub fn execute(system: &System, sink: &dyn Sink, plan: &Plan) -> Result<()> {
    let tools = Tools::find(&system.host)?;
    for (index, module) in plan.unload.iter().enumerate() {
        if let Err(cause) = tools.unload(module) {
            let unloaded = plan.unload.get(..index).unwrap_or_default();
            let failed: Vec<&str> =
                unloaded.iter().rev().filter(|m| tools.load(m).is_err()).map(ModuleName::as_str).collect();
            let aftermath = match (unloaded.len(), failed.is_empty()) {
                (0, _) => "nothing was unloaded".to_owned(),
                (_, true) => "the modules that were unloaded are loaded again".to_owned(),
                (_, false) => format!("{} could not be loaded again", failed.join(", ")),
            };
            return Err(ReloadError::Unload { module: module.as_str().to_owned(), cause, aftermath }.into());
        }
        sink.event(Event::ModuleUnloaded { module: module.as_str().to_owned() });
    }
    let order: Vec<&ModuleName> = plan.unload.iter().rev().collect();
    for (index, module) in order.iter().enumerate() {
        if let Err(cause) = tools.load(module) {
            let loaded = order.get(..index).unwrap_or_default();
            let aftermath = restore(system, sink, plan, &tools, loaded, &order);
            return Err(ReloadError::Load { module: module.as_str().to_owned(), cause, aftermath }.into());
        }
        sink.event(Event::ModuleLoaded { module: module.as_str().to_owned() });
    }
    Ok(())
}

/// Loads the builds that were loaded before, from the tree. Returns a description of the result.
fn restore(
    system: &System,
    sink: &dyn Sink,
    plan: &Plan,
    tools: &Tools,
    loaded: &[&ModuleName],
    order: &[&ModuleName],
) -> String {
    let former = order.iter().map(|module| former_file(system, plan, module));
    let Some(former) = former.collect::<Option<Vec<PathBuf>>>() else {
        return "the builds that were loaded before are not in the tree any more, so they stay unloaded"
            .into();
    };
    for module in loaded.iter().rev() {
        if let Err(cause) = tools.unload(module) {
            return format!("{} could not be unloaded again: {cause}", module.as_str());
        }
    }
    for (module, file) in order.iter().zip(&former) {
        if let Err(cause) = tools.insert(file) {
            return format!("{} could not be loaded from {}: {cause}", module.as_str(), file.display());
        }
        sink.event(Event::ModuleLoaded { module: module.as_str().to_owned() });
    }
    "the builds that were loaded before are loaded again".into()
}

/// Finds the file in the tree from which a module was loaded before.
fn former_file(system: &System, plan: &Plan, module: &ModuleName) -> Option<PathBuf> {
    let layout = &system.layout;
    let before = plan.before.get(module)?;
    let is_former = |file: &ModuleFile| {
        ModuleName::new(&file.name) == *module
            && Identity::of_file(&file.path).is_some_and(|identity| before.is_same(&identity) == Some(true))
    };
    let versions = plan.packages.iter().flat_map(|package| state::versions(layout, &package.name));
    let builds = versions.flat_map(|version| state::builds(layout, &version));
    builds
        .filter(|build| build.kernel.release == system.host.release)
        .flat_map(|build| state::module_files(layout, &build))
        .find(is_former)
        .map(|file| file.path)
}

/// The programs of kmod.
struct Tools {
    rmmod: PathBuf,
    modprobe: PathBuf,
    insmod: PathBuf,
}

impl Tools {
    fn find(host: &Host) -> Result<Self> {
        let find = |program: &str| {
            which(program, &host.path).ok_or_else(|| ProgramError::Missing {
                program: program.to_owned(),
                purpose: "reload modules".to_owned(),
                package: "kmod".to_owned(),
            })
        };
        Ok(Self { rmmod: find("rmmod")?, modprobe: find("modprobe")?, insmod: find("insmod")? })
    }

    fn unload(&self, module: &ModuleName) -> Result<(), Cause> {
        run(&self.rmmod, vec![module.as_str().into()])
    }

    fn load(&self, module: &ModuleName) -> Result<(), Cause> {
        run(&self.modprobe, vec![module.as_str().into()])
    }

    fn insert(&self, file: &Path) -> Result<(), Cause> {
        run(&self.insmod, vec![file.into()])
    }
}

/// Runs a program to its end, even if the user interrupts dkms: a driver that is not reloaded completely is
/// worse than a delay.
fn run(program: &Path, args: Vec<OsString>) -> Result<(), Cause> {
    let command = Command::new(program).args(args).ignore_interrupt().timeout(Duration::from_secs(600));
    let done = command.run()?;
    if done.status.success() {
        return Ok(());
    }
    let stderr = done.stderr_text();
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("{} ended with {}: {}", program.display(), done.status, lines.join("; ")).into())
}
