//! Checks whether the running kernel has loaded the required modules.

use super::report::Report;
use super::required::{Required, own_names};
use crate::event::Sink;
use crate::kernel::running::{Identity, Running};
use crate::look::loaded::{self, Compared, InMemory};
use crate::system::System;
use dkms_tree::entry::Entry;
use kmodule::ModuleName;
use kmodule::verdict::Outcome;

/// Remarks on required packages of which the running kernel has loaded another build than the installed one.
/// That is no reason against a reboot, which is one way to change it.
pub(super) fn note_other_builds(
    system: &System,
    sink: &dyn Sink,
    here: &[Entry],
    required: &[Required],
    report: &mut Report,
) {
    let running = Running::read();
    for (entry, modules) in compared(system, sink, &running, here, required) {
        for module in modules.iter().filter(|m| m.state == InMemory::Other) {
            let word = |identity: &Identity| identity.word().unwrap_or("unknown").to_owned();
            let (now, then) = (word(&module.loaded), word(&module.installed));
            let name = module.name.as_str();
            let what = format!(
                "the running kernel has another build of {name} loaded ({now}) than is installed ({then})"
            );
            let help = format!("dkms reload {}, or the reboot, loads the installed one", entry.package.name);
            report.remark(&entry.package.to_string(), what, Some(&help));
        }
    }
}

/// Checks that what `required_modules` names is loaded: of a package at least one module. The hardware for
/// other packages may be absent.
pub(super) fn check(
    system: &System,
    sink: &dyn Sink,
    here: &[Entry],
    required: &[Required],
    report: &mut Report,
) {
    let running = Running::read();
    let help = "modprobe it, and see journalctl -k for the reason";
    for (entry, modules) in compared(system, sink, &running, here, required) {
        if !modules.is_empty() && modules.iter().all(|m| m.state == InMemory::No) {
            let about = entry.package.to_string();
            report.note(Some(&about), Outcome::Refused, "has no module that is loaded", Some(help));
        }
    }
    let builtin = own_names(&system.layout.kernel_modules(&system.host.release).join("modules.builtin"));
    for item in required {
        let Required::Module(name) = item else { continue };
        let module = ModuleName::new(name);
        if running.get(&module).is_none() && !builtin.contains(&module) {
            report.note(Some(name), Outcome::Refused, "is not loaded", Some(help));
        }
    }
}

fn compared<'a>(
    system: &'a System,
    sink: &'a dyn Sink,
    running: &'a Running,
    here: &'a [Entry],
    required: &'a [Required],
) -> impl Iterator<Item = (&'a Entry, Vec<Compared>)> {
    let is_required = |entry: &&Entry| {
        required.iter().any(|r| matches!(r, Required::Package(name) if *name == entry.package.name))
    };
    here.iter()
        .filter(is_required)
        .filter_map(|entry| Some((entry, loaded::compare(system, sink, running, entry)?)))
}
