//! `autoinstall`, `match` and the kernel hooks: what is about one kernel.

use super::Call;
use crate::cli::Action;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::Kernel;
use dkms_core::{remove, schedule};

/// `dkms autoinstall`, `dkms kernel_postinst`
pub fn autoinstall(call: &Call<'_>, code: &dyn Fn(&Error) -> u8) -> Result<()> {
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    call.require_root()?;
    call.require_writable_tree()?;
    schedule::autoinstall(call.s, &kernel, code)
}

/// `dkms match`
pub fn match_kernel(call: &Call<'_>) -> Result<()> {
    call.require_root()?;
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    let Some(template) = call.arguments.templatekernel.as_deref().filter(|t| !t.is_empty()) else {
        return Err(Error::KernelArchPairing(
            "match needs the kernel to be matched: dkms match --templatekernel KERNEL [-k KERNEL]".into(),
        ));
    };
    let template = Kernel::new(template, &kernel.arch)?;
    call.require_writable_tree()?;
    schedule::match_kernel(call.s, &template, &kernel, call.subject.name.as_deref())
}

/// `dkms kernel_preinst`, `dkms kernel_prerm`
pub fn clear(call: &Call<'_>, action: Action) -> Result<()> {
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    call.require_root()?;
    call.require_writable_tree()?;
    let changed = remove::clear_kernel(call.s, &kernel, action.word(), action == Action::KernelPreinst)?;
    if changed {
        schedule::once_per_command(call.s, &[kernel], false);
    }
    Ok(())
}
