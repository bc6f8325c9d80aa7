//! make.log: each command with its output, its exit code and its duration.
//!
//! While the build runs, the log is outside of the build directory, so that the build cannot replace it with
//! a link to another file. The build directory contains a hard link to it, so that people can read it.

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
    pub failed_path: PathBuf,
    file: File,
    /// Whether it records the duration of commands.
    timed: bool,
}

impl MakeLog {
    /// Creates the log of a build at `path`. After a failure, the log is kept at `failed_path`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn create(host: &Host, path: &Path, failed_path: &Path, build: &Build) -> Result<Self> {
        if let Some(parent) = path.parent() {
            dkms_sys::fs::create_dir_all(parent)?;
        }
        dkms_sys::fs::remove_tree(path)?;
        let file = dkms_sys::fs::open_append(path)?;
        let timed = host.source_date_epoch().is_none();
        let log = Self { path: path.into(), failed_path: failed_path.into(), file, timed };
        let version = env!("CARGO_PKG_VERSION");
        log.line(&format!("DKMS ({version}) make.log for {build}"))?;
        log.line(&crate::time::utc(host.recorded_time()))?;
        Ok(log)
    }

    /// Links the log at a second path, and replaces an existing file there. If that is not possible, copies
    /// it. Errors are ignored, because the log itself is complete.
    pub fn show_at(&self, path: &Path) {
        let _ = dkms_sys::fs::remove_tree(path)
            .and_then(|_| dkms_sys::fs::hard_link(&self.path, path))
            .or_else(|_| dkms_sys::fs::copy_file(&self.path, path).map(drop));
    }

    /// Replaces the content of the log with an optional first line and the log of another build.
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

    /// Returns a stream that sends the output of a process to the log.
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
    /// The log cannot be written, usually because the disk is full.
    pub fn line(&self, text: &str) -> Result<()> {
        writeln!(&self.file, "{text}").map_err(|source| IoError::new("write", &self.path, source).into())
    }

    /// Writes the title and the text of a command, before its output.
    ///
    /// # Errors
    /// As [`MakeLog::line`].
    pub fn begin(&self, title: &str, command: &str) -> Result<()> {
        self.line(&format!("\n{title}\n# command: {command}"))
    }

    /// Writes the exit code and the duration of a command, after its output. `code` is the exit code as a
    /// shell reports it.
    ///
    /// # Errors
    /// As [`MakeLog::line`].
    pub fn end(&self, code: i32, elapsed: Duration) -> Result<()> {
        let seconds = if self.timed { elapsed.as_secs() } else { 0 };
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let rule = "-".repeat(64);
        self.line(&format!(
            "\n# exit code: {code}\n# elapsed time: {hours:02}:{minutes:02}:{seconds:02}\n{rule}"
        ))
    }
}
