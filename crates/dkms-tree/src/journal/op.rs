//! What a transaction does to files: operations that can be told from their traces, and taken back.

use crate::layers;
use crate::names_as_json;
use dkms_sys::{IoError, fs};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use crate::aside::aside;

/// One change, and what is needed to take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `from` goes to `to`, which is not there yet; over file systems by a copy that is renamed.
    Move {
        /// Where it is.
        #[serde(with = "names_as_json")]
        from: PathBuf,
        /// Where it goes.
        #[serde(with = "names_as_json")]
        to: PathBuf,
    },
    /// `staged`, complete and synced in the same directory, becomes `to`. What was at `to` is kept as `saved`.
    Place {
        /// The complete new file.
        #[serde(with = "names_as_json")]
        staged: PathBuf,
        /// Its place.
        #[serde(with = "names_as_json")]
        to: PathBuf,
        /// Dot name for what was there, if anything was.
        #[serde(with = "names_as_json::optional")]
        saved: Option<PathBuf>,
        /// An earlier operation moved what was there to this place.
        #[serde(with = "names_as_json::optional")]
        vacated: Option<PathBuf>,
    },
    /// `path` becomes `saved`, to be deleted at the commit.
    Remove {
        /// What goes.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// Dot name beside it.
        #[serde(with = "names_as_json")]
        saved: PathBuf,
    },
    /// The symbolic link `link` points to `target` from now on, or is gone.
    Link {
        /// The link.
        #[serde(with = "names_as_json")]
        link: PathBuf,
        /// New target; `None`: no link.
        #[serde(with = "names_as_json::optional")]
        target: Option<PathBuf>,
        /// Old target; `None`: there was no link.
        #[serde(with = "names_as_json::optional")]
        before: Option<PathBuf>,
    },
    /// A small new file.
    Text {
        /// The file.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// What is in it.
        #[serde(with = "names_as_json")]
        text: OsString,
    },
    /// A small file that is about to be written anew, by the same batch, keeps what it is under another
    /// name: an undo needs no room on the disk.
    Keep {
        /// The file.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// Dot name beside it.
        #[serde(with = "names_as_json")]
        saved: PathBuf,
    },
}

/// Deletes what a committed transaction put aside. What cannot be deleted is a leftover, not a failure.
pub(super) fn finish<'a>(ops: impl IntoIterator<Item = &'a Op>) {
    for op in ops {
        match op {
            Op::Place { saved: Some(saved), .. } | Op::Remove { saved, .. } | Op::Keep { saved, .. } => {
                let _ = fs::remove_tree(saved);
            }
            _ => {}
        }
    }
}

impl Op {
    /// Makes the change. [`Op::places`] are to be synced before it counts.
    pub(super) fn perform(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => move_file(from, to),
            Self::Place { staged, to, saved, .. } => {
                if let Some(saved) = saved {
                    fs::remove_file(saved)?;
                    // A second name for the old file, so that there is no moment without one at `to`.
                    if fs::hard_link(to, saved).is_err() {
                        fs::rename(to, saved)?;
                    }
                }
                fs::rename(staged, to)
            }
            Self::Remove { path, saved } => {
                fs::remove_tree(saved)?;
                layers::rename(path, saved)
            }
            Self::Link { link, target, .. } => set_link(link, target.as_deref()),
            Self::Text { path, text } => write_text(path, text.as_bytes()),
            Self::Keep { path, saved } => {
                fs::remove_file(saved)?;
                fs::hard_link(path, saved).or_else(|_| fs::copy_file(path, saved).map(|_| ()))
            }
        }
    }

    /// Every path that carrying it out, undoing it or finishing it may touch. Beside each of them a name of
    /// [`aside`] may be made, in the same directory.
    pub(super) fn touched(&self) -> Vec<&Path> {
        let all = match self {
            Self::Move { from, to } => vec![Some(from), Some(to)],
            Self::Place { staged, to, saved, vacated } => {
                vec![Some(staged), Some(to), saved.as_ref(), vacated.as_ref()]
            }
            Self::Remove { path, saved } | Self::Keep { path, saved } => vec![Some(path), Some(saved)],
            Self::Link { link, .. } => vec![Some(link)],
            Self::Text { path, .. } => vec![Some(path)],
        };
        all.into_iter().flatten().map(PathBuf::as_path).collect()
    }

    /// What it changes: where something is, and where it goes.
    pub fn places(&self) -> [Option<&Path>; 2] {
        match self {
            Self::Move { from, to } => [Some(from), Some(to)],
            Self::Place { to, .. } => [Some(to), None],
            Self::Remove { path, .. } | Self::Text { path, .. } | Self::Keep { path, .. } => {
                [Some(path), None]
            }
            Self::Link { link, .. } => [Some(link), None],
        }
    }

    /// Directories whose entries it changes; they may be empty afterwards, whether it is made or taken back.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.places().into_iter().flatten().filter_map(Path::parent)
    }

    /// Takes the change back, whether it was made, half made or not made at all, or taken back before: an undo that is
    /// cut off is begun anew, and by then operations before this one may have been undone.
    pub(super) fn undo(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => undo_move(from, to),
            Self::Place { staged, to, saved, vacated } => {
                let pending = discard(staged)?;
                match (saved, vacated) {
                    (Some(saved), _) if !fs::exists(saved) => {}
                    // Two names of the old file: the new one never came.
                    (Some(saved), _) if fs::same_file(saved, to) => {
                        discard(saved)?;
                    }
                    (Some(saved), _) => fs::rename(saved, to)?,
                    // What was there is back already.
                    (None, Some(archived)) if !fs::exists(archived) => {}
                    (None, _) if !pending => {
                        discard(to)?;
                    }
                    (None, _) => {}
                }
                Ok(())
            }
            Self::Remove { path, saved } => {
                layers::recover(path)?;
                layers::recover(saved)?;
                if fs::exists(saved) {
                    if let Some(parent) = path.parent() {
                        fs::create_dir_all(parent)?;
                    }
                    layers::rename(saved, path)?;
                }
                Ok(())
            }
            Self::Link { link, before, .. } => set_link(link, before.as_deref()),
            Self::Text { path, .. } => {
                discard(aside(path, "text"))?;
                discard(path).map(|_| ())
            }
            Self::Keep { path, saved } => {
                discard(aside(path, "text"))?;
                if fs::same_file(saved, path) {
                    return discard(saved).map(|_| ());
                }
                if fs::exists(saved) { fs::rename(saved, path) } else { Ok(()) }
            }
        }
    }
}

/// Removes a file if there is one; nothing is asked of a file system that cannot be written otherwise.
fn discard(path: impl AsRef<Path>) -> std::result::Result<bool, IoError> {
    if fs::exists(&path) { fs::remove_file(&path) } else { Ok(false) }
}

fn sync_parent(path: &Path) -> std::result::Result<(), IoError> {
    // Undoing what was never begun, there may be no directory yet.
    path.parent().filter(|p| p.is_dir()).map_or(Ok(()), fs::sync_dir)
}

/// Brings the directories that operations changed to the disk, each once.
pub(super) fn sync<'a>(ops: impl IntoIterator<Item = &'a Op>) -> std::result::Result<(), IoError> {
    let mut all: Vec<&Path> = ops.into_iter().flat_map(Op::directories).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().filter(|d| d.is_dir()).try_for_each(fs::sync_dir)
}

// Their temporary names are known, so that an undo after a crash finds them.

fn set_link(link: &Path, target: Option<&Path>) -> std::result::Result<(), IoError> {
    let staged = aside(link, "link");
    fs::remove_file(&staged)?;
    match target {
        Some(target) => {
            fs::symlink(target, &staged)?;
            fs::rename(&staged, link)?;
        }
        None => {
            fs::remove_file(link)?;
        }
    }
    Ok(())
}

/// Writes a small file anew, by a rename; its directory is synced with the transaction.
pub fn write_text(path: &Path, text: &[u8]) -> std::result::Result<(), IoError> {
    let staged = aside(path, "text");
    fs::remove_file(&staged)?;
    fs::create_new(&staged, text, 0o644)?;
    fs::rename(&staged, path)
}

/// Within a file system a rename. Else a copy, which has two names until the old file is gone: by that an undo tells a
/// copy that may go from a file that came to its place later.
fn move_file(from: &Path, to: &Path) -> std::result::Result<(), IoError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(e) if e.errno() == Some(EXDEV) => {
            let staged = aside(to, "moving");
            fs::remove_file(&staged)?;
            if fs::is_symlink(from) {
                // The link itself moves, not what it leads to.
                fs::symlink(fs::read_link(from)?, &staged)?;
            } else {
                fs::copy_file(from, &staged)?;
                fs::sync_file(&staged)?;
            }
            fs::hard_link(&staged, to)?;
            sync_parent(to)?;
            fs::remove_file(from)?;
            sync_parent(from)?;
            fs::remove_file(&staged)?;
            Ok(())
        }
        other => other,
    }
}

fn undo_move(from: &Path, to: &Path) -> std::result::Result<(), IoError> {
    let (staged, back) = (aside(to, "moving"), aside(from, "moving"));
    if fs::same_file(&back, from) {
        // On its way back, by a copy that is complete.
        discard(to)?;
        discard(&back)?;
        return Ok(());
    }
    discard(&back)?;
    if fs::exists(from) {
        if fs::same_file(&staged, to) {
            discard(to)?;
        }
        discard(&staged)?;
        return Ok(());
    }
    discard(&staged)?;
    if fs::exists(to) { move_file(to, from) } else { Ok(()) }
}

/// "Cross-device link", rename(2).
const EXDEV: i32 = 18;

#[cfg(test)]
mod tests;
