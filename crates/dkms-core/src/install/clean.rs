//! Removes directories that are empty after a change.

use crate::distro::Family;
use crate::host::Host;
use dkms_sys::fs;
use dkms_sys::process::{Command, Stream, which};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Removes the empty directories in `directories`, and their parents that become empty. Below `/lib/modules`,
/// this stops at the kernel's own directory, and directories that an RPM package owns stay. In the dkms tree,
/// it stops at the tree.
pub fn remove_empty(host: &Host, layout: &Layout, kernel: &Kernel, directories: &[PathBuf]) {
    let stop = layout.kernel_modules(&kernel.release);
    let family = host.distribution.as_ref().map(|d| d.family());
    let by_rpm = matches!(family, Some(Family::Fedora | Family::Rhel | Family::Suse | Family::Other));
    let mut all: Vec<&PathBuf> = directories.iter().collect();
    all.sort();
    all.dedup();
    // The deepest directories come first.
    for dir in all.into_iter().rev() {
        // An interrupted clean-up may have removed some of them.
        let Some(dir) = dir.ancestors().find(|d| d.is_dir()) else { continue };
        if dir.starts_with(&layout.dkms_tree) {
            let _ = fs::remove_empty_dirs(dir, &layout.dkms_tree);
            continue;
        }
        if !dir.starts_with(&stop) || !fs::is_empty_dir(dir).unwrap_or(false) {
            continue;
        }
        if by_rpm && owned_by_rpm(host, dir) {
            continue;
        }
        let _ = fs::remove_empty_dirs(dir, &stop);
    }
    // This removes only an empty directory, which belongs to a kernel that is no longer installed.
    let _ = fs::remove_dir(&stop);
}

fn owned_by_rpm(host: &Host, dir: &Path) -> bool {
    let Some(rpm) = which("rpm", &host.path) else { return false };
    Command::new(rpm)
        .arg("-qf")
        .arg(dir)
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Null)
        .run()
        .is_ok_and(|d| d.status.success())
}
