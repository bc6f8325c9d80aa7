//! `mkdeb`, `mkdsc` and `mkbmdeb`.

use super::call::Call;
use super::packaging::PackRequest;
use crate::actions::Action;
use crate::request;
use dkms_core::add;
use dkms_core::error::Result;
use dkms_core::pack::{Content, Request, debian};
use dkms_core::plan::{Operation, Plan, Step};
use dkms_core::request::RequestError;

fn request(call: &Call<'_>, action: Action) -> Result<PackRequest> {
    let package = call.subject.package(action.word())?;
    add::require_added(&call.system.layout, &package)?;
    let all = call.arguments.all;
    let are_named = all || !call.words.releases.is_empty();
    let content = super::tarball::content(call);
    if action == Action::Mkbmdeb && content == Content::SourceOnly {
        return Err(RequestError::NothingBuilt("mkbmdeb").into());
    }
    // A source-only package works for any kernel, so the running kernel is not the default.
    let without_modules = action != Action::Mkbmdeb && content == Content::Both && !are_named;
    let kernels = if without_modules {
        Vec::new()
    } else {
        request::kernels(call.system, call.words, all.then_some(&package))?
    };
    Ok(PackRequest::new(package, kernels, content))
}

/// `dkms mkdeb`, `dkms mkdsc` and `dkms mkbmdeb`
pub(super) fn make(call: &Call<'_>, action: Action) -> Result<()> {
    let request = request(call, action)?;
    let request = request.as_core(call);
    call.print_or_execute(plan(call, action, &request)?, |_| match action {
        Action::Mkbmdeb => debian::mkbmdeb(call.system, call.sink, &request).map(|_| ()),
        Action::Mkdsc => debian::mkdsc(call.system, call.sink, &request).map(|_| ()),
        _ => debian::mkdeb(call.system, call.sink, &request).map(|_| ()),
    })
}

fn plan(call: &Call<'_>, action: Action, request: &Request<'_>) -> Result<Plan> {
    let package = request.package;
    let (path, kind) = match action {
        Action::Mkbmdeb => {
            let mut plan = Plan::default();
            for (kernel, path) in
                request.kernels.iter().zip(debian::mkbmdeb_places(&call.system.layout, request)?)
            {
                let reason = format!("what is built of {package} for kernel {}", kernel.release);
                plan.push(Step::new(Operation::WriteArchive(path), reason), []);
            }
            return Ok(plan);
        }
        Action::Mkdsc => (debian::mkdsc_place(&call.system.layout, request)?, "source package"),
        _ => (debian::mkdeb_place(&call.system.layout, request)?, "package"),
    };
    Ok(Plan::single(Operation::WriteArchive(path), format!("a Debian {kind} of {package}")))
}
