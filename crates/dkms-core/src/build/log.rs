//! make.log: what was run, what it printed, how it ended, how long it took.

use crate::error::Result;
use crate::ids::Build;
use crate::session::Session;
use dkms_sys::IoError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The log of one build.
#[derive(Debug)]
pub struct MakeLog {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is to be found after a failure.
    pub kept: PathBuf,
    file: File,
    /// How long things took is written down.
    timed: bool,
}

impl MakeLog {
    /// Begins a log in a build directory; after a failure it is to be found at `kept`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(s: &Session<'_>, path: &Path, kept: &Path, build: &Build) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| IoError::new("write", path, e))?;
        let log = Self { path: path.into(), kept: kept.into(), file, timed: s.source_date_epoch().is_none() };
        let version = env!("CARGO_PKG_VERSION");
        log.line(&format!("DKMS ({version}) make.log for {build}"))?;
        log.line(&crate::time::utc(s.recorded_time()))?;
        Ok(log)
    }

    /// The file, for a child's output.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When it cannot be written: a full disk shows here first.
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

    /// Ends the record of a command. `code` as a shell would give it.
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
