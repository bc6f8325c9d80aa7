//! Marks of running builds. If a build is killed, the next command finds its mark and cleans up. A mark is a
//! file in the directory `.building` of the tree. It exists while the lock of the package version is held.

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
    /// `Some` while POST_BUILD runs: `K/A` is in place, but not valid yet. If this path exists, it is the
    /// earlier build.
    #[serde(with = "names_as_json::optional")]
    unfinished: Option<PathBuf>,
}

/// The mark of a build; removed when dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    record: Record,
}

impl Mark {
    /// Marks a build that is about to run in this directory. The caller holds the lock of the package
    /// version.
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
        let record = Record { build: build.clone(), directory: directory.to_owned(), unfinished: None };
        let mark = Self { path, record };
        mark.write()?;
        Ok(mark)
    }

    /// Records that `K/A` is put in place before it is finished. The earlier build, if any, will be at
    /// `earlier`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn set_unfinished(&mut self, earlier: &Path) -> Result<()> {
        self.record.unfinished = Some(earlier.to_owned());
        self.write()
    }

    /// Returns whether `K/A` is not finished yet.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.record.unfinished.is_some()
    }

    /// Records that `K/A` is finished.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn set_finished(&mut self) -> Result<()> {
        self.record.unfinished = None;
        self.write()
    }

    fn write(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.record)
            .map_err(|e| dkms_sys::IoError::new("write", &self.path, std::io::Error::from(e)))?;
        // The write is not atomic. An incomplete mark is ignored, because its build has not started yet.
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

/// Cleans up after builds whose dkms no longer runs. If this fails for a build, prints a warning and keeps
/// its mark.
///
/// # Errors
/// The marks cannot be listed.
pub(crate) fn clear_interrupted(system: &System, sink: &dyn Sink) -> Result<()> {
    let dir = system.layout.building_dir();
    fs::refuse_foreign_dir(&dir)?;
    for name in fs::list_dir_optional(&dir)? {
        if let Err(e) = clean_up_marked(system, sink, &dir.join(name)) {
            sink.warn(e.to_string());
        }
    }
    Ok(())
}

/// Cleans up after the build with the mark at `path`, unless it still runs.
fn clean_up_marked(system: &System, sink: &dyn Sink, path: &Path) -> Result<()> {
    let Ok(bytes) = fs::read_bounded(path, fs::Limit::RECORD) else { return Ok(()) };
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
        // Either the mark is being written now, or dkms was killed while it wrote the mark.
        let pid = path.file_name().and_then(|n| n.to_str()?.split('-').next()?.parse().ok());
        if !pid.is_some_and(sys::process_runs) {
            fs::remove_file(path)?;
        }
        return Ok(());
    };
    let Some(_held) = lock::try_build(system, &record.build.package)? else { return Ok(()) };
    // The mark may have changed or disappeared before the lock was taken.
    let Some(record) =
        fs::read_optional(path, fs::Limit::RECORD)?.and_then(|b| serde_json::from_slice::<Record>(&b).ok())
    else {
        return Ok(());
    };
    if !recover_layers(system, &record)? {
        return Ok(());
    }
    if let Some(earlier) = &record.unfinished {
        let Some(_kernel) = lock::try_install(system, std::slice::from_ref(&record.build.kernel))? else {
            return Ok(());
        };
        restore_earlier(&system.layout, &record.build, earlier)?;
    }
    remove_files(&system.layout, &record)?;
    fs::remove_file(path)?;
    system.report_recovery(sink, &format!("cleaned up an interrupted build of {}", record.build));
    Ok(())
}

/// Recovers a build that was interrupted while it replaced a build in a lower layer of an overlay. Returns
/// `false` if another process is working on that kernel.
fn recover_layers(system: &System, record: &Record) -> Result<bool> {
    let directories = [Some(system.layout.built_dir(&record.build)), record.unfinished.clone()];
    let mut cut_off = directories.iter().flatten().filter(|d| layers::is_interrupted(d)).peekable();
    if cut_off.peek().is_none() {
        return Ok(true);
    }
    let Some(_kernel) = lock::try_install(system, std::slice::from_ref(&record.build.kernel))? else {
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
        // This is a single rename, so that `K/A` is never incomplete.
        layers::rename(&built, earlier)?;
    }
    Ok(())
}

/// Removes the build directory, the log and the temporary directories of an interrupted build.
fn remove_files(layout: &Layout, record: &Record) -> Result<()> {
    let version = layout.version_dir(&record.build.package);
    if record.directory.starts_with(&version) {
        fs::remove_tree(&record.directory)?;
    }
    fs::remove_file(layout.running_log(&record.build))?;
    let _ = fs::remove_dir(version.join(".log"));
    let kernel_dir = layout.kernel_dir(&record.build);
    remove_staging(&kernel_dir, &record.build)?;
    let _ = fs::remove_dir(kernel_dir);
    Ok(())
}

/// Removes all temporary directories `.tmp_A_*`. The caller holds the lock of the package version, so no
/// other process uses them.
pub(crate) fn remove_staging(kernel_dir: &Path, build: &Build) -> Result<()> {
    let prefix = format!(".tmp_{}_", build.kernel.arch);
    for name in fs::list_dir_optional(kernel_dir)? {
        if name.to_string_lossy().starts_with(&prefix) {
            fs::remove_tree(kernel_dir.join(name))?;
        }
    }
    Ok(())
}
