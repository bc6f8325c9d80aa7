//! `status`: prints lines for scripts to parse, or JSON.

use super::call::Call;
use crate::answer::Answer;
use crate::printable::on_one_line;
use crate::render::json;
use dkms_core::error::Result;
use dkms_core::kernel::running::Running;
use dkms_core::look::loaded;
use dkms_core::look::status::{self, Filter, State};
use dkms_core::request::RequestError;
use dkms_tree::ids::Build;
use dkms_tree::manifest::Manifest;

/// `dkms status`
pub(super) fn status(call: &Call<'_>) -> Result<Answer> {
    let filters = filters(call)?;
    let entries: Vec<_> = filters.iter().flat_map(|f| status::status(call.s, f)).collect();
    let running = call.arguments.loaded.then(Running::read);
    if call.arguments.json {
        let loaded = running.as_ref().map(|running| move |entry: &_| loaded::compare(call.s, running, entry));
        let loaded = loaded.as_ref().map(|f| f as &dyn Fn(&_) -> _);
        call.ui.data(&json::status(&entries, &|build| origin(call, build), loaded));
        return Ok(Answer::Yes);
    }
    let mut text = String::new();
    for entry in &entries {
        let mut line = entry.line();
        if let Some(modules) = running.as_ref().and_then(|r| loaded::compare(call.s, r, entry)) {
            line.push_str(&loaded::remark(&modules));
        }
        text.push_str(&on_one_line(&line));
        text.push('\n');
    }
    call.ui.data(&text);
    for entry in entries.iter().filter(|e| e.kind == State::Broken) {
        if let Err(e) = dkms_core::add::refuse_broken(call.s.layout, &entry.package) {
            call.s.warn(e.to_string());
        }
    }
    Ok(Answer::Yes)
}

/// Where the modules of a build come from, if that is recorded.
fn origin(call: &Call<'_>, build: &Build) -> Option<String> {
    let manifest = Manifest::load(call.s.layout, build)?;
    (!manifest.origin.is_unknown()).then(|| manifest.origin.to_string())
}

/// The entries that the operands, `-k` and `-a` select, with shell patterns.
pub(super) fn filters(call: &Call<'_>) -> Result<Vec<Filter>> {
    if let Some(path) = call.subject.archive.as_ref().or(call.subject.directory.as_ref()) {
        let named =
            format!("{} is about MODULE or MODULE/VERSION, and this is a path", call.arguments.action_word());
        return Err(RequestError::Usage(format!("{}: {named}", path.display())).into());
    }
    let base = Filter {
        name: call.subject.name.clone(),
        version: call.subject.version.clone(),
        ..Filter::default()
    };
    let mut filters = Vec::new();
    if call.words.releases.is_empty() {
        filters.push(Filter { arch: call.words.arches.first().cloned(), ..base });
    } else {
        for (n, release) in call.words.releases.iter().enumerate() {
            let arch = match call.words.arches.as_slice() {
                [one] => Some(one.clone()),
                many => many.get(n).cloned(),
            };
            filters.push(Filter { release: Some(release.clone()), arch, ..base.clone() });
        }
    }
    Ok(filters)
}
