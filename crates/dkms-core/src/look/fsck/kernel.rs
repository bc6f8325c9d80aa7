//! Checks `/lib/modules/K` and the journals.

use super::about::About;
use super::finding::{Finding, Guard, Kind, Remedy};
use super::names;
use super::spot::Inspection;
use super::traces::{aside, journal_paths};
use crate::error::Error;
use crate::install;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{self, Begin, Journal};
use std::path::Path;

/// Finds leftovers of interrupted changes in a kernel's directory, and an outdated index. Leftovers are
/// recognized by their names. Links are not followed.
pub(super) fn directory(inspection: &Inspection<'_>, release: &str) -> Vec<Finding> {
    let mut leftovers = Vec::new();
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
            } else if let Some((original, word)) = name.to_str().and_then(names::aside) {
                leftovers.extend(aside(inspection, About::release(release), &entry.path(), original, word));
            }
        }
    }
    leftovers.sort_by(|a, b| a.path.cmp(&b.path));
    let kernels = kernels(inspection, release);
    let guards: Vec<Guard> = kernels.iter().cloned().map(Guard::Install).collect();
    let leftovers = leftovers.into_iter().map(|finding| finding.guarded(guards.clone()));
    leftovers.chain(kernels.iter().filter_map(|kernel| check_index(inspection, kernel))).collect()
}

/// Compares the index of a kernel's modules with the modules. This is only done for kernels whose index was
/// written by dkms: the data of their unchanged modules is cached, so it is fast.
fn check_index(inspection: &Inspection<'_>, kernel: &Kernel) -> Option<Finding> {
    let files = install::index::differences(inspection.system, inspection.sink, kernel);
    let (first, others) = files.split_first()?;
    let path = inspection.system.layout.kernel_modules(&kernel.release).join(first);
    let mut what = "is not what depmod would write for the installed modules".to_owned();
    if !others.is_empty() {
        what += &format!(" (the same for {})", others.join(", "));
    }
    Some(
        Finding::new(Kind::IndexDiffers, About::default().for_kernel(kernel), path, what)
            .safely(Remedy::Reindex, "rewrite the index")
            .guarded([Guard::Install(kernel.clone())]),
    )
}

/// Returns the kernels of that release whose modules dkms has ever changed. If there are none, returns the
/// kernel of this machine's architecture.
fn kernels(inspection: &Inspection<'_>, release: &str) -> Vec<Kernel> {
    let mut kernels = dkms_tree::lock::kernels(&inspection.system.layout);
    kernels.retain(|kernel| kernel.release == *release);
    if kernels.is_empty() {
        kernels.extend(Kernel::new(release, &inspection.system.host.machine));
    }
    kernels
}

/// Finds the journals of interrupted changes.
pub(super) fn journals(inspection: &Inspection<'_>) -> Vec<Finding> {
    journal_paths(inspection).iter().filter_map(|path| check_journal(inspection, path)).collect()
}

fn check_journal(inspection: &Inspection<'_>, path: &Path) -> Option<Finding> {
    let finding = |what: &str| Finding::new(Kind::StaleJournal, About::default(), path, what.to_owned());
    match Journal::read(path) {
        Ok(Some(journal)) if journal.writer_is_alive() => None,
        Ok(Some(journal)) => {
            let Begin { command, pid, kernels, .. } = &journal.begin;
            let about = match kernels.as_slice() {
                [kernel] => About::default().for_kernel(kernel),
                _ => About::default(),
            };
            let what = format!("is the journal of a change that was interrupted ({command}, process {pid})");
            let repair = match journal.committed {
                true => "complete that change",
                false => "roll back that change, which is incomplete",
            };
            let finding = finding(&what).safely(Remedy::Recover, repair);
            Some(Finding { about, ..finding }.guarded(kernels.iter().cloned().map(Guard::Install)))
        }
        Ok(None) if journal::maker_is_alive(path) => None,
        Ok(None) => {
            Some(finding("is an empty journal").safely(Remedy::Recover, "delete it: nothing was changed"))
        }
        // The change may just have finished.
        Err(_) if !dkms_sys::fs::exists(path) => None,
        Err(dkms_tree::Error::JournalUnknown(_)) => {
            let repair = "let the version of dkms that wrote it complete it, or read it and delete it";
            Some(
                finding("is a journal in a format that this version of dkms does not support")
                    .by_hand(repair),
            )
        }
        Err(dkms_tree::Error::Io(e)) => {
            inspection.note(&e);
            None
        }
        Err(e) => {
            let e = Error::from(e);
            Some(finding(&format!("is a journal that dkms ignores: {e}")).by_hand(e.help().join("; ")))
        }
    }
}
