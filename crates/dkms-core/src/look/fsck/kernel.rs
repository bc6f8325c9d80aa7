//! Checks `/lib/modules/K` and the journals.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::Inspection;
use super::traces::{aside, stale};
use crate::error::Error;
use crate::install;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{self, Journal};

/// Finds what interrupted changes left in a kernel's directory. Only names are checked, and links are not
/// followed.
pub(super) fn directory(inspection: &Inspection<'_>, release: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut pending = vec![inspection.system.layout.kernel_modules(release)];
    while let Some(dir) = pending.pop() {
        let entries = match dkms_sys::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) => {
                inspection.note(&e);
                continue;
            }
        };
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if let Some((inside, word)) = name.to_str().and_then(names::aside) {
                found.extend(aside(inspection, About::release(release), &entry.path(), inside, word));
            }
        }
    }
    let guards: Vec<Guard> = kernels(inspection, release).into_iter().map(Guard::Install).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let leftovers = found.into_iter().map(|f| f.guarded(guards.clone()));
    leftovers
        .chain(kernels(inspection, release).iter().filter_map(|kernel| index(inspection, kernel)))
        .collect()
}

/// Compares the index of a kernel's modules with the modules. Only kernels for which dkms has written the
/// index are compared, because then all but changed modules are in its cache.
fn index(inspection: &Inspection<'_>, kernel: &Kernel) -> Option<Finding> {
    let files = install::index::differences(inspection.system, inspection.sink, kernel);
    let (first, others) = files.split_first()?;
    let path = inspection.system.layout.kernel_modules(&kernel.release).join(first);
    let mut what = "is not what depmod would write for the modules that are there".to_owned();
    if !others.is_empty() {
        what += &format!(" (the same for {})", others.join(", "));
    }
    Some(
        Finding::new(Kind::IndexDiffers, About::default().on(kernel), path, what)
            .safely(Remedy::Reindex, "write the index again")
            .guarded([Guard::Install(kernel.clone())]),
    )
}

/// Returns the kernels of that release whose modules have ever been changed; if no modules were changed, the
/// kernel of this machine's architecture.
fn kernels(inspection: &Inspection<'_>, release: &str) -> Vec<Kernel> {
    let mut known = dkms_tree::lock::kernels(&inspection.system.layout);
    known.retain(|k| k.release == *release);
    if known.is_empty() {
        known.extend(Kernel::new(release, &inspection.system.host.machine));
    }
    known
}

/// Journals of changes that no running command is carrying out.
pub(super) fn journals(inspection: &Inspection<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in stale(inspection) {
        let what = "is the journal of a change that was interrupted";
        match Journal::read(&path) {
            Ok(Some(journal)) if journal.writer_is_alive() => {}
            Ok(Some(journal)) => {
                let kernels = &journal.begin.kernels;
                let about = match kernels.as_slice() {
                    [kernel] => About::default().on(kernel),
                    _ => About::default(),
                };
                let what = format!("{what} ({}, process {})", journal.begin.command, journal.begin.pid);
                let repair = match journal.committed {
                    true => "finish that change",
                    false => "take that change back, which was not complete",
                };
                found.push(
                    Finding::new(Kind::StaleJournal, about, path, what)
                        .safely(Remedy::Recover, repair)
                        .guarded(kernels.iter().cloned().map(Guard::Install)),
                );
            }
            Ok(None) if journal::maker_is_alive(&path) => {}
            Ok(None) => found.push(
                Finding::new(Kind::StaleJournal, About::default(), path, "is a journal without a line")
                    .safely(Remedy::Recover, "delete it: nothing was done"),
            ),
            // The change may just have finished.
            Err(_) if !dkms_sys::fs::exists(&path) => {}
            Err(dkms_tree::Error::JournalUnknown(_)) => {
                let what = "is a journal that this dkms does not understand";
                let repair = "let the version of dkms that wrote it finish, or read it and delete it";
                found.push(Finding::new(Kind::StaleJournal, About::default(), path, what).by_hand(repair));
            }
            Err(dkms_tree::Error::Io(e)) => inspection.note(&e),
            Err(e) => {
                let e = Error::from(e);
                let what = format!("is a journal that is not acted upon: {e}");
                let help = e.help().join("; ");
                found.push(Finding::new(Kind::StaleJournal, About::default(), path, what).by_hand(help));
            }
        }
    }
    found
}
