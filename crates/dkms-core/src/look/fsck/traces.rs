//! Findings for the leftovers of interrupted commands, wherever they are.

use super::about::About;
use super::finding::{Finding, Kind, Remedy};
use super::spot::{Inspection, What};
use std::path::{Path, PathBuf};

/// Describes a temporary file.
pub(super) const TEMPORARY: &str = "is a temporary file of an interrupted command";

/// Returns the finding for a leftover, which the repair deletes.
pub(super) fn leftover(about: About, path: PathBuf, what: &str) -> Finding {
    Finding::new(Kind::Leftover, about, path, what).safely(Remedy::Delete, "delete it")
}

/// Returns the finding for an empty directory, which the repair removes.
pub(super) fn empty(about: About, path: PathBuf) -> Finding {
    let what = "is an empty directory that an interrupted command left";
    Finding::new(Kind::Leftover, about, path, what).safely(Remedy::RemoveEmpty, "remove it")
}

/// Returns the finding for `.ORIGINAL.dkms-WORD`, a file that a change moved aside; `None` if a journal
/// contains its path.
pub(super) fn aside(
    inspection: &Inspection<'_>,
    about: About,
    path: &Path,
    original: &str,
    word: &str,
) -> Option<Finding> {
    if in_journal(inspection, path) {
        return None;
    }
    if word == "old" && !dkms_sys::fs::exists(path.with_file_name(original)) {
        let what = format!("was moved aside by a change that no journal records, and there is no {original}");
        let repair = format!(
            "it may be the only copy: rename it to {original} if the kernel needs it, otherwise delete it"
        );
        return Some(Finding::new(Kind::Leftover, about, path, what).by_hand(repair));
    }
    let what = if word == "old" { "was moved aside by a change that is complete" } else { TEMPORARY };
    Some(leftover(about, path.to_owned(), what))
}

/// Returns whether a journal contains this path. If so, the recovery of that journal restores or deletes the
/// file.
pub(super) fn in_journal(inspection: &Inspection<'_>, path: &Path) -> bool {
    // Searches for the path as it is written in JSON, in any field of a journal.
    let Ok(quoted) = serde_json::to_string(path) else { return true };
    let contains_path =
        |journal: &PathBuf| match dkms_sys::fs::read_bounded(journal, dkms_sys::fs::Limit::RECORD) {
            Ok(text) => String::from_utf8_lossy(&text).contains(&quoted),
            Err(e) => !e.is_not_found(),
        };
    journal_paths(inspection).iter().any(contains_path)
}

/// Returns the paths of all journals.
pub(super) fn journal_paths(inspection: &Inspection<'_>) -> Vec<PathBuf> {
    let dir = inspection.system.layout.journal_dir();
    let files = inspection
        .entries(&dir)
        .into_iter()
        .filter(|(name, what)| *what == What::File && !name.starts_with('.'));
    files.map(|(name, _)| dir.join(name)).collect()
}
