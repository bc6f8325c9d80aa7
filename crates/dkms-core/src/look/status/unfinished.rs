//! While a command changes something, the status shows the state before the change.

use super::filter::{Filter, fits};
use crate::event::{Event, Sink};
use dkms_tree::entry::Entry;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{self, Before, Journal};
use dkms_tree::layout::Layout;
use std::path::Path;

/// Returns the state before each running or interrupted transaction, as recorded in the journals, and the
/// kernels of the transaction.
pub(super) fn states_before(layout: &Layout, sink: &dyn Sink) -> Vec<(Vec<Kernel>, Before)> {
    let journals = journal::list(layout).unwrap_or_else(|e| {
        sink.event(Event::Warning { text: format!("interrupted commands are not considered: {e}") });
        Vec::new()
    });
    // The oldest journal takes precedence, because it recorded the state before all others.
    let open = journals.iter().rev().filter_map(|path| read_journal(sink, path));
    open.filter(|journal| !journal.committed)
        .flat_map(|journal| {
            let Journal { before, begin, .. } = journal;
            before.into_iter().map(move |before| (begin.kernels.clone(), before))
        })
        .collect()
}

/// Reads a journal. If it cannot be read, the current state is shown for its packages.
fn read_journal(sink: &dyn Sink, path: &Path) -> Option<Journal> {
    Journal::read(path).unwrap_or_else(|e| {
        // The transaction may just have finished.
        if dkms_sys::fs::exists(path) {
            sink.event(Event::Warning { text: e.to_string() });
        }
        None
    })
}

/// Replaces the entries of a package by the entries before a transaction on these kernels. `now` has the
/// current entries of that package for all kernels, not only for those that the filter selects: whether a
/// version has an entry without a kernel depends on all of them.
pub(super) fn show_state_before(
    filter: &Filter,
    now: Vec<Entry>,
    mut entries: Vec<Entry>,
    kernels: &[Kernel],
    before: Before,
) -> Vec<Entry> {
    let name = before.package;
    let position = entries.iter().position(|entry| entry.package.name >= name).unwrap_or(entries.len());
    let (mut without_kernel, with_kernel): (Vec<Entry>, Vec<Entry>) =
        before.entries.into_iter().partition(|entry| entry.kernel().is_none());
    let unchanged = now.into_iter().filter(|entry| entry.kernel().is_some_and(|k| !kernels.contains(k)));
    let mut shown: Vec<Entry> = unchanged.chain(with_kernel).collect();
    shown.retain(|entry| {
        entry.kernel().is_some_and(|k| fits(&filter.release, &k.release) && fits(&filter.arch, &k.arch))
    });
    let of_package = |entry: &&Entry| entry.package.name == name;
    without_kernel.extend(entries.iter().filter(of_package).filter(|e| e.kernel().is_none()).cloned());
    without_kernel.retain(|entry| !shown.iter().any(|other| other.package == entry.package));
    shown.extend(without_kernel);
    shown.retain(|entry| fits(&filter.version, &entry.package.version));
    shown.sort_by(|a, b| (&a.package, a.kernel()).cmp(&(&b.package, b.kernel())));
    shown.dedup_by(|a, b| (&a.package, a.kernel()) == (&b.package, b.kernel()));
    entries.retain(|entry| entry.package.name != name);
    entries.splice(position..position, shown);
    entries
}
