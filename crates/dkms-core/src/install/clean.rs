//! Removes directories that a change has left empty.

use crate::distro::Family;
use crate::host::Host;
use dkms_sys::fs;
use dkms_sys::process::{Command, Stream, which};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Removes those of these directories that are empty, and their parents that become empty. Below
/// `/lib/modules`, this stops at the kernel's own directory, and keeps directories that an RPM package owns.
/// In the dkms tree, it stops at the tree.
pub(super) fn remove_empty(host: &Host, layout: &Layout, kernel: &Kernel, directories: &[PathBuf]) {
    let kernel_dir = layout.kernel_modules(&kernel.release);
    let family = host.distribution.as_ref().map(|d| d.family());
    let uses_rpm = matches!(family, Some(Family::Fedora | Family::Rhel | Family::Suse | Family::Other));
    let mut all: Vec<&PathBuf> = directories.iter().collect();
    all.sort();
    all.dedup();
    // Start with the deepest directories.
    for dir in all.into_iter().rev() {
        // An interrupted command may have removed some of them.
        let Some(dir) = dir.ancestors().find(|d| d.is_dir()) else { continue };
        if dir.starts_with(&layout.dkms_tree) {
            let _ = fs::remove_empty_dirs(dir, &layout.dkms_tree);
            continue;
        }
        if !dir.starts_with(&kernel_dir) || !fs::is_empty_dir(dir).unwrap_or(false) {
            continue;
        }
        if uses_rpm && owned_by_rpm(host, dir) {
            continue;
        }
        let _ = fs::remove_empty_dirs(dir, &kernel_dir);
    }
    // This succeeds only if the directory is empty: the kernel is no longer installed then.
    let _ = fs::remove_dir(&kernel_dir);
}

/// Returns whether a package owns this directory.
fn owned_by_rpm(host: &Host, dir: &Path) -> bool {
    let Some(rpm) = which("rpm", &host.path) else { return false };
    Command::new(rpm)
        .arg("-qf")
        .arg(dir)
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Null)
        .run()
        .is_ok_and(|done| done.status.success())
}
