//! Builds that are being made, so that what a killed one leaves is cleared by the next command: a file for each in
//! `.building` of the tree, there while the version's lock is held.

use crate::error::Result;
use crate::ids::Build;
use crate::layers;
use crate::lock;
use crate::names_as_json;
use crate::session::Session;
use dkms_sys::{fs, sys};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a mark says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Made {
    build: Build,
    /// Where it is made.
    #[serde(with = "names_as_json")]
    directory: PathBuf,
    /// `K/A` is in place and POST_BUILD has not ended: it counts for nothing, and what is at this path, if anything, is
    /// the earlier build.
    #[serde(with = "names_as_json::optional")]
    unfinished: Option<PathBuf>,
}

/// The mark of a build; gone when dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    made: Made,
}

impl Mark {
    /// Marks a build that is about to be made in this directory. The caller holds the version's lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn new(s: &Session<'_>, b: &Build, directory: &Path) -> Result<Self> {
        let dir = s.layout.building_dir();
        fs::refuse_foreign_dir(&dir)?;
        fs::create_dir_all(&dir)?;
        let (p, k) = (&b.package, &b.kernel);
        let pid = sys::own_pid();
        let path = dir.join(format!("{pid}-{}-{}-{}-{}", p.name, p.version, k.release, k.arch));
        let made = Made { build: b.clone(), directory: directory.to_owned(), unfinished: None };
        let mark = Self { path, made };
        mark.write()?;
        Ok(mark)
    }

    /// `K/A` is about to appear before it is finished; an earlier build is at `earlier` then.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn unfinished(&mut self, earlier: &Path) -> Result<()> {
        self.made.unfinished = Some(earlier.to_owned());
        self.write()
    }

    /// Whether `K/A` is not finished yet.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.made.unfinished.is_some()
    }

    /// `K/A` is finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finished(&mut self) -> Result<()> {
        self.made.unfinished = None;
        self.write()
    }

    fn write(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.made)
            .map_err(|e| dkms_sys::IoError::new("write", &self.path, std::io::Error::from(e)))?;
        // In place: half a mark is none, and what it is about has not begun then.
        let file = fs::create_truncated(&self.path)?;
        let written = std::io::Write::write_all(&mut &file, &bytes);
        written.map_err(|e| dkms_sys::IoError::new("write", &self.path, e).needing(bytes.len() as u64))?;
        Ok(())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Clears what builds left whose dkms does not run any more.
///
/// # Errors
/// When the marks cannot be listed. What cannot be cleared is a warning, and its mark stays.
pub(crate) fn clear_interrupted(s: &Session<'_>) -> Result<()> {
    let dir = s.layout.building_dir();
    fs::refuse_foreign_dir(&dir)?;
    for name in fs::list_dir_optional(&dir)? {
        if let Err(e) = clear_one(s, &dir.join(name)) {
            s.warn(e.to_string());
        }
    }
    Ok(())
}

fn clear_one(s: &Session<'_>, path: &Path) -> Result<()> {
    let Ok(bytes) = fs::read_bounded(path, fs::Limit::RECORD) else { return Ok(()) };
    let Ok(made) = serde_json::from_slice::<Made>(&bytes) else {
        // Just being written, or cut off in that.
        let pid = path.file_name().and_then(|n| n.to_str()?.split('-').next()?.parse().ok());
        if !pid.is_some_and(sys::process_exists) {
            fs::remove_file(path)?;
        }
        return Ok(());
    };
    let Some(_held) = lock::try_build(s, &made.build.package)? else { return Ok(()) };
    // Until then it may have said more, or gone.
    let Some(made) =
        fs::read_optional(path, fs::Limit::RECORD)?.and_then(|b| serde_json::from_slice::<Made>(&b).ok())
    else {
        return Ok(());
    };
    if !recover_layers(s, &made)? {
        return Ok(());
    }
    if let Some(earlier) = &made.unfinished {
        let Some(_kernel) = lock::try_install(s, std::slice::from_ref(&made.build.kernel))? else {
            return Ok(());
        };
        take_back(s, &made.build, earlier)?;
    }
    clear(s, &made)?;
    fs::remove_file(path)?;
    s.put_right(&format!("an interrupted build of {} was cleared away", made.build));
    Ok(())
}

/// A build that was cut off while it took the place of one from a lower layer. `false`: another process is working on that kernel.
fn recover_layers(s: &Session<'_>, made: &Made) -> Result<bool> {
    let directories = [Some(s.layout.built_dir(&made.build)), made.unfinished.clone()];
    let mut cut_off = directories.iter().flatten().filter(|d| layers::is_cut_off(d)).peekable();
    if cut_off.peek().is_none() {
        return Ok(true);
    }
    let Some(_kernel) = lock::try_install(s, std::slice::from_ref(&made.build.kernel))? else {
        return Ok(false);
    };
    cut_off.try_for_each(|d| layers::recover(d))?;
    Ok(true)
}

/// A build whose POST_BUILD never ended.
fn take_back(s: &Session<'_>, b: &Build, earlier: &Path) -> Result<()> {
    let built = s.layout.built_dir(b);
    if fs::exists(earlier) && fs::exists(&built) {
        layers::exchange(earlier, &built)?;
    } else if fs::exists(&built) {
        // At once, so that half a directory never passes for a build.
        layers::rename(&built, earlier)?;
    }
    Ok(())
}

fn clear(s: &Session<'_>, made: &Made) -> Result<()> {
    let version = s.layout.version_dir(&made.build.package);
    if made.directory.starts_with(&version) {
        fs::remove_tree(&made.directory)?;
    }
    fs::remove_file(s.layout.running_log(&made.build))?;
    let _ = std::fs::remove_dir(version.join(".log"));
    let kernel_dir = s.layout.kernel_dir(&made.build);
    remove_staging(&kernel_dir, &made.build)?;
    let _ = std::fs::remove_dir(kernel_dir);
    Ok(())
}

/// Deletes every `.tmp_A_*`. The caller holds the version's lock, so nobody is at it.
pub(crate) fn remove_staging(kernel_dir: &Path, b: &Build) -> Result<()> {
    let left = format!(".tmp_{}_", b.kernel.arch);
    for name in fs::list_dir_optional(kernel_dir)? {
        if name.to_string_lossy().starts_with(&left) {
            fs::remove_tree(kernel_dir.join(name))?;
        }
    }
    Ok(())
}
