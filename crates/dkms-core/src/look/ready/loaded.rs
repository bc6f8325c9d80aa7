//! Checks whether the running kernel has loaded the required modules.

use super::report::Report;
use super::required::{Required, builtin_modules};
use crate::event::Sink;
use crate::kernel::running::{Identity, Running};
use crate::look::loaded::{self, Compared, InMemory};
use crate::system::System;
use dkms_tree::entry::Entry;
use kmodule::ModuleName;
use kmodule::verdict::Outcome;

/// Adds a remark for each required module if the running kernel has not loaded the installed build, but
/// another one. This does not affect the result: a reboot loads the installed build.
pub(super) fn note_other_builds(
    system: &System,
    sink: &dyn Sink,
    installed: &[Entry],
    required: &[Required],
    report: &mut Report,
) {
    let running = Running::read();
    for (entry, modules) in compare_required(system, sink, &running, installed, required) {
        for module in modules.iter().filter(|module| module.state == InMemory::Other) {
            let word = |identity: &Identity| identity.word().unwrap_or("unknown").to_owned();
            let what = format!(
                "the running kernel has loaded another build of {} ({}) than the installed one ({})",
                module.name,
                word(&module.loaded),
                word(&module.installed)
            );
            let help = format!("dkms reload {}, or a reboot, loads the installed build", entry.package.name);
            report.remark(&entry.package.to_string(), what, Some(&help));
        }
    }
}

/// Checks that the modules and packages in `required_modules` are loaded. For a package, one loaded module is
/// enough, because this machine may not have the hardware for the others.
pub(super) fn check(
    system: &System,
    sink: &dyn Sink,
    installed: &[Entry],
    required: &[Required],
    report: &mut Report,
) {
    let running = Running::read();
    let help = "load it with modprobe; if that fails, see journalctl -k for the reason";
    for (entry, modules) in compare_required(system, sink, &running, installed, required) {
        if !modules.is_empty() && modules.iter().all(|module| module.state == InMemory::No) {
            let about = entry.package.to_string();
            report.note(Some(&about), Outcome::Refused, "has no module that is loaded", Some(help));
        }
    }
    let builtin = builtin_modules(&system.layout.kernel_modules(&system.host.release));
    for item in required {
        let Required::Module(name) = item else { continue };
        let module = ModuleName::new(name);
        if running.get(&module).is_none() && !builtin.contains(&module) {
            report.note(Some(name), Outcome::Refused, "is not loaded", Some(help));
        }
    }
}

/// Compares the modules of each required package with the loaded modules.
fn compare_required<'a>(
    system: &'a System,
    sink: &'a dyn Sink,
    running: &'a Running,
    installed: &'a [Entry],
    required: &'a [Required],
) -> impl Iterator<Item = (&'a Entry, Vec<Compared>)> {
    let is_required = |entry: &&Entry| {
        required.iter().any(|item| matches!(item, Required::Package(name) if *name == entry.package.name))
    };
    installed
        .iter()
        .filter(is_required)
        .filter_map(|entry| Some((entry, loaded::compare(system, sink, running, entry)?)))
}
