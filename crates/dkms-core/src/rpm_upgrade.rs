//! `--rpm_safe_upgrade`: an add in an RPM transaction cancels the later removal in the same transaction. Both
//! have the same grandparent process, started at the same time. The add leaves a marker file in tmp_location.

use crate::error::Result;
use crate::event::Sink;
use crate::system::Settings;
use dkms_tree::ids::PackageId;
use std::path::PathBuf;

const PREFIX: &str = "dkms_rpm_safe_upgrade_lock";

/// The process that runs the transaction (rpm, the parent of the scriptlet's shell), and its start time.
fn transaction() -> Option<(u32, u64)> {
    let shell = dkms_sys::sys::parent_of(dkms_sys::sys::own_pid())?;
    let rpm = dkms_sys::sys::parent_of(shell)?;
    Some((rpm, dkms_sys::sys::process_start_time(rpm)?))
}

fn record(package: &PackageId, start: u64) -> String {
    format!("{}-{}\n{start}\n", package.name, package.version)
}

/// Creates a marker file, which records that the package was added.
///
/// # Errors
/// The file cannot be written.
pub fn remember(settings: &Settings, sink: &dyn Sink, package: &PackageId) -> Result<()> {
    let Some((pid, start)) = transaction() else {
        sink.warn("--rpm_safe_upgrade has no effect: /proc does not show which transaction this is");
        return Ok(());
    };
    clear_stale(settings);
    let text = record(package, start);
    for number in 0..1000u32 {
        let path =
            settings.tmp_location.join(format!("{PREFIX}.{pid}.{}-{number}", dkms_sys::sys::own_pid()));
        match dkms_sys::fs::create_new(&path, text.as_bytes(), 0o600) {
            Ok(()) => return Ok(()),
            Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Returns whether the package was added in this transaction. This deletes the marker file.
pub fn added_in_this_transaction(settings: &Settings, package: &PackageId) -> bool {
    let Some((pid, start)) = transaction() else { return false };
    clear_stale(settings);
    let prefix = format!("{PREFIX}.{pid}.");
    let wanted = record(package, start);
    let found = own_words(settings).into_iter().find(|(name, path)| {
        name.starts_with(&prefix)
            && dkms_sys::fs::read_text(path, dkms_sys::fs::Limit::CONFIG).is_ok_and(|t| t == wanted)
    });
    match found {
        Some((_, path)) => dkms_sys::fs::remove_file(path).unwrap_or(false),
        None => false,
    }
}

/// The marker files and their names. Every user can write to tmp_location, so only files that belong to our
/// user count.
fn own_words(settings: &Settings) -> Vec<(String, PathBuf)> {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = dkms_sys::fs::read_dir(&settings.tmp_location) else { return Vec::new() };
    let named = entries.into_iter().map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()));
    let is_own_file = |path: &PathBuf| {
        path.symlink_metadata().is_ok_and(|m| m.is_file() && m.uid() == dkms_sys::sys::effective_uid())
    };
    named.filter(|(name, path)| name.starts_with(PREFIX) && is_own_file(path)).collect()
}

/// Removes the marker files of transactions that have ended: most have no removal to cancel.
fn clear_stale(settings: &Settings) {
    for (name, path) in own_words(settings) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').nth(1)?.parse().ok());
        let text = dkms_sys::fs::read_text(&path, dkms_sys::fs::Limit::CONFIG).unwrap_or_default();
        let start: Option<u64> = text.lines().nth(1).and_then(|line| line.parse().ok());
        let (Some(pid), Some(start)) = (pid, start) else { continue };
        if dkms_sys::sys::process_start_time(pid) != Some(start) {
            let _ = dkms_sys::fs::remove_file(path);
        }
    }
}
