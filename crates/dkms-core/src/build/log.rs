//! make.log: what was run, what it printed, how it ended, how long it took.

use crate::error::Result;
use crate::ids::Build;
use dkms_sys::IoError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The log of one build.
#[derive(Debug)]
pub struct MakeLog {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is to be found after a failure.
    pub kept: PathBuf,
    file: File,
}

impl MakeLog {
    /// Begins a log in a build directory; after a failure it is to be found at `kept`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, kept: &Path, build: &Build) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| IoError::new("write", path, e))?;
        let log = Self { path: path.into(), kept: kept.into(), file };
        let version = env!("CARGO_PKG_VERSION");
        log.line(&format!("DKMS ({version}) make.log for {build}"))?;
        log.line(&utc_now())?;
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
        let t = elapsed.as_secs();
        let rule = "-".repeat(64);
        self.line(&format!(
            "\n# exit code: {code}\n# elapsed time: {:02}:{:02}:{:02}\n{rule}",
            t / 3600,
            t / 60 % 60,
            t % 60
        ))
    }
}

fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Seconds since 1970 as `2026-11-23 07:12:01 UTC`.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let (y, m, d) = civil(days);
    format!("{y:04}-{m:02}-{d:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month, day of a number of days since 1970-01-01 (proleptic Gregorian, years from March).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_to_dates() {
        assert_eq!(super::civil(0), (1970, 1, 1));
        assert_eq!(super::civil(19_782), (2024, 2, 29));
        assert_eq!(super::civil(20_780), (2026, 11, 23));
    }
}
