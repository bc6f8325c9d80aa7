//! Writes an extension in its format: a directory, or a file system image whose bytes depend only on the
//! files.

use super::request::Format;
use crate::digest;
use crate::error::Result;
use crate::pack::output::directory;
use crate::pack::packer::{Packer, last_line};
use dkms_sys::fs;
use dkms_sys::process::Command;
use std::path::{Path, PathBuf};

/// The program that writes an extension.
pub(super) enum Writer {
    Directory,
    Squashfs(PathBuf),
    Erofs(PathBuf),
}

impl Writer {
    /// Finds the program for a format.
    ///
    /// # Errors
    /// It is not installed.
    pub(super) fn new(packer: &Packer<'_>, format: Format) -> Result<Self> {
        let purpose = "write this format of a system extension";
        Ok(match format {
            Format::Directory => Self::Directory,
            Format::Squashfs => {
                Self::Squashfs(packer.find_program("mksquashfs", purpose, "squashfs-tools")?)
            }
            Format::Erofs => Self::Erofs(packer.find_program("mkfs.erofs", purpose, "erofs-utils")?),
        })
    }

    /// Writes the extension `name`, whose files are in `content`, next to `content`, and returns its path
    /// there. `path` is its final path, which messages show.
    pub(super) fn write(
        &self,
        packer: &Packer<'_>,
        content: &Path,
        name: &str,
        path: &Path,
    ) -> Result<PathBuf> {
        let image = content.with_extension("raw.new");
        let command = match self {
            Self::Directory => return Ok(content.to_owned()),
            // The times come from SOURCE_DATE_EPOCH and the files themselves.
            Self::Squashfs(program) => Command::new(program)
                .arg(content)
                .arg(&image)
                .args(["-noappend", "-all-root", "-no-xattrs", "-no-progress", "-quiet", "-processors", "1"])
                .args(["-comp", "gzip"]),
            Self::Erofs(program) => Command::new(program)
                .args(["--quiet", "--all-root", "-x-1"])
                .arg(format!("-T{}", packer.epoch))
                .arg("-U")
                .arg(uuid(name))
                .arg(&image)
                .arg(content),
        };
        let shown = match self {
            Self::Erofs(_) => format!("mkfs.erofs {}", path.display()),
            _ => format!("mksquashfs {}", path.display()),
        };
        packer.run(command, &shown, last_line)?;
        fs::set_mode(&image, 0o644)?;
        fs::sync_file(&image)?;
        Ok(image)
    }
}

/// Renames the new extension to its path. Replaces an existing extension if `replace` is set.
pub(super) fn place(new: &Path, path: &Path, replace: bool) -> Result<()> {
    if !replace || !fs::exists(path) {
        fs::rename_noreplace(new, path)?;
    } else {
        fs::sync_file_system(new)?;
        // After an exchange, the old extension is in the temporary directory. Some file systems support none.
        if fs::exchange(new, path).is_err() {
            let old = new.with_extension("old");
            fs::rename(path, &old)?;
            if let Err(e) = fs::rename_noreplace(new, path) {
                fs::rename(&old, path)?;
                return Err(e.into());
            }
        }
    }
    Ok(fs::sync_dir(directory(path))?)
}

/// Returns a UUID (version 8) that depends only on the name.
fn uuid(name: &str) -> String {
    let hex = digest::bytes(format!("dkms mksysext {name}").as_bytes());
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_well_formed() {
        let parts: Vec<usize> = uuid("hello-1.0").split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uuid("a"), uuid("a"));
        assert_ne!(uuid("a"), uuid("b"));
    }

    #[test]
    fn place_replaces_the_whole_extension() {
        let dir = tempfile::tempdir().unwrap();
        let (new, path) = (dir.path().join("new"), dir.path().join("name"));
        let make = |at: &Path, file: &str| {
            std::fs::create_dir(at).unwrap();
            std::fs::write(at.join(file), "").unwrap();
        };
        make(&new, "a");
        place(&new, &path, false).unwrap();
        make(&new, "b");
        assert!(place(&new, &path, false).is_err());
        assert!(path.join("a").exists());
        place(&new, &path, true).unwrap();
        assert!(path.join("b").exists() && !path.join("a").exists());
    }
}
