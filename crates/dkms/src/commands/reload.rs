//! `reload`: replaces loaded modules by the installed ones.

use super::call::Call;
use crate::render::json::document;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::ids::Kernel;
use dkms_core::reload::{self, Plan};
use dkms_core::request::{RequestError, UsageError};
use serde_json::json;

/// `dkms reload`
pub(super) fn reload(call: &Call<'_>) -> Result<()> {
    if call.system.host.other_root.is_some() {
        let works_on = "the running kernel";
        return Err(RequestError::OtherRoot { action: "reload", works_on }.into());
    }
    let names = names(call)?;
    if call.arguments.dry_run {
        print(call, &reload::plan(call.system, call.sink, &names)?);
        return Ok(());
    }
    // Until the end, no other command may change the modules of this kernel.
    let release = &call.system.host.release;
    let kernel = Kernel::new(release, &crate::host::arch_of(call.system, release))?;
    let _lock = dkms_core::lock::install(call.system, call.sink, &[kernel])?;
    let plan = reload::plan(call.system, call.sink, &names)?;
    if plan.unload.is_empty() {
        let reason = "has no module that is loaded".to_owned();
        call.sink.event(Event::Nothing { about: names.join(", "), reason });
        return Ok(());
    }
    reload::execute(call.system, call.sink, &plan)
}

/// The names of the packages. A version after a name is ignored, because only one version can be installed.
fn names(call: &Call<'_>) -> Result<Vec<String>> {
    let first = call.subject.name.clone();
    let others = call.subject.others.iter().map(|word| word.split('/').next().unwrap_or_default().to_owned());
    let mut names: Vec<String> = first.into_iter().chain(others).filter(|name| !name.is_empty()).collect();
    names.dedup();
    if names.is_empty() {
        let what = "the name of a package";
        return Err(UsageError::OperandMissing { action: "reload", what, operand: "MODULE" }.into());
    }
    Ok(names)
}

fn print(call: &Call<'_>, plan: &Plan) {
    let unload: Vec<&str> = plan.unload.iter().map(|name| name.as_str()).collect();
    let load: Vec<&str> = unload.iter().rev().copied().collect();
    if call.arguments.json {
        let current: Vec<&str> = plan.current.iter().map(|name| name.as_str()).collect();
        return call.ui.data(&document(json!({ "unload": unload, "load": load, "current": current })));
    }
    let mut text = String::new();
    for (word, list) in [("unload", &unload), ("load", &load)] {
        for name in list {
            text.push_str(&format!("{word} {name}\n"));
        }
    }
    if plan.unload.is_empty() {
        text.push_str("Nothing to do: no module of it is loaded\n");
    }
    text.push_str("Nothing was done (--dry-run)\n");
    call.ui.data(&text);
}
