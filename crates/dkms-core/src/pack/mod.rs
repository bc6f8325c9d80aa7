//! The common part of all packages of a module, independent of the format: the request, the contents, and
//! importing a package.

pub mod debian;
pub(crate) mod error;
pub mod image;
mod inside;
mod modules;
mod output;
pub mod rpm;
pub mod sysext;
pub mod tarball;

use crate::error::{Cause, Error, Result};
use crate::event::{Event, Sink};
use crate::program::ProgramError;
use crate::system::System;
use dkms_archive::Member;
use dkms_sys::fs;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
pub use error::{NameFault, PackError};
pub(crate) use inside::Inside;
use std::path::{Path, PathBuf};
use tarball::Content;

/// The maintainer of a package if none is given, at a domain that is reserved (RFC 2606).
const UNNAMED_MAKER: &str = "made by dkms <dkms@example.org>";

/// A package to be created.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The package version; it must be in the tree.
    pub package: &'a PackageId,
    /// The kernels whose modules are included. If the source can be included, an empty list means the source
    /// alone.
    pub kernels: &'a [Kernel],
    /// What to include.
    pub content: Content,
    /// `--archive`: a file name for the default place, or a path.
    pub named: Option<&'a Path>,
    /// SOURCE_DATE_EPOCH; if unset, the time of the newest included file.
    pub epoch: Option<u64>,
    /// `NAME <ADDRESS>` of the maintainer of the package.
    pub maker: Option<&'a str>,
}

impl Request<'_> {
    pub(crate) fn with_source(&self) -> bool {
        self.content != Content::BinariesOnly
    }

    pub(crate) fn with_binaries(&self) -> bool {
        self.content != Content::SourceOnly
    }

    /// The kernels whose modules are actually included.
    pub(crate) fn binaries(&self) -> &[Kernel] {
        if self.with_binaries() { self.kernels } else { &[] }
    }

    pub(crate) fn maker(&self) -> &str {
        self.maker.unwrap_or(UNNAMED_MAKER)
    }

    /// SOURCE_DATE_EPOCH, or the time of the newest included file.
    pub(crate) fn time(&self, layout: &Layout) -> Result<u64> {
        if let Some(epoch) = self.epoch {
            return Ok(epoch);
        }
        let source = fs::canonicalize(layout.source_link(self.package))?;
        let built = self.binaries().iter().map(|k| layout.module_dir(&Build::new(self.package, k)));
        let mut from: Vec<PathBuf> = built.collect();
        from.push(if self.with_source() { source } else { source.join("dkms.conf") });
        Ok(newest(&from))
    }

    /// The directory and file name: those requested, otherwise `M/V/folder` and `file`.
    pub(crate) fn place(&self, layout: &Layout, folder: &str, file: String) -> (PathBuf, PathBuf) {
        let default = layout.version_dir(self.package).join(folder);
        match self.named {
            Some(named) => tarball::named_place(named, default),
            None => (default, file.into()),
        }
    }
}

/// What a package for dkms installs: the source, or only its dkms.conf, in `usr/src/M-V`; and, if kernels are
/// given, their built modules in `usr/share/SHARE`, as a tarball that `common.postinst` loads. The tarball is
/// created in `scratch`.
pub(crate) fn for_dkms(
    system: &System,
    request: &Request<'_>,
    share: &str,
    scratch: &Path,
    epoch: u64,
) -> Result<Vec<Member>> {
    let (m, v) = (&request.package.name, &request.package.version);
    let source = fs::canonicalize(system.layout.source_link(request.package))?;
    let target = format!("usr/src/{m}-{v}");
    let mut members = vec![if request.with_source() {
        Member::path(target, source)
    } else {
        Member::path(format!("{target}/dkms.conf"), source.join("dkms.conf"))
    }];
    if !request.binaries().is_empty() {
        let name = format!("{m}-{v}.dkms.tar.gz");
        let tarball = scratch.join(&name);
        tarball::write_modules(system, request.package, request.binaries(), &tarball, epoch)?;
        members.push(Member::path(format!("usr/share/{share}/{name}"), tarball));
    }
    Ok(members)
}

/// Runs a program that creates packages or parts of them, with an environment for reproducible output.
/// `shown` is the command as errors show it; `reason` finds the line of its output that explains a failure.
/// Returns the output.
///
/// # Errors
/// [`ProgramError::Failed`]; the complete output is reported first.
pub(crate) fn tool(
    system: &System,
    sink: &dyn Sink,
    command: Command,
    shown: &str,
    epoch: u64,
    reason: fn(&str) -> &str,
) -> Result<String> {
    let failed = |cause: Cause| Error::Program(ProgramError::Failed { command: shown.to_owned(), cause });
    let done = command
        .envs(system.host.environment.iter().cloned())
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run()
        .map_err(|e| failed(e.into()))?;
    let said = done.stdout_text();
    if system.settings.verbose || !done.status.success() {
        sink.event(Event::ScriptOutput { text: said.clone() });
    }
    if done.status.success() {
        Ok(said)
    } else {
        Err(failed(format!("{} ({})", done.status, reason(&said)).into()))
    }
}

/// The last line of the output that is not blank.
pub(crate) fn last_line(said: &str) -> &str {
    said.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("it said nothing")
}

/// The time of the newest file below these paths, in seconds since 1970. Directories are ignored, because a
/// copy has new ones.
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
