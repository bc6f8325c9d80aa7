//! Records of running builds, so that the next command can clean up after a killed one: one file for each
//! build in `.building` of the tree, which exists while the version's lock is held.

use crate::error::Result;
use crate::event::Sink;
use crate::lock;
use crate::system::System;
use dkms_sys::{fs, sys};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::{layers, names_as_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The content of a mark.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    build: Build,
    /// The build directory.
    #[serde(with = "names_as_json")]
    directory: PathBuf,
    /// `K/A` is in place and POST_BUILD has not ended: `K/A` is not valid yet, and if there is something at
    /// this path, it is the earlier build.
    #[serde(with = "names_as_json::optional")]
    unfinished: Option<PathBuf>,
}

/// The mark of a build; removed when dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    made: Record,
}

impl Mark {
    /// Marks a build that is about to run in this directory. The caller holds the version's lock.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(layout: &Layout, build: &Build, directory: &Path) -> Result<Self> {
        let dir = layout.building_dir();
        fs::refuse_foreign_dir(&dir)?;
        fs::create_dir_all(&dir)?;
        let (package, kernel) = (&build.package, &build.kernel);
        let pid = sys::own_pid();
        let path = dir
            .join(format!("{pid}-{}-{}-{}-{}", package.name, package.version, kernel.release, kernel.arch));
        let made = Record { build: build.clone(), directory: directory.to_owned(), unfinished: None };
        let mark = Self { path, made };
        mark.write()?;
        Ok(mark)
    }

    /// Records that `K/A` is about to appear before it is finished, with an earlier build at `earlier`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn unfinished(&mut self, earlier: &Path) -> Result<()> {
        self.made.unfinished = Some(earlier.to_owned());
        self.write()
    }

    /// Returns whether `K/A` is not finished yet.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.made.unfinished.is_some()
    }

    /// Records that `K/A` is finished.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finished(&mut self) -> Result<()> {
        self.made.unfinished = None;
        self.write()
    }

    fn write(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.made)
            .map_err(|e| dkms_sys::IoError::new("write", &self.path, std::io::Error::from(e)))?;
        // The write is not atomic: an incomplete mark is ignored, because its build has not begun then.
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

/// Cleans up after builds whose dkms no longer runs.
///
/// # Errors
/// The marks cannot be listed. If one build cannot be cleaned up, that is a warning, and its mark stays.
pub(crate) fn clear_interrupted(system: &System, sink: &dyn Sink) -> Result<()> {
    let dir = system.layout.building_dir();
    fs::refuse_foreign_dir(&dir)?;
    for name in fs::list_dir_optional(&dir)? {
        if let Err(e) = clear_mark(system, sink, &dir.join(name)) {
            sink.warn(e.to_string());
        }
    }
    Ok(())
}

fn clear_mark(system: &System, sink: &dyn Sink, path: &Path) -> Result<()> {
    let Ok(bytes) = fs::read_bounded(path, fs::Limit::RECORD) else { return Ok(()) };
    let Ok(made) = serde_json::from_slice::<Record>(&bytes) else {
        // The mark is being written right now, or its dkms was killed while it wrote it.
        let pid = path.file_name().and_then(|n| n.to_str()?.split('-').next()?.parse().ok());
        if !pid.is_some_and(sys::process_runs) {
            fs::remove_file(path)?;
        }
        return Ok(());
    };
    let Some(_held) = lock::try_build(system, &made.build.package)? else { return Ok(()) };
    // It may have changed or disappeared before the lock was taken.
    let Some(made) =
        fs::read_optional(path, fs::Limit::RECORD)?.and_then(|b| serde_json::from_slice::<Record>(&b).ok())
    else {
        return Ok(());
    };
    if !recover_layers(system, &made)? {
        return Ok(());
    }
    if let Some(earlier) = &made.unfinished {
        let Some(_kernel) = lock::try_install(system, std::slice::from_ref(&made.build.kernel))? else {
            return Ok(());
        };
        restore_earlier(&system.layout, &made.build, earlier)?;
    }
    clear(&system.layout, &made)?;
    fs::remove_file(path)?;
    system.report_recovery(sink, &format!("cleaned up an interrupted build of {}", made.build));
    Ok(())
}

/// Recovers a build that was interrupted while it replaced one from a lower layer of an overlay. `false`:
/// another process is working on that kernel.
fn recover_layers(system: &System, made: &Record) -> Result<bool> {
    let directories = [Some(system.layout.built_dir(&made.build)), made.unfinished.clone()];
    let mut cut_off = directories.iter().flatten().filter(|d| layers::is_interrupted(d)).peekable();
    if cut_off.peek().is_none() {
        return Ok(true);
    }
    let Some(_kernel) = lock::try_install(system, std::slice::from_ref(&made.build.kernel))? else {
        return Ok(false);
    };
    cut_off.try_for_each(|d| layers::recover(d))?;
    Ok(true)
}

/// Removes a build whose POST_BUILD did not end, and restores the earlier one.
fn restore_earlier(layout: &Layout, build: &Build, earlier: &Path) -> Result<()> {
    let built = layout.built_dir(build);
    if fs::exists(earlier) && fs::exists(&built) {
        layers::exchange(earlier, &built)?;
    } else if fs::exists(&built) {
        // Uses one rename, so that an incomplete directory is never treated as a build.
        layers::rename(&built, earlier)?;
    }
    Ok(())
}

fn clear(layout: &Layout, made: &Record) -> Result<()> {
    let version = layout.version_dir(&made.build.package);
    if made.directory.starts_with(&version) {
        fs::remove_tree(&made.directory)?;
    }
    fs::remove_file(layout.running_log(&made.build))?;
    let _ = fs::remove_dir(version.join(".log"));
    let kernel_dir = layout.kernel_dir(&made.build);
    remove_staging(&kernel_dir, &made.build)?;
    let _ = fs::remove_dir(kernel_dir);
    Ok(())
}

/// Deletes every `.tmp_A_*`. The caller holds the version's lock, so no other process uses them.
pub(crate) fn remove_staging(kernel_dir: &Path, build: &Build) -> Result<()> {
    let left = format!(".tmp_{}_", build.kernel.arch);
    for name in fs::list_dir_optional(kernel_dir)? {
        if name.to_string_lossy().starts_with(&left) {
            fs::remove_tree(kernel_dir.join(name))?;
        }
    }
    Ok(())
}
