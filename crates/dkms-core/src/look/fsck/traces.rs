//! Leftovers of interrupted commands, anywhere.

use super::about::About;
use super::finding::{Finding, Kind, Remedy};
use super::spot::{Inspection, What};
use std::path::{Path, PathBuf};

/// A leftover that the repair deletes.
pub(super) fn leftover(about: About, path: PathBuf, what: &str) -> Finding {
    Finding::new(Kind::Leftover, about, path, what).safely(Remedy::Delete, "delete it")
}

/// An empty directory that should not be there.
pub(super) fn empty(about: About, path: PathBuf) -> Finding {
    let what = "is an empty directory that an interrupted command left";
    Finding::new(Kind::Leftover, about, path, what).safely(Remedy::RemoveEmpty, "remove it")
}

/// A file that was moved aside and that no journal names.
pub(super) fn aside(
    inspection: &Inspection<'_>,
    about: About,
    path: &Path,
    inside: &str,
    word: &str,
) -> Option<Finding> {
    if in_journal(inspection, path) {
        return None;
    }
    if word == "old" && !dkms_sys::fs::exists(path.with_file_name(inside)) {
        let what = format!("was moved aside by a change that no journal records, and there is no {inside}");
        let repair =
            format!("it may be the only copy: rename it to {inside} if the kernel needs it, else delete it");
        return Some(Finding::new(Kind::Leftover, about, path, what).by_hand(repair));
    }
    let what = match word {
        "old" => "was moved aside by a change that is complete",
        _ => "is a temporary file of an interrupted command",
    };
    Some(leftover(about, path.to_owned(), what))
}

/// Returns whether a journal names this file. If so, the recovery of that journal decides about it.
pub(super) fn in_journal(inspection: &Inspection<'_>, path: &Path) -> bool {
    // Searches for the path as it is written in JSON, in any field of a journal.
    let Ok(quoted) = serde_json::to_string(path) else { return true };
    stale(inspection).iter().any(|j| match dkms_sys::fs::read_bounded(j, dkms_sys::fs::Limit::RECORD) {
        Ok(text) => String::from_utf8_lossy(&text).contains(&quoted),
        Err(e) => !e.is_not_found(),
    })
}

pub(super) fn stale(inspection: &Inspection<'_>) -> Vec<PathBuf> {
    let dir = inspection.system.layout.journal_dir();
    let files = inspection
        .entries(&dir)
        .into_iter()
        .filter(|(name, what)| *what == What::File && !name.starts_with('.'));
    files.map(|(name, _)| dir.join(name)).collect()
}
