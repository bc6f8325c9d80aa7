//! Creates files and links atomically, so that other processes never see an incomplete one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{IoError, Result};

/// Replaces the file with `bytes` atomically: a dot-file next to it is written, synced and renamed over it,
/// then the directory is synced. On failure the dot-file is removed and the old file is unchanged. `mode` is
/// set exactly, regardless of the umask.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
    replace_with(path, mode, |file| file.write_all(bytes)).map_err(|e| e.needing(bytes.len() as u64))
}

/// Like [`write_atomic`], but without waiting for the disk: after a crash of the machine, the file may be
/// missing or incomplete. For unimportant files, such as caches.
pub fn write_unsynced(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
    replace(path.as_ref(), mode, false, |file| file.write_all(bytes))
}

/// Like [`write_atomic`], for contents that are written piece by piece: `fill` gets the new file.
pub fn replace_with(
    path: impl AsRef<Path>,
    mode: u32,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    replace(path, mode, true, fill)?;
    super::sync_dir(parent(path))
}

fn replace(
    path: &Path,
    mode: u32,
    sync: bool,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    let error = |e| IoError::new("write", path, e);
    let (temp, mut file) = create_temporary(path)?;
    let guard = RemoveOnDrop(Some(temp.clone()));
    fill(&mut file).map_err(error)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(error)?;
    if sync {
        file.sync_all().map_err(error)?;
    }
    super::rename(&temp, path)?;
    guard.disarm();
    Ok(())
}

/// Creates a file that must not exist yet (`O_EXCL`, so no link is followed) with exactly this mode, and
/// syncs it. It never has a wider mode. If it cannot be written completely, it is removed.
pub fn create_new(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
    let path = path.as_ref();
    let error = |e| IoError::new("create", path, e);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(error)?;
    let guard = RemoveOnDrop(Some(path.to_owned()));
    file.write_all(bytes).map_err(|e| error(e).needing(bytes.len() as u64))?;
    // The umask may have removed bits.
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(error)?;
    file.sync_all().map_err(error)?;
    guard.disarm();
    Ok(())
}

/// Creates the symbolic link `link` with the given target. Fails if `link` exists.
pub fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    let link = link.as_ref();
    std::os::unix::fs::symlink(target, link).map_err(|e| IoError::new("create link", link, e))
}

/// Makes `link` point to `target`, atomically replacing a link or file of that name. A directory there is an
/// error.
pub fn symlink_replace(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    let (target, link) = (target.as_ref(), link.as_ref());
    let temp = retry_names(|| {
        let temp = temporary_name(link);
        std::os::unix::fs::symlink(target, &temp).map(|()| temp)
    });
    let temp = temp.map_err(|e| IoError::new("create link", link, e))?;
    let guard = RemoveOnDrop(Some(temp.clone()));
    super::rename(&temp, link)?;
    guard.disarm();
    super::sync_dir(parent(link))
}

/// Calls `create`, which chooses a random name, until the name is free.
///
/// # Errors
/// Another error than `AlreadyExists`, or `AlreadyExists` after a hundred attempts.
pub(super) fn retry_names<T>(create: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
    for _ in 1..100 {
        match create() {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    create()
}

/// Creates a file next to `path` that other users cannot read yet.
fn create_temporary(path: &Path) -> Result<(PathBuf, File)> {
    let created = retry_names(|| {
        let temp = temporary_name(path);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).map(|file| (temp, file))
    });
    created.map_err(|e| IoError::new("write", path, e))
}

/// `DIR/.NAME.RANDOM`. NAME is truncated so that the result has at most 255 bytes.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.as_bytes()).unwrap_or_default();
    let mut temp = vec![b'.'];
    temp.extend_from_slice(name.get(..200).unwrap_or(name));
    temp.extend_from_slice(format!(".{}", random_name()).as_bytes());
    parent(path).join(std::ffi::OsString::from_vec(temp))
}

/// Letters and digits that another process or thread is unlikely to choose.
pub(super) fn random_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0u8; 8];
    // O_EXCL guarantees uniqueness, so missing randomness in the kernel is not an error.
    let _ = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", u64::from_le_bytes(seed) ^ count ^ (u64::from(std::process::id()) << 32))
}

/// The directory of `path`; `.` for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) => Path::new("."),
        None => path,
    }
}

struct RemoveOnDrop(Option<PathBuf>);

impl RemoveOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
