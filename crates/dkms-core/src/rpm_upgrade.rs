//! `--rpm_safe_upgrade`: an `add` in an RPM transaction cancels a later removal in the same transaction. The
//! `add` leaves a marker file in tmp_location. The transaction is identified by the grandparent process of
//! both commands and its start time.

use crate::error::Result;
use crate::event::Sink;
use crate::system::Settings;
use dkms_sys::fs::{self, Limit};
use dkms_sys::sys;
use dkms_tree::ids::PackageId;
use std::path::PathBuf;

const PREFIX: &str = "dkms_rpm_safe_upgrade_lock";

/// Returns the process that runs the transaction (rpm, the parent of the scriptlet's shell), and its start
/// time.
fn transaction() -> Option<(u32, u64)> {
    let shell = sys::parent_of(sys::own_pid())?;
    let rpm = sys::parent_of(shell)?;
    Some((rpm, sys::process_start_time(rpm)?))
}

/// Returns the text of a marker file.
fn marker_text(package: &PackageId, start: u64) -> String {
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
    let text = marker_text(package, start);
    for number in 0..1000u32 {
        let path = settings.tmp_location.join(format!("{PREFIX}.{pid}.{}-{number}", sys::own_pid()));
        match fs::create_new(&path, text.as_bytes(), 0o600) {
            Ok(()) => return Ok(()),
            Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Returns whether the package was added in this transaction. If so, deletes the marker file.
pub fn added_in_this_transaction(settings: &Settings, package: &PackageId) -> bool {
    let Some((pid, start)) = transaction() else { return false };
    clear_stale(settings);
    let prefix = format!("{PREFIX}.{pid}.");
    let expected = marker_text(package, start);
    let marker = own_markers(settings).into_iter().find(|(name, path)| {
        name.starts_with(&prefix) && fs::read_text(path, Limit::CONFIG).is_ok_and(|text| text == expected)
    });
    marker.is_some_and(|(_, path)| fs::remove_file(path).unwrap_or(false))
}

/// Returns the names and paths of the marker files of this user. Every user can write to tmp_location, so the
/// files of others are ignored.
fn own_markers(settings: &Settings) -> Vec<(String, PathBuf)> {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(&settings.tmp_location) else { return Vec::new() };
    let named = entries.into_iter().map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()));
    let is_own_file = |path: &PathBuf| {
        path.symlink_metadata().is_ok_and(|m| m.is_file() && m.uid() == sys::effective_uid())
    };
    named.filter(|(name, path)| name.starts_with(PREFIX) && is_own_file(path)).collect()
}

/// Removes the marker files of transactions that have ended. Most transactions contain no removal that would
/// delete their marker.
fn clear_stale(settings: &Settings) {
    for (name, path) in own_markers(settings) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').nth(1)?.parse().ok());
        let text = fs::read_text(&path, Limit::CONFIG).unwrap_or_default();
        let start: Option<u64> = text.lines().nth(1).and_then(|line| line.parse().ok());
        let (Some(pid), Some(start)) = (pid, start) else { continue };
        if sys::process_start_time(pid) != Some(start) {
            let _ = fs::remove_file(path);
        }
    }
}
