//! Runs rpmbuild in its own directory: without root, without the user's `~/rpmbuild`, with reproducible
//! output.

use super::names;
use crate::error::Result;
use crate::pack::packer::{Packer, last_line};
use crate::pack::tarball::archive_error;
use crate::program::ProgramError;
use dkms_archive::Member;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::Command;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The kind of packages that rpmbuild creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Binary packages (`-bb`).
    Binary,
    /// The source package (`-bs`).
    Source,
}

/// A working directory for rpmbuild, and the macros that are defined for its spec file.
pub(super) struct Rpmbuild<'a> {
    /// Its time is the time of the package.
    pub(super) packer: &'a Packer<'a>,
    program: PathBuf,
    scratch: TempDir,
    macros: Vec<String>,
}

impl<'a> Rpmbuild<'a> {
    /// Prepares the directories. `purpose` completes the phrase "which dkms needs to".
    ///
    /// # Errors
    /// rpmbuild is not installed; the directory cannot be created.
    pub(super) fn new(packer: &'a Packer<'a>, purpose: &str) -> Result<Self> {
        let program = packer.find_program("rpmbuild", purpose, "rpm-build (on Debian: rpm)")?;
        let scratch = packer.scratch("dkms-rpm")?;
        for directory in ["BUILD", "BUILDROOT", "RPMS", "SRPMS", "SPECS", "SOURCES", "tmp", "db"] {
            fs::create_dir_all(scratch.path().join(directory))?;
        }
        let mut build = Self { packer, program, scratch, macros: Vec::new() };
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
            // With several threads, xz splits the data into blocks; this uses one thread.
            ("_binary_payload", "w6.xzdio"),
            ("_source_payload", "w6.xzdio"),
        ] {
            build.define(name, value);
        }
        Ok(build)
    }

    /// Returns the working directory.
    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns the path of a file or directory in the sources.
    pub(super) fn source(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join("SOURCES").join(name)
    }

    /// Defines a macro. rpm expands macros in the value.
    pub(super) fn define(&mut self, name: &str, value: &str) {
        let value = if value.is_empty() { "%{nil}" } else { value };
        self.macros.push(format!("{name} {value}"));
    }

    /// Writes a tarball to the sources.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn write_archive(&self, name: &str, members: &[Member]) -> Result<()> {
        let path = self.source(name);
        dkms_archive::write(&path, members, Some(self.packer.epoch)).map_err(|e| archive_error(&path, e))?;
        Ok(())
    }

    /// Writes a spec file, runs rpmbuild on it, and returns the packages that it created, sorted. `target` is
    /// an architecture.
    ///
    /// # Errors
    /// [`ProgramError::Failed`] with the reason that rpmbuild reports; also if it succeeds but creates
    /// nothing.
    pub(super) fn run(
        &self,
        name: &str,
        spec: &[u8],
        kind: Kind,
        target: Option<&str>,
    ) -> Result<Vec<PathBuf>> {
        let file = self.path().join("SPECS").join(name);
        fs::write_atomic(&file, spec, 0o644)?;
        let mut command = Command::new(&self.program);
        for definition in &self.macros {
            command = command.args(["--define", definition.as_str()]);
        }
        if kind == Kind::Source {
            // rpm writes the expanded spec file, including its directories, into a source package.
            command = command.args(["--define", "_topdir ."]);
        }
        if let Some(target) = target {
            command = command.args(["--target", target]);
        }
        let option = if kind == Kind::Source { "-bs" } else { "-bb" };
        // The user is responsible for build dependencies, because rpm's database may be empty on this
        // machine.
        command = command.arg("--nodeps").arg(option).arg(&file);
        let shown = format!("rpmbuild {option} {}", file.display());
        self.packer.run(command.cwd(self.path()), &shown, failure_reason)?;
        let mut packages = Vec::new();
        for directory in ["RPMS", "SRPMS"] {
            find_packages(&self.path().join(directory), &mut packages)?;
        }
        if packages.is_empty() {
            return Err(ProgramError::Failed {
                command: shown,
                cause: "it succeeded but produced no package".into(),
            }
            .into());
        }
        Ok(packages)
    }
}

/// Returns the first line in which rpmbuild reports an error, otherwise its last line.
fn failure_reason(output: &str) -> &str {
    let error = output.lines().find(|line| line.trim_start().starts_with("error:"));
    error.map_or_else(|| last_line(output), str::trim)
}

/// Adds all packages below a directory to `packages`, sorted.
fn find_packages(directory: &Path, packages: &mut Vec<PathBuf>) -> Result<()> {
    for name in fs::list_dir(directory)? {
        let path = directory.join(name);
        if fs::is_real_dir(&path) {
            find_packages(&path, packages)?;
        } else if path.extension() == Some(OsStr::new("rpm")) {
            packages.push(path);
        }
    }
    Ok(())
}
