//! `mkrpm`, `mkkmp` and `mkdriverdisk`.

use super::call::Call;
use super::packaging::PackRequest;
use crate::actions::Action;
use crate::request;
use dkms_core::add;
use dkms_core::error::{Error, Result};
use dkms_core::ids::Kernel;
use dkms_core::pack::{Content, Request, rpm};
use dkms_core::plan::{Operation, Plan};
use dkms_core::request::{OldDriverDisk, RequestError, UsageError};

fn request(call: &Call<'_>) -> Result<PackRequest> {
    let action = call.arguments.action;
    let package = call.subject.package(call.arguments.action_word())?;
    add::require_added(&call.system.layout, &package)?;
    let content = super::tarball::content(call);
    let are_named = call.arguments.all || !call.words.releases.is_empty();
    if action == Some(Action::Mkdriverdisk) && content == Content::SourceOnly {
        return Err(RequestError::NothingBuilt("mkdriverdisk").into());
    }
    let modules_only = content == Content::BinariesOnly || action == Some(Action::Mkdriverdisk);
    // If no kernel is given, include everything that is built.
    let kernels = match content {
        Content::SourceOnly => Vec::new(),
        _ if action == Some(Action::Mkkmp) && !are_named => Vec::new(),
        _ if call.words.releases.is_empty() => {
            match request::kernels(call.system, call.words, Some(&package))? {
                built if built.is_empty() && modules_only => request::kernels(call.system, call.words, None)?,
                built => built,
            }
        }
        _ => request::kernels(call.system, call.words, None)?,
    };
    Ok(PackRequest::new(package, kernels, content))
}

/// The kernel for an action that uses only one: the first of the request, or the default kernel.
fn first_kernel(request: &Request<'_>, call: &Call<'_>) -> Result<Kernel> {
    if let Some(kernel) = request.kernels.first() {
        return Ok(kernel.clone());
    }
    let default = request::kernels(call.system, call.words, None)?.into_iter().next();
    default.ok_or_else(|| Error::Request(RequestError::NoKernel))
}

/// `dkms mkrpm`, `dkms mkkmp` and `dkms mkdriverdisk`
pub(super) fn make(call: &Call<'_>, action: Action) -> Result<()> {
    refuse_old_forms(call, action)?;
    let request = request(call)?;
    let request = request.as_core(call);
    let spec = call.arguments.spec.as_deref();
    call.print_or_execute(plan(call, action, &request)?, |_| match action {
        Action::Mkkmp => {
            rpm::mkkmp(call.system, call.sink, &request, spec, &first_kernel(&request, call)?).map(|_| ())
        }
        Action::Mkdriverdisk => rpm::mkdriverdisk(call.system, call.sink, &request, spec).map(|_| ()),
        _ => rpm::mkrpm(call.system, call.sink, &request).map(|_| ()),
    })
}

fn plan(call: &Call<'_>, action: Action, request: &Request<'_>) -> Result<Plan> {
    let package = request.package;
    let (path, reason) = match action {
        Action::Mkkmp => {
            let spec = rpm::mkkmp_spec(&call.system.layout, request, call.arguments.spec.as_deref())?;
            let reason = format!("the source package of {package} that {} describes", spec.display());
            (rpm::mkkmp_place(&call.system.layout, request), reason)
        }
        Action::Mkdriverdisk => (
            rpm::mkdriverdisk_place(&call.system.layout, request),
            format!("what is built of {package}, for an installer"),
        ),
        _ => (rpm::mkrpm_place(&call.system.layout, request)?, format!("an rpm package of {package}")),
    };
    Ok(Plan::single(Operation::WriteArchive(path), reason))
}

/// Refuses the options for old installers that mkdriverdisk no longer supports, and names the replacement.
fn refuse_old_forms(call: &Call<'_>, action: Action) -> Result<()> {
    let arguments = call.arguments;
    let given = [("-d", &arguments.distro), ("--media", &arguments.media), ("-r", &arguments.release)];
    if action != Action::Mkdriverdisk {
        return match given.iter().find(|(_, value)| value.is_some()) {
            Some(&(option, _)) => Err(UsageError::OptionOf { option, action: "mkdriverdisk" }.into()),
            None => Ok(()),
        };
    }
    let form = match (arguments.distro.as_deref(), arguments.media.as_deref()) {
        (Some(old @ ("redhat" | "redhat1" | "redhat2")), _) => OldDriverDisk::RedHat(old.into()),
        (Some(old @ ("suse" | "UnitedLinux")), _) => OldDriverDisk::Suse(old.into()),
        (Some("ubuntu"), _) => OldDriverDisk::Ubuntu,
        (None | Some("redhat3"), None | Some("iso")) => return Ok(()),
        (None | Some("redhat3"), Some(medium)) => OldDriverDisk::Medium(medium.into()),
        (Some(other), _) => OldDriverDisk::Distribution(other.into()),
    };
    Err(UsageError::OldDriverDisk(form).into())
}
