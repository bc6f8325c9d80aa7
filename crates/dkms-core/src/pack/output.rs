//! The output of a package maker: its path, and the times of its files.

use crate::error::Result;
use crate::pack::PackError;
use dkms_sys::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Returns an error if the path exists, unless `force` is set.
///
/// # Errors
/// [`PackError::OutputExists`].
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if fs::exists(path) && !force {
        return Err(PackError::OutputExists(path.to_owned()).into());
    }
    Ok(())
}

/// Returns the directory of a path; that of a bare file name is the current directory.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates the output directory if it does not exist.
///
/// # Errors
/// [`PackError::DestinationNotWritable`].
pub(crate) fn require_writable(directory: &Path) -> Result<()> {
    if (directory.is_dir() || fs::create_dir_all(directory).is_ok()) && fs::writable(directory) {
        return Ok(());
    }
    Err(PackError::DestinationNotWritable(directory.to_owned()).into())
}

/// Returns the time of the newest file below these paths, in seconds since 1970. Directories are ignored,
/// because a copy has new directories.
pub(crate) fn newest(paths: &[PathBuf]) -> u64 {
    let mut latest = 0;
    let mut remaining = paths.to_vec();
    while let Some(path) = remaining.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            let names = fs::list_dir_optional(&path).unwrap_or_default();
            remaining.extend(names.iter().map(|name| path.join(name)));
        } else {
            latest = latest.max(u64::try_from(meta.mtime()).unwrap_or(0));
        }
    }
    latest
}

/// Sets the time of a directory and everything in it, in seconds since 1970, and the modes of the
/// directories.
pub(crate) fn set_times(path: &Path, epoch: u64) -> Result<()> {
    if fs::is_real_dir(path) {
        fs::set_mode(path, 0o755)?;
        for name in fs::list_dir(path)? {
            set_times(&path.join(name), epoch)?;
        }
    }
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(epoch));
    Ok(fs::set_modified(path, time.unwrap_or(SystemTime::UNIX_EPOCH))?)
}
