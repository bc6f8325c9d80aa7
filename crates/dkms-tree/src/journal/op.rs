//! The file operations of a transaction. Each leaves evidence of how far it got, and can be undone.

use crate::layers::{self, EXDEV};
use crate::names_as_json;
use dkms_sys::{IoError, fs};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use crate::aside::aside;

/// One change, with the data needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `from` moves to `to`, which does not exist yet. Across file systems it is copied, and the copy is
    /// renamed.
    Move {
        /// The old path.
        #[serde(with = "names_as_json")]
        from: PathBuf,
        /// The new path.
        #[serde(with = "names_as_json")]
        to: PathBuf,
    },
    /// `staged`, which is complete and synced in the same directory, is renamed to `to`. A previous file at
    /// `to` is kept as `saved`.
    Place {
        /// The complete new file.
        #[serde(with = "names_as_json")]
        staged: PathBuf,
        /// Its destination.
        #[serde(with = "names_as_json")]
        to: PathBuf,
        /// The dot name for the previous file, if there was one.
        #[serde(with = "names_as_json::optional")]
        saved: Option<PathBuf>,
        /// Where an earlier operation moved the previous file to, if one did.
        #[serde(with = "names_as_json::optional")]
        vacated: Option<PathBuf>,
    },
    /// `path` is renamed to `saved`, which is deleted at the commit.
    Remove {
        /// The file or directory to remove.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// A dot name in the same directory.
        #[serde(with = "names_as_json")]
        saved: PathBuf,
    },
    /// The symbolic link `link` is changed to point to `target`, or is removed.
    Link {
        /// The link.
        #[serde(with = "names_as_json")]
        link: PathBuf,
        /// The new target; `None` if the link is removed.
        #[serde(with = "names_as_json::optional")]
        target: Option<PathBuf>,
        /// The old target; `None` if there was no link.
        #[serde(with = "names_as_json::optional")]
        before: Option<PathBuf>,
    },
    /// A small new file.
    Text {
        /// The file.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// Its contents.
        #[serde(with = "names_as_json")]
        text: OsString,
    },
    /// The old version of a small file that the same batch rewrites is kept under another name, so that an
    /// undo needs no disk space.
    Keep {
        /// The file.
        #[serde(with = "names_as_json")]
        path: PathBuf,
        /// A dot name in the same directory.
        #[serde(with = "names_as_json")]
        saved: PathBuf,
    },
}

/// Deletes the files that a committed transaction renamed aside. A file that cannot be deleted is a leftover,
/// not an error.
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
    /// Makes the change. It is durable only after [`Op::places`] are synced.
    pub(super) fn perform(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => move_file(from, to),
            Self::Place { staged, to, saved, .. } => {
                if let Some(saved) = saved {
                    fs::remove_file(saved)?;
                    // Give the old file a second name first, so that `to` always exists.
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

    /// Every path that executing, undoing or finishing the operation may touch. A temporary name of [`aside`]
    /// may be created in the same directory as each of them.
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

    /// The paths that it changes: the source and the destination.
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

    /// Directories whose entries it changes; they may be empty afterwards, whether it is executed or undone.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.places().into_iter().flatten().filter_map(Path::parent)
    }

    /// Undoes the change, whether it was complete, partial, not started, or undone before. An undo that is
    /// interrupted starts again from the beginning, and operations before this one may already have been
    /// undone by then.
    pub(super) fn undo(&self) -> std::result::Result<(), IoError> {
        match self {
            Self::Move { from, to } => undo_move(from, to),
            Self::Place { staged, to, saved, vacated } => {
                let pending = discard(staged)?;
                match (saved, vacated) {
                    (Some(saved), _) if !fs::exists(saved) => {}
                    // Both names are the old file, so the new file was never put into place.
                    (Some(saved), _) if fs::same_file(saved, to) => {
                        discard(saved)?;
                    }
                    (Some(saved), _) => fs::rename(saved, to)?,
                    // The old file is already back in place.
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

/// Removes a file if it exists, and returns whether it did. If there is nothing to remove, it makes no
/// change, because the file system may be read-only.
fn discard(path: impl AsRef<Path>) -> std::result::Result<bool, IoError> {
    if fs::exists(&path) { fs::remove_file(&path) } else { Ok(false) }
}

fn sync_parent(path: &Path) -> std::result::Result<(), IoError> {
    // When undoing an operation that was never started, the directory may not exist yet.
    path.parent().filter(|p| p.is_dir()).map_or(Ok(()), fs::sync_dir)
}

/// Syncs the directories that the operations changed, each once.
pub(super) fn sync<'a>(ops: impl IntoIterator<Item = &'a Op>) -> std::result::Result<(), IoError> {
    let mut all: Vec<&Path> = ops.into_iter().flat_map(Op::directories).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().filter(|d| d.is_dir()).try_for_each(fs::sync_dir)
}

// The temporary names are predictable, so that an undo after a crash finds them.

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

/// Rewrites a small file by a rename; its directory is synced with the transaction.
pub fn write_text(path: &Path, text: &[u8]) -> std::result::Result<(), IoError> {
    let staged = aside(path, "text");
    fs::remove_file(&staged)?;
    fs::create_new(&staged, text, 0o644)?;
    fs::rename(&staged, path)
}

/// Renames a file, or copies it to another file system. The copy has two names until the old file is removed.
/// The two names show an undo that the copy may be deleted, and is not a file that was created at that path
/// later.
fn move_file(from: &Path, to: &Path) -> std::result::Result<(), IoError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(e) if e.errno() == Some(EXDEV) => {
            let staged = aside(to, "moving");
            fs::remove_file(&staged)?;
            if fs::is_symlink(from) {
                // Move the link itself, not its target.
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
        // An earlier undo was moving it back, and its copy is complete.
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

#[cfg(test)]
mod tests;
