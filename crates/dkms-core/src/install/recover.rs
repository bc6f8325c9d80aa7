//! Completes or rolls back what an interrupted command left, before the next command begins.

use super::{clean, depmod};
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::lock;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::beneath;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{self, Journal};
use std::path::{Path, PathBuf};

/// A kernel that needs a depmod, and the journal that records this.
pub(super) type PendingDepmod = (Kernel, PathBuf);

/// The remaining work for the holder of the locks.
#[derive(Debug)]
pub(super) enum Left {
    /// Run depmod for these kernels at the end, and then delete these journals.
    Depmod(Vec<PendingDepmod>),
    /// A journal concerns these kernels, so their locks are needed too.
    More(Vec<Kernel>),
}

/// Completes or rolls back what interrupted commands left, for all kernels that no other process is changing.
/// Runs at the start of every command that changes something.
///
/// # Errors
/// The journals cannot be listed; a file of the tree is a link that leads out of the tree; an interrupt. If a
/// journal cannot be rolled back, that is a warning, and the journal stays.
pub fn recover_interrupted(system: &System, sink: &dyn Sink) -> Result<()> {
    beneath::check_own_files(&system.layout)?;
    crate::build::mark::clear_interrupted(system, sink)?;
    // Start with the latest: a script that a command runs may itself run dkms, whose changes come later.
    for path in journal::list(&system.layout)?.into_iter().rev() {
        // A failure for one kernel blocks only commands that change that kernel.
        match recover_if_unlocked(system, sink, &path) {
            Err(e @ Error::Interrupted(_)) => return Err(e),
            Err(e) => sink.warn(describe(&path, &e)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Recovers one journal, unless another process is changing its kernels.
fn recover_if_unlocked(system: &System, sink: &dyn Sink, path: &Path) -> Result<()> {
    let Some(journal) = read(path)? else { return Ok(()) };
    if journal.depmod_pending && journal.writer_is_alive() {
        return Ok(());
    }
    // If another process holds one of the locks, it is still working, or it is a dkms that called this one.
    let Some(_locks) = lock::try_install(system, &journal.begin.kernels)? else { return Ok(()) };
    // The journal may have changed or disappeared before the locks were taken.
    let Some(journal) = read(path)? else { return Ok(()) };
    recover_journal(system, sink, &journal)?;
    if journal.depmod_pending {
        journal.begin.kernels.iter().try_for_each(|kernel| depmod::run(system, sink, kernel))?;
        fs::remove_file(path)?;
        report(system, sink, &journal, "was completed by running depmod");
    }
    Ok(())
}

/// Reads a journal; `None` if it does not exist or has no first line. In the latter case it changed nothing,
/// and is deleted unless its process is still running.
fn read(path: &Path) -> Result<Option<Journal>> {
    if !fs::exists(path) {
        return Ok(None);
    }
    let journal = Journal::read(path)?;
    if journal.is_none() && !journal::maker_is_alive(path) {
        fs::remove_file(path)?;
    }
    Ok(journal)
}

/// Recovers every journal that concerns these kernels. The caller holds their install locks.
///
/// # Errors
/// Something cannot be rolled back, or is not understood; the journal stays.
pub(super) fn recover_kernels(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Result<Left> {
    let mut journals = Vec::new();
    for path in journal::list(&system.layout)? {
        match read(&path) {
            Ok(Some(journal)) if journal.begin.kernels.iter().any(|k| kernels.contains(k)) => {
                journals.push(journal);
            }
            Ok(_) => {}
            Err(e) => {
                // A journal that cannot be read blocks changes of its kernels; or of all kernels if they
                // cannot be read either.
                let blocked = Journal::kernels(&path);
                if blocked.is_none_or(|blocked| blocked.iter().any(|k| kernels.contains(k))) {
                    return Err(e);
                }
            }
        }
    }
    let mut concerned: Vec<Kernel> =
        journals.iter().flat_map(|journal| journal.begin.kernels.iter().cloned()).collect();
    if concerned.iter().any(|kernel| !kernels.contains(kernel)) {
        concerned.extend(kernels.iter().cloned());
        return Ok(Left::More(concerned));
    }
    let mut pending = Vec::new();
    // Start with the latest, as in [`recover_interrupted`].
    for journal in journals.iter().rev() {
        recover_journal(system, sink, journal)?;
        if journal.depmod_pending {
            pending.extend(journal.begin.kernels.iter().map(|k| (k.clone(), journal.path.clone())));
        }
    }
    Ok(Left::Depmod(pending))
}

/// Describes the error of a journal, with its path and the hints.
fn describe(path: &Path, e: &Error) -> String {
    let (text, path) = (e.to_string(), path.display().to_string());
    let text = if text.contains(&path) { text } else { format!("{path}: {text}") };
    e.help().into_iter().fold(text, |text, help| format!("{text} ({help})"))
}

fn recover_journal(system: &System, sink: &dyn Sink, journal: &Journal) -> Result<()> {
    let reach = crate::trust::signing::reach(system, sink);
    journal.check(&reach)?;
    if !journal.committed {
        journal.undo(&reach)?;
    }
    journal.finish();
    for kernel in &journal.begin.kernels {
        let directories = journal.directories().into_iter().filter(|(changed, _)| changed == kernel);
        let directories: Vec<PathBuf> = directories.map(|(_, directory)| directory).collect();
        clean::remove_empty(&system.host, &system.layout, kernel, &directories);
    }
    if !journal.committed {
        for kernel in &journal.indexed {
            if let Err(e) = depmod::run(system, sink, kernel) {
                sink.warn(e.to_string());
            }
        }
    }
    if journal.depmod_pending {
        return Ok(());
    }
    fs::remove_file(&journal.path)?;
    match (journal.ops.is_empty(), journal.committed) {
        (true, _) => {}
        (_, true) => report(system, sink, journal, "was completed"),
        (_, false) => report(system, sink, journal, "was rolled back"),
    }
    Ok(())
}

/// Reports that a change `was completed` or `was rolled back`, also in the recovery log.
fn report(system: &System, sink: &dyn Sink, journal: &Journal, outcome: &str) {
    let kernels: Vec<&str> = journal.begin.kernels.iter().map(|k| k.release.as_str()).collect();
    let (command, pid) = (&journal.begin.command, journal.begin.pid);
    let text = format!(
        "an interrupted change of kernel {} ({command}, process {pid}) {outcome}",
        kernels.join(" and ")
    );
    system.report_recovery(sink, &text);
}
