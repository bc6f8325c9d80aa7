//! `--rpm_safe_upgrade`: an add in an RPM transaction cancels the removal that the same transaction brings later. Both
//! have the same grandparent process, started at the same time; the add leaves a file about it in tmp_location.

use crate::error::Result;
use crate::ids::PackageId;
use crate::session::Session;
use std::path::PathBuf;

const PREFIX: &str = "dkms_rpm_safe_upgrade_lock";

/// The process that runs the transaction (rpm, above the scriptlet's shell), and when it started.
fn transaction() -> Option<(u32, u64)> {
    let shell = dkms_sys::sys::parent_pid(dkms_sys::sys::own_pid())?;
    let rpm = dkms_sys::sys::parent_pid(shell)?;
    Some((rpm, dkms_sys::sys::process_start_time(rpm)?))
}

fn record(package: &PackageId, start: u64) -> String {
    format!("{}-{}\n{start}\n", package.name, package.version)
}

/// Leaves word that the package was added.
///
/// # Errors
/// When the file cannot be written.
pub fn remember(s: &Session<'_>, package: &PackageId) -> Result<()> {
    let Some((pid, start)) = transaction() else {
        s.warn("--rpm_safe_upgrade has no effect: /proc does not tell which transaction this is");
        return Ok(());
    };
    let text = record(package, start);
    for n in 0..1000u32 {
        let path = s.options.tmp_location.join(format!("{PREFIX}.{pid}.{}-{n}", dkms_sys::sys::own_pid()));
        match dkms_sys::fs::create_new(&path, text.as_bytes(), 0o600) {
            Ok(()) => return Ok(()),
            Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Whether the package was added in this transaction; the word is used up by asking.
pub fn added_in_this_transaction(s: &Session<'_>, package: &PackageId) -> bool {
    let Some((pid, start)) = transaction() else { return false };
    let prefix = format!("{PREFIX}.{pid}.");
    let wanted = record(package, start);
    let found: Option<PathBuf> = std::fs::read_dir(&s.options.tmp_location).ok().and_then(|entries| {
        entries.flatten().map(|e| e.path()).find(|p| {
            use std::os::unix::fs::MetadataExt;
            let ours = p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix));
            // tmp_location is everybody's: only a file of root's (or our own) counts.
            let mine =
                p.symlink_metadata().is_ok_and(|m| m.is_file() && m.uid() == dkms_sys::sys::effective_uid());
            ours && mine && std::fs::read_to_string(p).is_ok_and(|t| t == wanted)
        })
    });
    match found {
        Some(path) => dkms_sys::fs::remove_file(path).unwrap_or(false),
        None => false,
    }
}
