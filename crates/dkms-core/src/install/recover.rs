//! What an interrupted command left behind is finished or taken back before the next one begins.

use super::journal::{Line, Op, finish};
use crate::error::Result;
use crate::ids::Kernel;
use crate::session::Session;
use dkms_sys::fs;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Something stays changed that depmod may not have seen.
    pub dirty: bool,
    /// Directories that may be empty now.
    pub directories: Vec<PathBuf>,
}

/// At the start of every command that changes something: finishes or takes back what interrupted commands left, for every
/// kernel that nobody is at work on.
///
/// # Errors
/// When something cannot be put back; the journal stays.
pub fn pending(s: &Session<'_>) -> Result<()> {
    for name in fs::list_dir_optional(s.layout.journal_dir())? {
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let Some(kernel) = kernel_of(&s.layout.journal_dir().join(&name)) else { continue };
        // Whoever holds the lock is alive and at it, or one of our callers.
        if crate::lock::try_install(s, &kernel)?.is_some() {
            super::KernelChange::begin(s, &kernel)?.finish(s)?;
        }
    }
    Ok(())
}

/// Which kernel a journal is about, from its first line; one without was never acted upon.
fn kernel_of(path: &Path) -> Option<Kernel> {
    let text = std::fs::read_to_string(path).ok()?;
    match serde_json::from_str(text.lines().next()?) {
        Ok(Line::Begin { release, arch, .. }) => Kernel::new(&release, &arch).ok(),
        _ => {
            let _ = fs::remove_file(path);
            None
        }
    }
}

/// Recovers the journals of one kernel. The caller holds its install lock.
///
/// # Errors
/// When something cannot be put back; the journal stays.
pub fn recover(s: &Session<'_>, kernel: &Kernel) -> Result<Recovered> {
    let main = super::journal::path(s.layout, kernel, false);
    let dir = s.layout.journal_dir();
    let prefix = format!("{}-{}~", kernel.release, kernel.arch);
    let mut found = Recovered::default();
    // Journals of commands that our hooks called come after ours, so they are undone first.
    for name in fs::list_dir_optional(&dir)?.iter().rev() {
        if name.to_string_lossy().starts_with(&prefix) {
            one(s, kernel, &dir.join(name), &mut found)?;
        }
    }
    if fs::exists(&main) {
        one(s, kernel, &main, &mut found)?;
    }
    Ok(found)
}

fn one(s: &Session<'_>, kernel: &Kernel, path: &Path, found: &mut Recovered) -> Result<()> {
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let (complete, open, committed) = parse(&text);
    for op in open.iter().rev() {
        op.undo()?;
    }
    finish(&complete);
    found.dirty |= !complete.is_empty();
    found.directories.extend(complete.iter().chain(&open).flat_map(Op::directories));
    fs::remove_file(path)?;
    match (open.len(), complete.len()) {
        (0, 0) => {}
        (0, _) if committed => {
            s.warn(format!("an interrupted change of kernel {kernel} was cleaned up after"))
        }
        (0, _) => s.warn(format!("an interrupted change of kernel {kernel} was completed")),
        _ => s.warn(format!("an interrupted change of kernel {kernel} was taken back")),
    }
    Ok(())
}

/// Operations of complete batches, of the open one, and whether the end was reached. A line cut off by the crash was
/// never acted upon, because it was not synced.
fn parse(text: &str) -> (Vec<Op>, Vec<Op>, bool) {
    let (mut complete, mut open) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str::<Line>(line) {
            Ok(Line::Do(op)) => open.push(op),
            Ok(Line::Done) => complete.append(&mut open),
            Ok(Line::Commit) => return (complete, open, true),
            Ok(Line::Begin { .. }) => {}
            Err(_) => break,
        }
    }
    (complete, open, false)
}
