//! `autoinstall`, `match` and the kernel hooks: the actions on one kernel.

use super::call::Call;
use crate::actions::Action;
use crate::answer::{Answer, Summary};
use crate::request;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::hold::{self, Caller};
use dkms_core::ids::Kernel;
use dkms_core::plan::gather;
use dkms_core::request::RequestError;
use dkms_core::{actions, finally, remove};

/// `dkms autoinstall`, and `dkms kernel_postinst` for hooks
pub(super) fn autoinstall(call: &Call<'_>, action: Action) -> Result<()> {
    let kernels = autoinstall_kernels(call)?;
    let plan = gather::autoinstall_if_enabled(call.system, call.sink, &kernels, call.overrides());
    call.print_or_execute(plan, |plan| match action {
        Action::KernelPostinst => actions::kernel_postinst(call.system, call.sink, plan, &kernels),
        _ => actions::autoinstall(call.system, call.sink, plan, &kernels),
    })
}

/// With `--all-kernels`, every kernel that has headers; else the given kernel, or the default of the system.
fn autoinstall_kernels(call: &Call<'_>) -> Result<Vec<Kernel>> {
    if !call.arguments.all_kernels && call.system.host.image.is_some() && call.words.releases.is_empty() {
        return request::kernels_to_build(call.system, call.sink, call.words);
    }
    if !call.arguments.all_kernels {
        return Ok(vec![request::one_kernel(call.system, call.arguments, call.words)?]);
    }
    let kernels = call.kernels_with_headers();
    if kernels.is_empty() {
        let about = call.system.layout.install_tree.display().to_string();
        let distribution = call.system.host.distribution.as_ref();
        let usual = distribution.and_then(|known| known.usual_kernel(&call.arch()));
        let mut reason = "has no kernel with headers".to_owned();
        if let Some((_, headers)) = usual {
            reason += &format!("; install {headers}");
        }
        call.sink.event(Event::Nothing { about, reason });
    }
    Ok(kernels)
}

/// `dkms match`
pub(super) fn match_kernel(call: &Call<'_>) -> Result<()> {
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    let template = template(call, &kernel)?;
    request::report_default(call.system, call.sink, call.words, std::slice::from_ref(&kernel));
    let plan = gather::matching(
        call.system,
        call.sink,
        &template,
        &kernel,
        call.subject.name.as_deref(),
        call.overrides(),
    )?;
    call.print_or_execute(plan, |plan| actions::execute(call.system, call.sink, plan))
}

/// The kernel of `--templatekernel`, whose installed modules are matched.
fn template(call: &Call<'_>, kernel: &Kernel) -> Result<Kernel> {
    let Some(template) = call.arguments.templatekernel.as_deref().filter(|release| !release.is_empty())
    else {
        return Err(RequestError::NoTemplate.into());
    };
    Ok(Kernel::new(template, &kernel.arch)?)
}

/// `dkms kernel_hold`
pub(super) fn hold(call: &Call<'_>) -> Result<Answer> {
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    hold::refresh(call.system, call.sink, Caller::KernelHook)?;
    let missing = hold::missing_if_held(call.system, call.sink, &kernel.release)?;
    if missing.is_empty() {
        return Ok(Answer::Yes);
    }
    let text = format!("kernel {} is held back: it lacks {}", kernel.release, missing.join(", "));
    Ok(Answer::No(
        Summary::new(text).hint("dkms pending lists what they wait for; hold_kernel=no releases it"),
    ))
}

/// `dkms kernel_preinst`, `dkms kernel_prerm`
pub(super) fn clear(call: &Call<'_>, action: Action) -> Result<()> {
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    let plan = gather::clear_kernel(
        call.system,
        call.sink,
        &kernel,
        action == Action::KernelPreinst,
        call.overrides(),
    );
    call.print_or_execute(plan, |plan| {
        let changed = remove::clear_kernel(call.system, call.sink, &kernel, action.word(), &plan)?;
        if changed {
            finally::once_per_command(call.system, call.sink, &[kernel], false);
        }
        Ok(())
    })
}
