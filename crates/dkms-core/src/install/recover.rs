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
pub type PendingDepmod = (Kernel, PathBuf);

/// The remaining work for the holder of the locks.
#[derive(Debug)]
pub enum Left {
    /// Run depmod for these kernels at the end, and then delete these journals.
    Depmod(Vec<PendingDepmod>),
    /// A journal concerns these kernels too, so their locks are needed.
    More(Vec<Kernel>),
}

/// Completes or rolls back what interrupted commands left, for all kernels that no other process is changing.
/// Runs at the start of every command that changes something.
///
/// # Errors
/// The journals cannot be listed; a file of the tree is a link that leads out of the tree; an interrupt. If a
/// journal cannot be rolled back, that is a warning, and the journal stays.
pub fn pending(system: &System, sink: &dyn Sink) -> Result<()> {
    beneath::check_own_files(&system.layout)?;
    crate::build::mark::clear_interrupted(system, sink)?;
    // The latest comes first: a script of a command makes its changes on top of those that the command has
    // made.
    for path in journal::list(&system.layout)?.into_iter().rev() {
        // A failure for one kernel blocks only commands that change that kernel.
        match settle(system, sink, &path) {
            Err(e @ Error::Interrupted(_)) => return Err(e),
            Err(e) => sink.warn(described(&path, &e)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Recovers one journal, unless another process is changing its kernels.
fn settle(system: &System, sink: &dyn Sink, path: &Path) -> Result<()> {
    let Some(journal) = read(path)? else { return Ok(()) };
    if journal.depmod_pending && journal.writer_is_alive() {
        return Ok(());
    }
    // A process that holds one of the locks is still working, or it is a dkms that called this one.
    let Some(_locks) = lock::try_install(system, &journal.begin.kernels)? else { return Ok(()) };
    // The journal may have changed or disappeared before the locks were taken.
    let Some(journal) = read(path)? else { return Ok(()) };
    recover_journal(system, sink, &journal)?;
    if journal.depmod_pending {
        journal.begin.kernels.iter().try_for_each(|kernel| depmod::run(system, sink, kernel))?;
        fs::remove_file(path)?;
        let command = &journal.begin.command;
        note(
            system,
            sink,
            &journal,
            &format!("was completed: depmod, which {command} had left to be done, was run"),
        );
    }
    Ok(())
}

/// Reads a journal. One without a first line is deleted if its process no longer runs: it changed nothing.
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

/// Recovers every journal that concerns these kernels. The caller itself holds their install locks.
///
/// # Errors
/// Something cannot be rolled back, or is not understood; the journal stays.
pub fn recover(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Result<Left> {
    let mut found = Vec::new();
    for path in journal::list(&system.layout)? {
        match read(&path) {
            Ok(Some(journal)) if journal.begin.kernels.iter().any(|k| kernels.contains(k)) => {
                found.push(journal);
            }
            Ok(_) => {}
            Err(e) => {
                // A journal that cannot be read blocks changes of its kernels; if they cannot be read either,
                // of all kernels.
                let about = Journal::kernels(&path);
                if about.is_none_or(|about| about.iter().any(|k| kernels.contains(k))) {
                    return Err(e);
                }
            }
        }
    }
    let mut wanted: Vec<Kernel> = found.iter().flat_map(|j| j.begin.kernels.iter().cloned()).collect();
    if wanted.iter().any(|k| !kernels.contains(k)) {
        wanted.extend(kernels.iter().cloned());
        return Ok(Left::More(wanted));
    }
    let mut pending = Vec::new();
    // The latest comes first: a script of a command makes its changes on top of those that the command has
    // made.
    for journal in found.iter().rev() {
        recover_journal(system, sink, journal)?;
        if journal.depmod_pending {
            pending.extend(journal.begin.kernels.iter().map(|k| (k.clone(), journal.path.clone())));
        }
    }
    Ok(Left::Depmod(pending))
}

/// The error of a journal, with its path and what to do about it.
fn described(path: &Path, e: &Error) -> String {
    let mut text = e.to_string();
    let shown = path.display().to_string();
    if !text.contains(&shown) {
        text = format!("{shown}: {text}");
    }
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
        let all = journal.directories();
        let of_this: Vec<PathBuf> = all.into_iter().filter(|(k, _)| k == kernel).map(|(_, d)| d).collect();
        clean::remove_empty(&system.host, &system.layout, kernel, &of_this);
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
        (_, true) => note(system, sink, journal, "was completed"),
        (_, false) => note(system, sink, journal, "was rolled back"),
    }
    Ok(())
}

/// Reports one line, and writes the same line to the log.
fn note(system: &System, sink: &dyn Sink, journal: &Journal, what: &str) {
    let kernels: Vec<&str> = journal.begin.kernels.iter().map(|k| k.release.as_str()).collect();
    let (command, pid) = (&journal.begin.command, journal.begin.pid);
    let text = format!(
        "an interrupted change of kernel {} ({command}, process {pid}) {what}",
        kernels.join(" and ")
    );
    system.report_recovery(sink, &text);
}
