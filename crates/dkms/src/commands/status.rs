//! `status`: prints lines for scripts to parse, JSON, or a table for people.

use super::call::Call;
use crate::answer::Answer;
use crate::render::paint::Painted;
use crate::render::{json, status as render};
use dkms_conf::glob::matches_name;
use dkms_core::error::Result;
use dkms_core::kernel::running::Running;
use dkms_core::look::status::{self, Entry, Filter, State};
use dkms_core::look::{loaded, ready};
use dkms_core::request::{RequestError, UsageError};
use dkms_tree::ids::{Build, Kernel, Release};
use dkms_tree::manifest::Manifest;

/// `dkms status`
pub(super) fn status(call: &Call<'_>) -> Result<Answer> {
    let filters = filters(call)?;
    if call.arguments.table && call.arguments.json {
        return Err(RequestError::Exclusive("--table and --json").into());
    }
    let entries: Vec<_> =
        filters.iter().flat_map(|filter| status::status(call.system, call.sink, filter)).collect();
    let running = call.arguments.loaded.then(Running::read);
    if call.arguments.json {
        let loaded = running
            .as_ref()
            .map(|running| move |entry: &_| loaded::compare(call.system, call.sink, running, entry));
        let loaded = loaded.as_ref().map(|find_loaded| find_loaded as &dyn Fn(&_) -> _);
        call.ui.data(&json::status(&entries, &|build| origin(call, build), loaded));
        return Ok(Answer::Yes);
    }
    if call.arguments.table {
        call.ui.painted(&table(call, &filters, &entries));
    } else {
        let remark = |entry: &Entry| {
            let modules =
                running.as_ref().and_then(|running| loaded::compare(call.system, call.sink, running, entry));
            modules.map_or_else(String::new, |modules| loaded::remark(&modules))
        };
        call.ui.painted(&render::lines(&entries, &remark));
    }
    for entry in entries.iter().filter(|entry| entry.kind == State::Broken) {
        if let Err(e) = dkms_core::add::refuse_broken(&call.system.layout, &entry.package) {
            call.sink.warn(e.to_string());
        }
    }
    Ok(Answer::Yes)
}

/// The table of packages and kernels. Its kernels are those of the entries, and those in /lib/modules that
/// the filters select.
fn table(call: &Call<'_>, filters: &[Filter], entries: &[Entry]) -> Painted {
    let layout = &call.system.layout;
    let arch = call.arch();
    let selected = |release: &Release| {
        filters
            .iter()
            .any(|filter| filter.release.as_deref().is_none_or(|pattern| matches_name(pattern, release)))
    };
    let installed = ready::kernels(layout).into_iter().filter(selected);
    let present: Vec<Kernel> =
        installed.filter_map(|release| Kernel::from_release(release, &arch).ok()).collect();
    let host = &call.system.host;
    let is_known = host.other_root.is_none() && host.runs(&host.release);
    let running = if is_known { host.release.as_str() } else { "" };
    let failed = |build: &Build| dkms_sys::fs::is_real_file(layout.failed_log(build));
    render::Table::new(entries, &present, running, &failed)
        .render(dkms_sys::sys::terminal_width(1).map(usize::from))
}

/// The origin of the modules of a build, if it is recorded.
fn origin(call: &Call<'_>, build: &Build) -> Option<String> {
    let manifest = Manifest::load(&call.system.layout, build)?;
    (!manifest.origin.is_unknown()).then(|| manifest.origin.to_string())
}

/// The filters that the operands, `-k` and `-a` describe. Their words may be shell patterns.
pub(super) fn filters(call: &Call<'_>) -> Result<Vec<Filter>> {
    if let Some(path) = call.subject.archive.as_ref().or(call.subject.directory.as_ref()) {
        let (action, path) = (call.arguments.action_word().to_owned(), path.clone());
        return Err(UsageError::PathForModule { action, path }.into());
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
        for (position, release) in call.words.releases.iter().enumerate() {
            let arch = match call.words.arches.as_slice() {
                [arch] => Some(arch.clone()),
                arches => arches.get(position).cloned(),
            };
            filters.push(Filter { release: Some(release.clone()), arch, ..base.clone() });
        }
    }
    Ok(filters)
}
