//! `mkdeb`, `mkdsc` and `mkbmdeb`.

use super::Call;
use super::packaging::Wanted;
use crate::actions::Action;
use crate::request;
use dkms_core::error::Result;
use dkms_core::explain::Explained;
use dkms_core::plan::{Step, What};
use dkms_core::request::RequestError;
use dkms_core::tarball::Content;
use dkms_core::{add, debian};

fn wanted(call: &Call<'_>, action: Action) -> Result<Wanted> {
    let package = call.subject.package(action.word())?;
    add::require_added(call.s, &package)?;
    let all = call.arguments.all;
    let named = all || !call.words.releases.is_empty();
    let content = super::tarball::content(call);
    if action == Action::Mkbmdeb && content == Content::SourceOnly {
        return Err(RequestError::Conflict(
            "mkbmdeb packs built modules: --source-only leaves nothing".into(),
        )
        .into());
    }
    // Source alone serves any kernel; the running one is nothing special to it.
    let source_alone = action != Action::Mkbmdeb && content == Content::Both && !named;
    let kernels = if source_alone {
        Vec::new()
    } else {
        request::kernels(call.s, call.words, all.then_some(&package))?
    };
    Ok(Wanted::new(package, kernels, content))
}

/// `dkms mkdeb`, `dkms mkdsc` and `dkms mkbmdeb`
pub fn make(call: &Call<'_>, action: Action) -> Result<()> {
    let wanted = wanted(call, action)?;
    let request = wanted.request(call);
    match action {
        Action::Mkbmdeb => debian::mkbmdeb(call.s, &request).map(|_| ()),
        Action::Mkdsc => debian::mkdsc(call.s, &request).map(|_| ()),
        _ => debian::mkdeb(call.s, &request).map(|_| ()),
    }
}

/// The same with `--dry-run`.
pub fn dry_run(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    let wanted = wanted(call, action)?;
    let request = wanted.request(call);
    let mut steps = Explained::new(call.s);
    if action == Action::Mkbmdeb {
        for (kernel, path) in wanted.kernels.iter().zip(debian::mkbmdeb_places(call.s, &request)?) {
            let reason = format!("what is built of {} for kernel {}", wanted.package, kernel.release);
            steps.step(What::WriteArchive(path), reason);
        }
    } else {
        let (path, kind) = match action {
            Action::Mkdsc => (debian::mkdsc_place(call.s, &request)?, "source package"),
            _ => (debian::mkdeb_place(call.s, &request)?, "package"),
        };
        steps.step(What::WriteArchive(path), format!("a Debian {kind} of {}", wanted.package));
    }
    Ok(steps.end())
}
