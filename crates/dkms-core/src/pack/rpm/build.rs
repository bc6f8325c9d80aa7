//! Runs rpmbuild in its own directory: without root, without the user's `~/rpmbuild`, with reproducible
//! output.

use super::names;
use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::pack;
use crate::program::ProgramError;
use crate::system::{Settings, System};
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What rpmbuild creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    /// Binary packages (`-bb`).
    Binary,
    /// The source package (`-bs`).
    Source,
}

/// A working directory for rpmbuild, and the macros defined for its spec file.
pub(super) struct Rpmbuild {
    program: PathBuf,
    scratch: TempDir,
    defines: Vec<String>,
    epoch: u64,
}

impl Rpmbuild {
    /// Prepares the directories. `purpose` completes the phrase "which dkms needs to". `epoch` is the time of
    /// the package and the latest time of its files, in seconds since 1970.
    ///
    /// # Errors
    /// rpmbuild is not installed; the directory cannot be created.
    pub(super) fn new(host: &Host, settings: &Settings, purpose: &str, epoch: u64) -> Result<Self> {
        let Some(program) = process::which("rpmbuild", &host.path) else {
            return Err(ProgramError::Missing {
                program: "rpmbuild".into(),
                purpose: purpose.to_owned(),
                package: "rpm-build (on Debian: rpm)".into(),
            }
            .into());
        };
        let scratch = TempDir::new_in(&settings.tmp_location, "dkms-rpm")?;
        for directory in ["BUILD", "BUILDROOT", "RPMS", "SRPMS", "SPECS", "SOURCES", "tmp", "db"] {
            fs::create_dir_all(scratch.path().join(directory))?;
        }
        let mut build = Self { program, scratch, defines: Vec::new(), epoch };
        for (name, directory) in [("_topdir", ""), ("_tmppath", "tmp"), ("_dbpath", "db")] {
            let path = build.path().join(directory);
            build.define(name, &names::plain(&path.to_string_lossy()));
        }
        // The package must not depend on where and when it is built. The macro for file times has two names:
        // one up to rpm 4.19, another since 4.20.
        for (name, value) in [
            ("_buildhost", "localhost"),
            ("use_source_date_epoch_as_buildtime", "1"),
            ("clamp_mtime_to_source_date_epoch", "1"),
            ("build_mtime_policy", "clamp_to_source_date_epoch"),
            ("source_date_epoch_from_changelog", "0"),
            // xz splits blocks depending on the number of threads; use one thread.
            ("_binary_payload", "w6.xzdio"),
            ("_source_payload", "w6.xzdio"),
        ] {
            build.define(name, value);
        }
        Ok(build)
    }

    /// The working directory.
    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Adds a file or directory to the sources.
    pub(super) fn source(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join("SOURCES").join(name)
    }

    /// Defines a macro; rpm expands the value.
    pub(super) fn define(&mut self, name: &str, value: &str) {
        let value = if value.is_empty() { "%{nil}" } else { value };
        self.defines.push(format!("{name} {value}"));
    }

    /// Runs rpmbuild on a spec file and returns the packages it created, sorted. `target` is an architecture.
    ///
    /// # Errors
    /// [`ProgramError::Failed`] with the reason that rpmbuild reports; also if it succeeds but creates
    /// nothing.
    pub(super) fn run(
        &self,
        system: &System,
        sink: &dyn Sink,
        spec: &Path,
        make: Make,
        target: Option<&str>,
    ) -> Result<Vec<PathBuf>> {
        let mut command = Command::new(&self.program);
        for define in &self.defines {
            command = command.args(["--define", define.as_str()]);
        }
        if make == Make::Source {
            // rpm writes the expanded spec file, including its directories, into a source package.
            command = command.args(["--define", "_topdir ."]);
        }
        if let Some(target) = target {
            command = command.args(["--target", target]);
        }
        let make = match make {
            Make::Binary => "-bb",
            Make::Source => "-bs",
        };
        // The caller is responsible for build dependencies; rpm's database may be empty on this machine.
        command = command.arg("--nodeps").arg(make).arg(spec);
        let shown = format!("rpmbuild {make} {}", spec.display());
        pack::tool(system, sink, command.cwd(self.path()), &shown, self.epoch, reason)?;
        let mut made = Vec::new();
        for directory in ["RPMS", "SRPMS"] {
            packages(&self.path().join(directory), &mut made)?;
        }
        if made.is_empty() {
            return Err(ProgramError::Failed {
                command: shown,
                cause: "it ended well and made no package".into(),
            }
            .into());
        }
        Ok(made)
    }
}

/// The first line in which rpmbuild reports an error.
fn reason(said: &str) -> &str {
    let wrong = said.lines().find(|l| l.trim_start().starts_with("error:"));
    wrong.map_or_else(|| pack::last_line(said), str::trim)
}

/// All packages below a directory, sorted.
fn packages(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for name in fs::list_dir(directory)? {
        let path = directory.join(name);
        if fs::is_real_dir(&path) {
            packages(&path, found)?;
        } else if path.extension() == Some(OsStr::new("rpm")) {
            found.push(path);
        }
    }
    Ok(())
}
