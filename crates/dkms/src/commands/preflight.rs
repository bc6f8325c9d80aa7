//! `preflight`: checks whether the modules build for the kernels of the next upgrade.

use super::call::Call;
use crate::answer::Answer;
use crate::render::preflight;
use dkms_core::error::Result;
use dkms_core::request::RequestError;

/// `dkms preflight`
pub(super) fn preflight(call: &Call<'_>) -> Result<Answer> {
    if call.system.host.other_root.is_some() {
        let works_on = "this machine's package manager";
        return Err(RequestError::OtherRoot { action: "preflight", works_on }.into());
    }
    let kernels: Vec<String> = call.arguments.words.iter().chain(&call.words.releases).cloned().collect();
    let program = std::env::current_exe().unwrap_or_else(|_| "/usr/sbin/dkms".into());
    let report = dkms_core::preflight::preflight(call.system, call.sink, &kernels, &program)?;
    let verbose = call.system.settings.verbose;
    call.print(|| preflight::json(&report), || preflight::text(&report, verbose));
    Ok(report.answer().into())
}
