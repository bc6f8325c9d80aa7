//! Prevents the next hook of the same package manager run from repeating a failed build.
//!
//! A kernel upgrade runs the hook of the image package and the hook of the headers package. Both build
//! whatever is missing, so a package that does not compile would fail twice within a minute. The record of a
//! failed build contains the run of the package manager and the inputs. If anything differs, the build runs
//! again.

use super::BuildError;
use super::context::Context;
use super::fingerprint::Fingerprint;
use crate::digest;
use crate::error::{Error, Result};
use dkms_sys::fs;
use std::os::unix::fs::MetadataExt;

/// Directories that change when a package brings a program, a library or a header file that a build may use.
const SYSTEM: [&str; 6] =
    ["/var/lib/dpkg/info", "/etc/alternatives", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/include"];

/// The error of a build that failed before in this run with the same inputs.
pub(super) fn check(context: &Context<'_>, fingerprint: &Fingerprint) -> Result<()> {
    let Some(now) = record_of(context, fingerprint) else { return Ok(()) };
    let layout = &context.system.layout;
    let before = fs::read_optional(layout.failed_inputs(context.build), fs::Limit::CONFIG)?;
    let log = layout.failed_log(context.build);
    if before.as_deref() == Some(now.as_bytes()) && fs::is_file(&log) {
        return Err(BuildError::FailedBefore { build: context.build.clone(), log }.into());
    }
    Ok(())
}

/// Records a failure that the next hook would see again. Best effort: without a record, it builds.
pub(super) fn remember(context: &Context<'_>, fingerprint: &Fingerprint, error: &Error) {
    let is_certain = match error {
        Error::Build(BuildError::MakeFailed { diagnosis, .. }) => !diagnosis.is_passing,
        Error::Build(
            BuildError::ModuleFileMissing { .. }
            | BuildError::BadModule { .. }
            | BuildError::OtherHeaders { .. },
        ) => true,
        _ => false,
    };
    let Some(now) = record_of(context, fingerprint).filter(|_| is_certain) else { return };
    let path = context.system.layout.failed_inputs(context.build);
    if let Some(parent) = path.parent() {
        let _ = fs::create_dir_all(parent);
    }
    let _ = fs::write_atomic(path, now.as_bytes(), 0o644);
}

/// The record, if a package manager's hook started this dkms.
fn record_of(context: &Context<'_>, fingerprint: &Fingerprint) -> Option<String> {
    let run = context.system.host.package_manager_run.as_ref()?;
    if context.force {
        return None;
    }
    let system: String = SYSTEM.iter().map(|dir| format!("{dir} {}\n", changed(dir))).collect();
    Some(format!("{run}\n{}\n{}\n", fingerprint.digest(), digest::bytes(system.as_bytes())))
}

/// When entries of a directory changed.
fn changed(dir: &str) -> String {
    fs::metadata(dir).map_or_else(|_| "absent".into(), |m| format!("{}.{}", m.mtime(), m.mtime_nsec()))
}
