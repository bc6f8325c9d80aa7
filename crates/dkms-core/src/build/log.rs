//! make.log: each command, its output, its exit code and how long it took.
//!
//! While the build runs, the log is outside of its build directory, so that the build cannot replace it by a
//! link to another file. In the build directory it has a second name, so that people can watch it.

use crate::error::Result;
use crate::host::Host;
use dkms_sys::IoError;
use dkms_sys::process::Stream;
use dkms_tree::ids::Build;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The log of one build.
#[derive(Debug)]
pub struct MakeLog {
    /// Its path while the build runs.
    pub path: PathBuf,
    /// Its path after a failure.
    pub kept: PathBuf,
    file: File,
    /// Whether it records the duration of commands.
    timed: bool,
}

impl MakeLog {
    /// Creates the log of a build at `path`; after a failure it is at `kept`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(host: &Host, path: &Path, kept: &Path, build: &Build) -> Result<Self> {
        if let Some(parent) = path.parent() {
            dkms_sys::fs::create_dir_all(parent)?;
        }
        dkms_sys::fs::remove_tree(path)?;
        let file = dkms_sys::fs::open_append(path)?;
        let log =
            Self { path: path.into(), kept: kept.into(), file, timed: host.source_date_epoch().is_none() };
        let version = env!("CARGO_PKG_VERSION");
        log.line(&format!("DKMS ({version}) make.log for {build}"))?;
        log.line(&crate::time::utc(host.recorded_time()))?;
        Ok(log)
    }

    /// Links the log under this name too, replacing an existing file. Errors are ignored, because the log
    /// itself is safe.
    pub fn show_at(&self, name: &Path) {
        let _ = dkms_sys::fs::remove_tree(name)
            .and_then(|_| dkms_sys::fs::hard_link(&self.path, name))
            .or_else(|_| dkms_sys::fs::copy_file(&self.path, name).map(drop));
    }

    /// Replaces everything that was written so far by an optional first line and the log of another build.
    ///
    /// # Errors
    /// As [`MakeLog::line`].
    pub(crate) fn restart(&self, first: Option<&str>, rest: &[u8]) -> Result<()> {
        let error = |source| IoError::new("write", &self.path, source);
        self.file.set_len(0).map_err(error)?;
        first.map_or(Ok(()), |first| self.line(first))?;
        (&self.file).write_all(rest).map_err(error)?;
        Ok(())
    }

    /// The stream that sends a child's output to the log.
    ///
    /// # Errors
    /// Too many files are open.
    pub(crate) fn stream(&self) -> Result<Stream> {
        let file = self.file.try_clone().map_err(|source| IoError::new("write", &self.path, source))?;
        Ok(Stream::File(file))
    }

    /// Writes one line.
    ///
    /// # Errors
    /// It cannot be written, usually because the disk is full.
    pub fn line(&self, text: &str) -> Result<()> {
        writeln!(&self.file, "{text}").map_err(|source| IoError::new("write", &self.path, source).into())
    }

    /// Begins the record of a command.
    ///
    /// # Errors
    /// As [`MakeLog::line`].
    pub fn begin(&self, title: &str, command: &str) -> Result<()> {
        self.line(&format!("\n{title}\n# command: {command}"))
    }

    /// Ends the record of a command. `code` is its exit code as a shell reports it.
    ///
    /// # Errors
    /// As [`MakeLog::line`].
    pub fn end(&self, code: i32, elapsed: Duration) -> Result<()> {
        let t = if self.timed { elapsed.as_secs() } else { 0 };
        let rule = "-".repeat(64);
        self.line(&format!(
            "\n# exit code: {code}\n# elapsed time: {:02}:{:02}:{:02}\n{rule}",
            t / 3600,
            t / 60 % 60,
            t % 60
        ))
    }
}
