//! `ready` and `pending`: whether this kernel is ready to boot, and which modules wait for which others.

use super::call::Call;
use crate::answer::Answer;
use crate::render::verdicts;
use crate::request;
use dkms_core::error::Result;
use dkms_core::ids::Kernel;
use dkms_core::look::{LookError, ready};
use dkms_core::request::UsageError;

/// `dkms ready`
pub(super) fn ready(call: &Call<'_>) -> Result<Answer> {
    no_module(call)?;
    let kernel = match call.words.releases.is_empty() {
        false => request::one_kernel(call.system, call.arguments, call.words)?,
        true => newest(call)?,
    };
    let loaded = call.arguments.loaded;
    if loaded && !call.system.host.runs(&kernel.release) {
        return Err(UsageError::NotRunning(kernel.release).into());
    }
    let report = ready::ready(call.system, call.sink, &kernel, loaded)?;
    if call.arguments.json {
        call.ui.data(&verdicts::ready_json(&report));
    } else {
        call.ui.data(&verdicts::ready_text(&report, call.system.settings.verbose));
    }
    Ok(report.answer().into())
}

/// `dkms pending`
pub(super) fn pending(call: &Call<'_>) -> Result<Answer> {
    no_module(call)?;
    let kernels = if call.words.releases.is_empty() {
        let arch = arch(call);
        let found =
            ready::kernels(&call.system.layout).into_iter().filter_map(|r| Kernel::new(&r, &arch).ok());
        found.collect()
    } else {
        request::kernels(call.system, call.words, None)?
    };
    let items = ready::pending(call.system, call.sink, &kernels);
    if call.arguments.json {
        call.ui.data(&verdicts::pending_json(&items));
    } else {
        call.ui.data(&verdicts::pending_text(&items));
    }
    Ok(Answer::Yes)
}

/// Refuses operands that are not kernels: these actions work on kernels.
fn no_module(call: &Call<'_>) -> Result<()> {
    if call.subject.name.is_some() || call.subject.archive.is_some() || call.subject.directory.is_some() {
        let action = call.arguments.action_word().to_owned();
        return Err(UsageError::NoModule { action, operands: "[-k KERNEL]" }.into());
    }
    Ok(())
}

fn newest(call: &Call<'_>) -> Result<Kernel> {
    let arch = arch(call);
    let release = ready::newest_kernel(&call.system.layout).ok_or_else(|| {
        let usual = call.system.host.distribution.as_ref().and_then(|known| known.usual_kernel(&arch));
        LookError::NoKernel {
            tree: call.system.layout.install_tree.clone(),
            root: call.system.host.other_root.clone(),
            package: usual.map(|(kernel, _)| kernel),
        }
    })?;
    Ok(Kernel::new(&release, &arch)?)
}

/// The architecture of the kernels: the one that is given, or that of the running kernel.
pub(super) fn arch(call: &Call<'_>) -> String {
    match call.words.arches.as_slice() {
        [one, ..] => one.clone(),
        [] => crate::host::arch_of(call.system, &call.system.host.release),
    }
}
