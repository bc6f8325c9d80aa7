//! Looking at `/lib/modules/K` and at the journals.

use super::spot::{Look, What};
use super::tree::leftover;
use super::{About, Finding, Guard, Kind, Remedy, names};
use crate::error::Error;
use crate::ids::Kernel;
use crate::journal::{self, Journal};
use crate::lock;
use std::path::{Path, PathBuf};

/// What changes of a kernel's modules left in its directory. Only names are looked at, links are not followed.
pub(super) fn directory(l: &Look<'_>, release: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut pending = vec![l.s.layout.kernel_modules(release)];
    while let Some(dir) = pending.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) => {
                l.note(&dkms_sys::IoError::new("list", &dir, e));
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if let Some((inside, word)) = name.to_str().and_then(names::aside) {
                found.extend(aside(l, About::release(release), &entry.path(), inside, word));
            }
        }
    }
    let guards: Vec<Guard> = kernels(l, release).into_iter().map(Guard::Install).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.into_iter().map(|f| f.guarded(guards.clone())).collect()
}

/// The kernels of that release whose modules were ever changed; else the one of this machine's architecture.
fn kernels(l: &Look<'_>, release: &str) -> Vec<Kernel> {
    let mut known = lock::kernels(l.s);
    known.retain(|k| k.release == release);
    if known.is_empty() {
        known.extend(Kernel::new(release, &l.s.host.machine));
    }
    known
}

/// A file that was put aside and that no journal will ask for.
pub(super) fn aside(l: &Look<'_>, about: About, path: &Path, inside: &str, word: &str) -> Option<Finding> {
    if in_journal(l, path) {
        return None;
    }
    if word == "old" && !dkms_sys::fs::exists(path.with_file_name(inside)) {
        let what = format!("was put aside by a change of which no journal tells, and there is no {inside}");
        let repair =
            format!("it may be the only copy: rename it to {inside} if the kernel needs it, else delete it");
        return Some(Finding::new(Kind::Leftover, about, path, what).by_hand(repair));
    }
    let what = match word {
        "old" => "was put aside by a change that is complete",
        _ => "is a temporary file of an interrupted command",
    };
    Some(leftover(about, path.to_owned(), what))
}

/// Whether a journal names this file: then it is the journal's to say what becomes of it.
pub(super) fn in_journal(l: &Look<'_>, path: &Path) -> bool {
    // As it stands in JSON, whatever else a journal's line says.
    let Ok(quoted) = serde_json::to_string(path) else { return true };
    stale(l).iter().any(|j| match dkms_sys::fs::read(j) {
        Ok(text) => String::from_utf8_lossy(&text).contains(&quoted),
        Err(e) => !e.is_not_found(),
    })
}

fn stale(l: &Look<'_>) -> Vec<PathBuf> {
    let dir = l.s.layout.journal_dir();
    let files =
        l.entries(&dir).into_iter().filter(|(name, what)| *what == What::File && !name.starts_with('.'));
    files.map(|(name, _)| dir.join(name)).collect()
}

/// Journals of changes that nobody is carrying out.
pub(super) fn journals(l: &Look<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in stale(l) {
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
            // It may have ended just now.
            Err(_) if !dkms_sys::fs::exists(&path) => {}
            Err(Error::JournalUnknown(_)) => {
                let what = "is a journal that this dkms does not understand";
                let repair =
                    "let the version of dkms that wrote it finish, or see what it says and delete it";
                found.push(Finding::new(Kind::StaleJournal, About::default(), path, what).by_hand(repair));
            }
            Err(Error::Io(e)) => l.note(&e),
            Err(_) => {}
        }
    }
    found
}
