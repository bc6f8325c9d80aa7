//! Temporary directories.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::{IoError, Result};

/// A private directory (mode 0700) that is removed with its contents when dropped.
#[derive(Debug)]
pub struct TempDir {
    path: Option<PathBuf>,
}

impl TempDir {
    /// Creates `PARENT/PREFIXxxxxxxxxxxxxxxxx`.
    pub fn new_in(parent: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        let parent = parent.as_ref();
        let path = super::write::retry_names(|| {
            let path = parent.join(format!("{prefix}{}", super::write::random_name()));
            std::fs::DirBuilder::new().mode(0o700).create(&path).map(|()| path)
        });
        let path = path.map_err(|e| IoError::new("create a temporary directory in", parent, e))?;
        Ok(TempDir { path: Some(path) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Keeps the directory and passes it to the caller.
    pub fn keep(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }

    /// Removes it now and reports errors, unlike dropping it.
    pub fn remove(mut self) -> Result<()> {
        self.path.take().map_or(Ok(()), |path| super::remove_tree(path).map(drop))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = super::remove_tree(path);
        }
    }
}
