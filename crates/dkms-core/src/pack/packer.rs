//! Runs the programs that make packages, and reports the results.

use crate::error::{Cause, Error, Result};
use crate::event::{Event, Sink};
use crate::program::ProgramError;
use crate::system::System;
use dkms_sys::fs::TempDir;
use dkms_sys::process::{self, Command, Stream};
use std::path::PathBuf;

/// What the steps that make one package have in common.
#[derive(Clone, Copy)]
pub(crate) struct Packer<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    /// The latest time of the files in the package, in seconds since 1970.
    pub epoch: u64,
}

impl Packer<'_> {
    /// Creates a temporary directory.
    pub(crate) fn scratch(&self, prefix: &str) -> Result<TempDir> {
        Ok(TempDir::new_in(&self.system.settings.tmp_location, prefix)?)
    }

    /// Finds a program. `purpose` completes the phrase "which dkms needs to"; `package` contains the program.
    ///
    /// # Errors
    /// [`ProgramError::Missing`].
    pub(crate) fn find_program(&self, program: &str, purpose: &str, package: &str) -> Result<PathBuf> {
        let missing = || ProgramError::Missing {
            program: program.into(),
            purpose: purpose.into(),
            package: package.into(),
        };
        Ok(process::which(program, &self.system.host.path).ok_or_else(missing)?)
    }

    /// Runs a program that creates packages or parts of them, with an environment for reproducible output.
    /// `shown` is the command that errors show; `reason` finds the line of the output that explains a
    /// failure.
    ///
    /// # Errors
    /// [`ProgramError::Failed`]; the complete output is reported first.
    pub(crate) fn run(&self, command: Command, shown: &str, reason: fn(&str) -> &str) -> Result<()> {
        let failed = |cause: Cause| Error::Program(ProgramError::Failed { command: shown.to_owned(), cause });
        let done = command
            .envs(self.system.host.environment.iter().cloned())
            .env("LC_ALL", "C")
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .stdout(Stream::Capture)
            .stderr(Stream::ToStdout)
            .run()
            .map_err(|e| failed(e.into()))?;
        let (output, success) = (done.stdout_text(), done.status.success());
        let error = (!success).then(|| failed(format!("{} ({})", done.status, reason(&output)).into()));
        if self.system.settings.verbose || !success {
            self.sink.event(Event::ScriptOutput { text: output });
        }
        error.map_or(Ok(()), Err)
    }

    /// Reports that a file is complete, and returns its path.
    pub(crate) fn report_written(&self, path: PathBuf) -> PathBuf {
        self.sink.event(Event::ArchiveWritten { path: path.clone() });
        path
    }
}

/// The last line of a program's output that is not blank.
pub(crate) fn last_line(output: &str) -> &str {
    output.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it printed no message")
}
