//! Executes a plan, and undoes it if a step fails.

use super::{Plan, ReloadError};
use crate::cause::Cause;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::kernel::running::Identity;
use crate::program::ProgramError;
use crate::system::System;
use dkms_sys::process::{Command, which};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::state;
use kmodule::ModuleName;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Unloads the modules of a plan, and loads what is installed.
///
/// # Errors
/// [`ReloadError`], after what was unloaded is loaded again, as far as that is possible. A missing program.
pub fn execute(system: &System, sink: &dyn Sink, plan: &Plan) -> Result<()> {
    let tools = Tools::find(&system.host)?;
    for (n, module) in plan.unload.iter().enumerate() {
        if let Err(cause) = tools.unload(module) {
            let unloaded = plan.unload.get(..n).unwrap_or_default();
            let failed: Vec<&str> =
                unloaded.iter().rev().filter(|m| tools.load(m).is_err()).map(ModuleName::as_str).collect();
            let aftermath = match (unloaded.len(), failed.is_empty()) {
                (0, _) => "nothing was unloaded".to_owned(),
                (_, true) => "what was unloaded before it is loaded again".to_owned(),
                (_, false) => format!("{} could not be loaded again", failed.join(", ")),
            };
            return Err(ReloadError::Unload { module: module.as_str().to_owned(), cause, aftermath }.into());
        }
        sink.event(Event::ModuleUnloaded { module: module.as_str().to_owned() });
    }
    let order: Vec<&ModuleName> = plan.unload.iter().rev().collect();
    for (n, module) in order.iter().enumerate() {
        if let Err(cause) = tools.load(module) {
            let loaded = order.get(..n).unwrap_or_default();
            let aftermath = restore(system, sink, plan, &tools, loaded, &order);
            return Err(ReloadError::Load { module: module.as_str().to_owned(), cause, aftermath }.into());
        }
        sink.event(Event::ModuleLoaded { module: module.as_str().to_owned() });
    }
    Ok(())
}

/// Loads the builds that were loaded before, from the tree. Describes the result.
fn restore(
    system: &System,
    sink: &dyn Sink,
    plan: &Plan,
    tools: &Tools,
    loaded: &[&ModuleName],
    order: &[&ModuleName],
) -> String {
    let former: Vec<Option<PathBuf>> =
        order.iter().map(|module| former_file(&system.host, &system.layout, plan, module)).collect();
    let Some(former) = former.into_iter().collect::<Option<Vec<PathBuf>>>() else {
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

/// The file in the tree from which a module was loaded before.
fn former_file(host: &Host, layout: &Layout, plan: &Plan, module: &ModuleName) -> Option<PathBuf> {
    let before = plan.before.get(module)?;
    let release = &host.release;
    for package in &plan.packages {
        for version in state::versions(layout, &package.name) {
            for build in state::builds(layout, &version) {
                let found =
                    (build.kernel.release == *release).then(|| file_of(layout, &build, module, before));
                if let Some(file) = found.flatten() {
                    return Some(file);
                }
            }
        }
    }
    None
}

fn file_of(layout: &Layout, build: &Build, module: &ModuleName, before: &Identity) -> Option<PathBuf> {
    let files = state::module_files(layout, build);
    let mut named = files.into_iter().filter(|file| ModuleName::new(&file.name) == *module);
    named
        .find(|file| {
            Identity::of_file(&file.path).is_some_and(|identity| before.is_same(&identity) == Some(true))
        })
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

    fn insert(&self, file: &std::path::Path) -> Result<(), Cause> {
        run(&self.insmod, vec![file.into()])
    }
}

/// Runs a program to its end, also if the user interrupts dkms meanwhile: a half-reloaded driver is worse
/// than a wait.
fn run(program: &std::path::Path, args: Vec<OsString>) -> Result<(), Cause> {
    let command = Command::new(program).args(args).ignore_interrupt().timeout(Duration::from_secs(600));
    let done = command.run()?;
    if done.status.success() {
        return Ok(());
    }
    let said = done.stderr_text();
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("{} ended with {}: {}", program.display(), done.status, said.join("; ")).into())
}
