//! While a command changes something, the status shows the state before the change.

use super::filter::{Filter, fits};
use crate::event::{Event, Sink};
use dkms_tree::entry::Entry;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{self, Before, Journal};
use dkms_tree::layout::Layout;
use std::path::Path;

/// The state before each running or interrupted transaction, as recorded in the journals.
pub(super) fn unfinished(layout: &Layout, sink: &dyn Sink) -> Vec<(Vec<Kernel>, Before)> {
    let journals = journal::list(layout).unwrap_or_else(|e| {
        sink.event(Event::Warning { text: format!("interrupted commands are not considered: {e}") });
        Vec::new()
    });
    // The oldest journal takes precedence: it recorded the state before all others.
    let open = journals.iter().rev().filter_map(|path| read(sink, path));
    open.filter(|j| !j.committed)
        .flat_map(|j| j.before.into_iter().map(move |b| (j.begin.kernels.clone(), b)))
        .collect()
}

/// Reads a journal. If it cannot be read, the current state is shown for its packages.
fn read(sink: &dyn Sink, path: &Path) -> Option<Journal> {
    Journal::read(path).unwrap_or_else(|e| {
        // The transaction may just have finished.
        if dkms_sys::fs::exists(path) {
            sink.event(Event::Warning { text: e.to_string() });
        }
        None
    })
}

/// Replaces the entries of a package by the entries before a transaction on these kernels. `now` has all
/// entries of that package, regardless of the kernels that the filter selects, because the entries without a
/// kernel depend on them.
pub(super) fn as_before(
    filter: &Filter,
    now: Vec<Entry>,
    mut entries: Vec<Entry>,
    kernels: &[Kernel],
    before: Before,
) -> Vec<Entry> {
    let name = before.package;
    let at = entries.iter().position(|e| e.package.name >= name).unwrap_or(entries.len());
    let mut with_kernel: Vec<Entry> =
        now.into_iter().filter(|e| e.kernel().is_some_and(|k| !kernels.contains(k))).collect();
    let (mut without, known): (Vec<Entry>, Vec<Entry>) =
        before.entries.into_iter().partition(|e| e.kernel().is_none());
    with_kernel.extend(known);
    with_kernel.retain(|e| {
        e.kernel().is_some_and(|k| fits(&filter.release, &k.release) && fits(&filter.arch, &k.arch))
    });
    without.extend(entries.iter().filter(|e| e.package.name == name && e.kernel().is_none()).cloned());
    without.retain(|e| !with_kernel.iter().any(|w| w.package == e.package));
    let mut shown = with_kernel;
    shown.extend(without);
    shown.retain(|e| fits(&filter.version, &e.package.version));
    shown.sort_by(|a, b| (&a.package, a.kernel()).cmp(&(&b.package, b.kernel())));
    shown.dedup_by(|a, b| (&a.package, a.kernel()) == (&b.package, b.kernel()));
    entries.retain(|e| e.package.name != name);
    entries.splice(at..at, shown);
    entries
}
