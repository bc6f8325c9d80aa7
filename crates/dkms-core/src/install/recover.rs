//! What an interrupted command left behind is finished or taken back before the next one begins.

use super::journal::{Line, Op, finish};
use crate::error::Result;
use crate::ids::Kernel;
use crate::session::Session;
use dkms_sys::fs;
use std::path::Path;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovered {
    /// No journal.
    Nothing,
    /// A committed one: deletions repeated.
    Forward,
    /// The open batch was undone; this many complete operations stay and wait for depmod.
    Back {
        /// Operations of complete batches.
        kept: usize,
    },
}

/// Recovers the journals of one kernel. The caller holds its install lock.
///
/// # Errors
/// When something cannot be put back; the journal stays.
pub fn recover(s: &Session<'_>, kernel: &Kernel) -> Result<Recovered> {
    let main = super::journal::path(s.layout, kernel, false);
    let dir = s.layout.journal_dir();
    let prefix = format!("{}-{}~", kernel.release, kernel.arch);
    let mut found = Recovered::Nothing;
    // Journals of commands that our hooks called come after ours, so they are undone first.
    for name in fs::list_dir_optional(&dir)?.iter().rev() {
        if name.to_string_lossy().starts_with(&prefix) {
            found = one(s, kernel, &dir.join(name))?;
        }
    }
    if fs::exists(&main) {
        found = one(s, kernel, &main)?;
    }
    Ok(found)
}

fn one(s: &Session<'_>, kernel: &Kernel, path: &Path) -> Result<Recovered> {
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let (complete, open, committed) = parse(&text);
    let result = if committed {
        finish(&complete);
        Recovered::Forward
    } else {
        for op in open.iter().rev() {
            op.undo()?;
        }
        finish(&complete);
        Recovered::Back { kept: complete.len() }
    };
    fs::remove_file(path)?;
    s.warn(match &result {
        Recovered::Back { .. } if !open.is_empty() => {
            format!("an interrupted change of kernel {kernel} was taken back ({} steps)", open.len())
        }
        _ => format!("an interrupted change of kernel {kernel} was completed"),
    });
    Ok(result)
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
