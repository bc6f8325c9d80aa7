//! Handles directories from a lower layer of an overlay (an earlier step of a container image).
//!
//! Without `redirect_dir`, which is the default, overlayfs refuses to rename such a directory (EXDEV). `lift`
//! replaces the directory with a copy in the upper layer, which can be renamed. The copy is complete and
//! synced before anything of the original is deleted, and keeps a known name until the original is deleted.
//! After a crash, [`recover`] moves it into place; this can be repeated any number of times.

use crate::aside::aside;
use dkms_sys::{IoError, fs};
use std::path::Path;

/// The error "cross-device link" of rename(2).
pub(crate) const EXDEV: i32 = 18;

/// Renames `from`; `to` must not exist if `from` is a directory.
///
/// # Errors
/// It could not be renamed. Nothing is lost, but [`recover`] may be necessary for `from`.
pub fn rename(from: &Path, to: &Path) -> Result<(), IoError> {
    match fs::rename(from, to) {
        Err(e) if is_of_lower_layer(&e, from) => {
            lift(from)?;
            fs::rename(from, to)
        }
        other => other,
    }
}

/// Exchanges a new directory with the one that it replaces.
///
/// # Errors
/// Both directories are unchanged. After a crash, [`recover`] may be necessary.
pub fn exchange(new: &Path, old: &Path) -> Result<(), IoError> {
    let is_refused = |e: &IoError| e.errno() == Some(EXDEV);
    let mut done = fs::exchange(new, old);
    // Usually only the old directory is from a lower layer.
    for dir in [old, new] {
        if done.as_ref().is_err_and(is_refused) {
            lift(dir)?;
            done = fs::exchange(new, old);
        }
    }
    done
}

/// Returns whether a rename of `from` failed because it is a directory of a lower layer.
#[must_use]
pub fn is_of_lower_layer(e: &IoError, from: &Path) -> bool {
    e.errno() == Some(EXDEV) && fs::is_real_dir(from)
}

/// Replaces a directory with a copy of itself. If this fails, it is rolled back.
fn lift(dir: &Path) -> Result<(), IoError> {
    let (copying, lifted) = (aside(dir, "lifting"), aside(dir, "lifted"));
    fs::remove_tree(&copying)?;
    let copied = fs::copy_tree(dir, &copying)
        // Sockets, pipes and devices are not copied; dkms never creates them.
        .and_then(|_| fs::sync_file_system(&copying))
        .and_then(|()| fs::rename(&copying, &lifted));
    let done = copied.and_then(|()| fs::remove_tree(dir)).and_then(|_| fs::rename(&lifted, dir));
    if done.is_err() {
        recover(dir)?;
    }
    done
}

/// Returns whether a `lift` was interrupted.
pub fn is_interrupted(dir: &Path) -> bool {
    ["lifting", "lifted"].iter().any(|word| fs::exists(aside(dir, word)))
}

/// Completes or rolls back an interrupted `lift`. Does nothing if there was none.
///
/// # Errors
/// The copy cannot be moved into place.
pub fn recover(dir: &Path) -> Result<(), IoError> {
    let (copying, lifted) = (aside(dir, "lifting"), aside(dir, "lifted"));
    if fs::exists(&copying) {
        fs::remove_tree(&copying)?;
    }
    if fs::exists(&lifted) {
        // A part of the original may still exist.
        fs::remove_tree(dir)?;
        fs::rename(&lifted, dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_sys::fs::TempDir;

    fn fill(dir: &Path, text: &str) {
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("a"), text).unwrap();
        std::fs::write(dir.join("sub/b"), text).unwrap();
        std::os::unix::fs::symlink("a", dir.join("link")).unwrap();
    }

    fn is_whole(dir: &Path, text: &str) -> bool {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        read("a") == text && read("sub/b") == text && read("link") == text
    }

    fn names(dir: &Path) -> Vec<String> {
        fs::list_dir(dir).unwrap().iter().map(|n| n.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn an_interrupted_lift_is_completed_or_rolled_back() {
        let work = TempDir::new_in(std::env::temp_dir(), "layers-").unwrap();
        let dir = work.path().join("d");
        let (copying, lifted) = (aside(&dir, "lifting"), aside(&dir, "lifted"));
        let cuts: [&dyn Fn(); 6] = [
            &|| fill(&dir, "x"),
            // While it is copied.
            &|| {
                fill(&dir, "x");
                std::fs::create_dir(&copying).unwrap();
                std::fs::write(copying.join("a"), "half").unwrap();
            },
            // The copy is complete.
            &|| {
                fill(&dir, "x");
                fill(&lifted, "x");
            },
            // A part of the original has been deleted.
            &|| {
                fill(&lifted, "x");
                std::fs::create_dir(&dir).unwrap();
                std::fs::write(dir.join("a"), "x").unwrap();
            },
            &|| fill(&lifted, "x"),
            // The `lift` is complete.
            &|| {
                fill(&dir, "x");
                lift(&dir).unwrap();
            },
        ];
        for (n, cut) in cuts.iter().enumerate() {
            cut();
            recover(&dir).unwrap();
            recover(&dir).unwrap();
            assert!(is_whole(&dir, "x"), "{n}");
            assert_eq!(names(work.path()), ["d"], "{n}");
            fs::remove_tree(&dir).unwrap();
        }
        recover(&dir).unwrap();
        assert!(!dir.exists());
    }
}
