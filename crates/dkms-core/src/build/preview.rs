//! Computes the fingerprint that a build would have. Nothing is built, and the dkms tree is only read.

use super::cached;
use super::fingerprint::{self, Fingerprint};
use super::log::MakeLog;
use super::prepare;
use super::prepared::Prepared;
use super::recipe::Recipe;
use super::sandbox::BuildSandbox;
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
    /// The version of this JSON schema.
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
    /// The reason why the build is stored neither in the cache nor in a registry.
    #[serde(skip)]
    pub not_stored: Option<String>,
}

/// Describes the build of the source in the directory `source`.
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
    let subject = Subject { system, sink, target: &target, build, loaded, store_digests: false };
    let fingerprint = fingerprint_of(&subject, source)?;
    Ok(Preview {
        schema: 1,
        package: build.package.name.clone(),
        version: build.package.version.clone(),
        kernel: build.kernel.release.to_string(),
        arch: build.kernel.arch.clone(),
        fingerprint: fingerprint.digest(),
        lines: fingerprint.lines(),
        not_stored: cached::reason_not_to_store(&loaded.conf, &fingerprint),
    })
}

/// Returns the fingerprint of the build of the source in a directory. The patches are applied to a temporary
/// copy, with the confinement of a build.
///
/// # Errors
/// As [`preview`].
pub(crate) fn fingerprint_of(subject: &Subject<'_>, source: &Path) -> Result<Fingerprint> {
    let Subject { system, sink, build, .. } = *subject;
    let temporary = TempDir::new_in(&system.settings.tmp_location, "dkms-fingerprint")?;
    let dir = temporary.path().join("source");
    prepare::copy_source(sink, source, &dir)?;
    let names = prepare::patches_for(subject.loaded, build)?;
    let patches = if names.is_empty() {
        Vec::new()
    } else {
        let path = temporary.path().join("make.log");
        let log = MakeLog::create(&system.host, &path, &path, build)?;
        let sandbox = BuildSandbox::for_build(subject, &dir, &dir)?;
        sandbox.hand_over()?;
        prepare::patch(system, sink, build, &sandbox, &names, &log)?
    };
    fingerprint::describe(subject, &Prepared { dir: &dir, patches }, &Recipe::new(subject)?)
}
