//! Prevents the next hook of the same package manager run from repeating a failed build.
//!
//! A kernel upgrade runs the hook of the image package and the hook of the headers package. Both hooks build
//! all missing modules, so a package that does not compile would fail twice within a minute. After a failure,
//! dkms records the run of the package manager and the inputs of the build. If the next hook has the same run
//! and the same inputs, it does not repeat the build.

use super::BuildError;
use super::context::Context;
use super::fingerprint::Fingerprint;
use crate::digest;
use crate::error::{Error, Result};
use dkms_sys::fs;
use std::os::unix::fs::MetadataExt;

/// Directories that change when a package installs a program, a library or a header file that a build may
/// use.
const WATCHED_DIRECTORIES: [&str; 6] =
    ["/var/lib/dpkg/info", "/etc/alternatives", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/include"];

/// Checks that this build has not failed before with the same inputs in this run of the package manager.
///
/// # Errors
/// [`BuildError::FailedBefore`]; the record cannot be read.
pub(super) fn check(context: &Context<'_>, fingerprint: &Fingerprint) -> Result<()> {
    let Some(now) = record(context, fingerprint) else { return Ok(()) };
    let layout = &context.system.layout;
    let before = fs::read_optional(layout.failed_inputs(context.build), fs::Limit::CONFIG)?;
    let log = layout.failed_log(context.build);
    if before.as_deref() == Some(now.as_bytes()) && fs::is_file(&log) {
        return Err(BuildError::FailedBefore { build: context.build.clone(), log }.into());
    }
    Ok(())
}

/// Records a failure that would be the same in the next hook. Errors are ignored: without a record, the next
/// hook repeats the build.
pub(super) fn record_failure(context: &Context<'_>, fingerprint: &Fingerprint, error: &Error) {
    let is_certain = match error {
        Error::Build(BuildError::MakeFailed { diagnosis, .. }) => !diagnosis.is_passing,
        Error::Build(
            BuildError::ModuleFileMissing { .. }
            | BuildError::BadModule { .. }
            | BuildError::OtherHeaders { .. },
        ) => true,
        _ => false,
    };
    let Some(now) = record(context, fingerprint).filter(|_| is_certain) else { return };
    let path = context.system.layout.failed_inputs(context.build);
    if let Some(parent) = path.parent() {
        let _ = fs::create_dir_all(parent);
    }
    let _ = fs::write_atomic(path, now.as_bytes(), 0o644);
}

/// Returns the text of the record, if a package manager's hook started this dkms.
fn record(context: &Context<'_>, fingerprint: &Fingerprint) -> Option<String> {
    let run = context.system.host.package_manager_run.as_ref()?;
    if context.force {
        return None;
    }
    let system: String =
        WATCHED_DIRECTORIES.iter().map(|dir| format!("{dir} {}\n", change_time(dir))).collect();
    Some(format!("{run}\n{}\n{}\n", fingerprint.digest(), digest::bytes(system.as_bytes())))
}

/// Returns the modification time of a directory, as text.
fn change_time(dir: &str) -> String {
    fs::metadata(dir).map_or_else(|_| "absent".into(), |m| format!("{}.{}", m.mtime(), m.mtime_nsec()))
}
