//! What all packages of a module have in common, whatever their format: what is asked for, what goes in, and the way back.

pub mod debian;
mod error;
mod inside;
pub mod rpm;
pub mod tarball;

use crate::error::{Cause, Error, Result};
use crate::event::Event;
use crate::program::ProgramError;
use crate::session::Session;
use dkms_archive::Member;
use dkms_sys::fs;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::{Build, Kernel, PackageId};
pub use error::PackError;
pub(crate) use inside::Inside;
use std::path::{Path, PathBuf};
use tarball::Content;

/// Who makes a package where nobody is named, at a domain that can be nobody's (RFC 2606).
const NOBODY: &str = "made by dkms <dkms@example.org>";

/// A package that is to be made.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Which package version; it must be in the tree.
    pub package: &'a PackageId,
    /// The kernels whose modules go in; where source can go in, none means that alone.
    pub kernels: &'a [Kernel],
    /// What goes in.
    pub content: Content,
    /// `--archive`: a file name for the default place, or a path.
    pub named: Option<&'a Path>,
    /// SOURCE_DATE_EPOCH; without it, the time of the newest file that goes in.
    pub epoch: Option<u64>,
    /// `NAME <ADDRESS>` of who makes the package.
    pub maker: Option<&'a str>,
}

impl Request<'_> {
    pub(crate) fn with_source(&self) -> bool {
        self.content != Content::BinariesOnly
    }

    pub(crate) fn with_binaries(&self) -> bool {
        self.content != Content::SourceOnly
    }

    /// The kernels whose modules really go in.
    pub(crate) fn binaries(&self) -> &[Kernel] {
        if self.with_binaries() { self.kernels } else { &[] }
    }

    pub(crate) fn maker(&self) -> &str {
        self.maker.unwrap_or(NOBODY)
    }

    /// SOURCE_DATE_EPOCH, or the time of the newest file that goes in.
    pub(crate) fn time(&self, s: &Session<'_>) -> Result<u64> {
        if let Some(epoch) = self.epoch {
            return Ok(epoch);
        }
        let source = fs::canonicalize(s.layout.source_link(self.package))?;
        let built = self.binaries().iter().map(|k| s.layout.module_dir(&Build::new(self.package, k)));
        let mut from: Vec<PathBuf> = built.collect();
        from.push(if self.with_source() { source } else { source.join("dkms.conf") });
        Ok(newest(&from))
    }

    /// The directory and the name of the file: those that are asked for, else `M/V/folder` and `file`.
    pub(crate) fn place(&self, s: &Session<'_>, folder: &str, file: String) -> (PathBuf, PathBuf) {
        let default = s.layout.version_dir(self.package).join(folder);
        match self.named {
            Some(named) => tarball::named_place(named, default),
            None => (default, file.into()),
        }
    }
}

/// What a package for dkms installs: the source, or its dkms.conf alone, in `usr/src/M-V`, and with kernels their built modules
/// in `usr/share/SHARE`, as a tarball that `common.postinst` loads. It is made in `scratch`.
pub(crate) fn for_dkms(
    s: &Session<'_>,
    request: &Request<'_>,
    share: &str,
    scratch: &Path,
    epoch: u64,
) -> Result<Vec<Member>> {
    let (m, v) = (&request.package.name, &request.package.version);
    let source = fs::canonicalize(s.layout.source_link(request.package))?;
    let target = format!("usr/src/{m}-{v}");
    let mut members = vec![if request.with_source() {
        Member::path(target, source)
    } else {
        Member::path(format!("{target}/dkms.conf"), source.join("dkms.conf"))
    }];
    if !request.binaries().is_empty() {
        let name = format!("{m}-{v}.dkms.tar.gz");
        let tarball = scratch.join(&name);
        tarball::write_modules(s, request.package, request.binaries(), &tarball, epoch)?;
        members.push(Member::path(format!("usr/share/{share}/{name}"), tarball));
    }
    Ok(members)
}

/// Runs a program that makes packages or something for them, so that what it makes is the same each time. `shown` is what
/// an error calls the command, `reason` finds the line in its output that says what went wrong. Returns the output.
///
/// # Errors
/// [`ProgramError::Failed`]; the whole output is told before.
pub(crate) fn tool(
    s: &Session<'_>,
    command: Command,
    shown: &str,
    epoch: u64,
    reason: fn(&str) -> &str,
) -> Result<String> {
    let failed = |cause: Cause| Error::Program(ProgramError::Failed { command: shown.to_owned(), cause });
    let done = command
        .envs(s.host.environment.iter().cloned())
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run()
        .map_err(|e| failed(e.into()))?;
    let said = done.stdout_text();
    if s.options.verbose || !done.status.success() {
        s.tell(Event::ScriptOutput { text: said.clone() });
    }
    if done.status.success() {
        Ok(said)
    } else {
        Err(failed(format!("{} ({})", done.status, reason(&said)).into()))
    }
}

/// The last line of an output that says something.
pub(crate) fn last_line(said: &str) -> &str {
    said.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("it said nothing")
}

/// The time of the newest file in these places, in seconds since 1970. Directories do not count: a copy has new ones.
pub(crate) fn newest(places: &[PathBuf]) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut latest = 0;
    let mut left = places.to_vec();
    while let Some(path) = left.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            left.extend(fs::list_dir_optional(&path).unwrap_or_default().iter().map(|n| path.join(n)));
        } else {
            latest = latest.max(u64::try_from(meta.mtime()).unwrap_or(0));
        }
    }
    latest
}
