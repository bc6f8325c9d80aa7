//! The fingerprint that a build would have, without the build. The dkms tree is only read.

use super::fingerprint::{self, Fingerprint};
use super::log::MakeLog;
use super::prepare;
use super::prepared::Prepared;
use super::recipe::Recipe;
use super::subject::Subject;
use super::target::Target;
use crate::conf::load::Loaded;
use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::fs::TempDir;
use dkms_tree::ids::Build;
use serde::Serialize;
use std::path::Path;

/// A fingerprint and its inputs, ready to be serialized as JSON.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// Version of this schema.
    pub schema: u32,
    /// PACKAGE_NAME
    pub package: String,
    /// PACKAGE_VERSION
    pub version: String,
    /// The kernel release.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// SHA-256 of the lines.
    pub fingerprint: String,
    /// The lines `name=value`, sorted by name.
    pub lines: Vec<String>,
}

/// Describes a build of the source in a directory.
///
/// # Errors
/// As [`Target::prepare`]; the source cannot be copied; a patch does not apply.
pub fn preview(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    loaded: &Loaded,
    source: &Path,
) -> Result<Preview> {
    let target = Target::prepare(system, sink, &build.kernel)?;
    let subject = Subject { system, sink, target: &target, build, loaded, keep: false };
    let fingerprint = fingerprint_of(&subject, source)?;
    Ok(Preview {
        schema: 1,
        package: build.package.name.clone(),
        version: build.package.version.clone(),
        kernel: build.kernel.release.to_string(),
        arch: build.kernel.arch.clone(),
        fingerprint: fingerprint.digest(),
        lines: fingerprint.lines(),
    })
}

/// The fingerprint of a build of the source in a directory: a temporary copy is patched, as confined as in a
/// build.
///
/// # Errors
/// As [`preview`].
pub(crate) fn fingerprint_of(subject: &Subject<'_>, source: &Path) -> Result<Fingerprint> {
    let Subject { system, sink, target, build, loaded, .. } = *subject;
    let temporary = TempDir::new_in(&system.settings.tmp_location, "dkms-fingerprint")?;
    let dir = temporary.path().join("source");
    prepare::copy_of(sink, source, &dir)?;
    let names = prepare::patches_for(loaded, build)?;
    let patches = if names.is_empty() {
        Vec::new()
    } else {
        let path = temporary.path().join("make.log");
        let log = MakeLog::create(&system.host, &path, &path, build)?;
        let sandbox = super::sandbox_of(system, sink, target, loaded, &dir, &dir)?;
        sandbox.hand_over()?;
        prepare::patch(system, sink, build, &sandbox, &dir, &names, &log)?
    };
    let recipe = Recipe::new(system, sink, target, build, loaded)?;
    fingerprint::describe(subject, &Prepared { dir: &dir, patches }, &recipe)
}
