//! `dkms reload`: replaces loaded modules by the installed ones. Everything is checked before the first
//! module is unloaded. If a step fails nevertheless, the earlier steps are rolled back.

pub(crate) mod error;
mod order;
mod steps;
mod users;

pub use error::{Kept, Obstacle, ReloadError};
pub use steps::execute;

use crate::error::Result;
use crate::event::Sink;
use crate::kernel::running::{Identity, Running};
use crate::look::LookError;
use crate::look::loaded::{self, InMemory};
use crate::look::status::{self, Filter};
use crate::look::verify::{self, Outcome};
use crate::package::PackageError;
use crate::system::System;
use dkms_sys::fs::Limit;
use dkms_tree::ids::PackageId;
use dkms_tree::state;
use kmodule::ModuleName;
use std::collections::{BTreeMap, BTreeSet};

/// The modules that are unloaded and loaded again.
#[derive(Debug, Default)]
pub struct Plan {
    /// The modules, each after those that use it. They are loaded in reverse order.
    pub unload: Vec<ModuleName>,
    /// The modules whose loaded build is already the installed one.
    pub current: BTreeSet<ModuleName>,
    /// The packages that the modules belong to.
    packages: Vec<PackageId>,
    /// The identity of each build that is loaded now.
    before: BTreeMap<ModuleName, Identity>,
}

/// Plans to reload the loaded modules of packages. Changes nothing.
///
/// # Errors
/// A package is unknown, or not installed for the running kernel. [`ReloadError`]: a module cannot be
/// unloaded, or the installed module would not load.
pub fn plan(system: &System, sink: &dyn Sink, names: &[String]) -> Result<Plan> {
    let running = Running::read();
    let mut plan = Plan::default();
    let mut modules_to_reload = BTreeSet::new();
    for name in names {
        if state::versions(&system.layout, name).is_empty() {
            return Err(PackageError::Unknown(name.clone()).into());
        }
        let entries = status::status(system, sink, &filter(system, name));
        let installed: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some((entry, loaded::compare(system, sink, &running, entry)?)))
            .collect();
        if installed.is_empty() {
            return Err(
                LookError::NotInstalled(format!("{name} (for kernel {})", system.host.release)).into()
            );
        }
        for (entry, modules) in installed {
            plan.packages.push(entry.package.clone());
            for module in modules.into_iter().filter(|m| m.state != InMemory::No) {
                if module.state == InMemory::Installed {
                    plan.current.insert(module.name.clone());
                }
                plan.before.insert(module.name.clone(), module.loaded);
                modules_to_reload.insert(module.name);
            }
        }
    }
    plan.unload = order::unload_order(&running, &modules_to_reload)
        .map_err(|kept| ReloadError::InUse(kept.into_iter().map(with_users).collect()))?;
    if !plan.unload.is_empty() {
        require_loadable(system, sink, &plan)?;
    }
    Ok(plan)
}

/// Selects a package, for the running kernel.
fn filter(system: &System, package: &str) -> Filter {
    Filter { name: Some(status::escape(package)), ..Filter::of_kernel(&system.host.release) }
}

/// Completes an obstacle with the users of the module.
fn with_users(mut kept: Kept) -> Kept {
    if let Obstacle::Users(_, known) = &mut kept.obstacle {
        *known = users::find_users(&kept.module);
    }
    kept
}

/// Checks that the kernel would load the installed files.
fn require_loadable(system: &System, sink: &dyn Sink, plan: &Plan) -> Result<()> {
    let disabled = dkms_sys::fs::read_text("/proc/sys/kernel/modules_disabled", Limit::CONFIG);
    if disabled.is_ok_and(|text| text.trim() == "1") {
        return Err(ReloadError::Disabled.into());
    }
    let filters: Vec<Filter> = plan.packages.iter().map(|package| filter(system, &package.name)).collect();
    for judged in verify::verify(system, sink, &filters).modules {
        let is_reloaded = plan.unload.contains(&ModuleName::new(&judged.name));
        if is_reloaded && judged.outcome() == Outcome::Refused {
            let reason = judged.verdict.refusals.first().map(ToString::to_string);
            let reason = judged.unreadable.or(reason).unwrap_or_default();
            return Err(ReloadError::WouldNotLoad { module: judged.name, reason }.into());
        }
    }
    Ok(())
}
