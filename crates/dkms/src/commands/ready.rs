//! `ready` and `pending`: whether a kernel is ready to boot, and which modules are not installed yet.

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
    refuse_modules(call)?;
    let kernel = match call.words.releases.is_empty() {
        false => request::one_kernel(call.system, call.arguments, call.words)?,
        true => newest_kernel(call)?,
    };
    let loaded = call.arguments.loaded;
    if loaded && !call.system.host.runs(&kernel.release) {
        return Err(UsageError::NotRunning(kernel.release).into());
    }
    let report = ready::ready(call.system, call.sink, &kernel, loaded)?;
    let verbose = call.system.settings.verbose;
    call.print(|| verdicts::ready_json(&report), || verdicts::ready_text(&report, verbose));
    Ok(report.answer().into())
}

/// `dkms pending`
pub(super) fn pending(call: &Call<'_>) -> Result<Answer> {
    refuse_modules(call)?;
    let kernels = if call.words.releases.is_empty() {
        let releases = ready::kernels(&call.system.layout).into_iter();
        releases.filter_map(|release| Kernel::from_release(release, &call.arch()).ok()).collect()
    } else {
        request::kernels(call.system, call.words, None)?
    };
    let items = ready::pending(call.system, call.sink, &kernels);
    call.print(|| verdicts::pending_json(&items), || verdicts::pending_text(&items));
    Ok(Answer::Yes)
}

/// Refuses operands that are not kernels: these actions work on kernels.
fn refuse_modules(call: &Call<'_>) -> Result<()> {
    if call.subject.name.is_some() || call.subject.archive.is_some() || call.subject.directory.is_some() {
        let action = call.arguments.action_word().to_owned();
        return Err(UsageError::NoModule { action, operands: "[-k KERNEL]" }.into());
    }
    Ok(())
}

fn newest_kernel(call: &Call<'_>) -> Result<Kernel> {
    let arch = call.arch();
    let release = ready::newest_kernel(&call.system.layout).ok_or_else(|| {
        let usual = call.system.host.distribution.as_ref().and_then(|known| known.usual_kernel(&arch));
        LookError::NoKernel {
            tree: call.system.layout.install_tree.clone(),
            root: call.system.host.other_root.clone(),
            package: usual.map(|(kernel, _)| kernel),
        }
    })?;
    Ok(Kernel::from_release(release, &arch)?)
}
