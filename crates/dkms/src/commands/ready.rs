//! `ready` and `pending`: can this kernel be booted, and what waits for what.

use super::Call;
use crate::render::verdicts;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::Kernel;
use dkms_core::ready;
use dkms_core::verify::Outcome;

/// `dkms ready`
pub fn ready(call: &Call<'_>) -> Result<()> {
    no_module(call)?;
    let kernel = match call.words.releases.is_empty() {
        false => request::one_kernel(call.s, call.arguments, call.words)?,
        true => newest(call)?,
    };
    let report = ready::ready(call.s, &kernel)?;
    if call.arguments.json {
        call.ui.data(&verdicts::ready_json(&report));
    } else {
        call.ui.data(&verdicts::ready_text(&report, call.s.options.verbose));
    }
    match report.answer() {
        Outcome::Loads => Ok(()),
        // What it wrote says it.
        Outcome::Refused => Err(Error::No(String::new())),
        Outcome::Unknown => Err(Error::CannotTell(String::new())),
    }
}

/// `dkms pending`
pub fn pending(call: &Call<'_>) -> Result<()> {
    no_module(call)?;
    let kernels = if call.words.releases.is_empty() {
        let arch = arch(call);
        let found = ready::kernels(call.s).into_iter().filter_map(|r| Kernel::new(&r, &arch).ok());
        found.collect()
    } else {
        request::kernels(call.s, call.words, None)?
    };
    let items = ready::pending(call.s, &kernels);
    if call.arguments.json {
        call.ui.data(&verdicts::pending_json(&items));
    } else {
        call.ui.data(&verdicts::pending_text(&items));
    }
    Ok(())
}

/// They are about kernels.
fn no_module(call: &Call<'_>) -> Result<()> {
    if call.subject.name.is_some() || call.subject.archive.is_some() || call.subject.directory.is_some() {
        return Err(Error::Usage(format!(
            "{0} is about a kernel and takes no module: dkms {0} [-k KERNEL]",
            call.arguments.action_word()
        )));
    }
    Ok(())
}

fn newest(call: &Call<'_>) -> Result<Kernel> {
    let release = ready::newest_kernel(call.s).ok_or_else(|| {
        let tree = call.s.layout.install_tree.display();
        Error::CannotTell(format!("there is no kernel in {tree}"))
    })?;
    Ok(Kernel::new(&release, &arch(call))?)
}

fn arch(call: &Call<'_>) -> String {
    match call.words.arches.as_slice() {
        [one, ..] => one.clone(),
        [] => crate::host::arch_of(call.s.host, &call.s.layout.install_tree, &call.s.host.release),
    }
}
