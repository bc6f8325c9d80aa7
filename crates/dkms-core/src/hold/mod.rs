//! `hold_kernel=yes`: by default, the machine does not boot a kernel that lacks required modules.
//!
//! [`refresh`] updates two files, which exist only while something is held. The file for grub selects the
//! newest kernel that has its modules. The file for apt holds back kernels that a package does not support
//! (BUILD_EXCLUSIVE_KERNEL_MAX). On systems where grub's entries are files, the default entry in grub's
//! environment block is changed instead. kernel-install runs `dkms kernel_hold` to find out whether a kernel
//! gets an entry.

mod apt;
mod bls;
mod grub;

use crate::error::Result;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::look::ready;
use crate::system::System;
use bls::{Kernels, Menu};
use dkms_sys::fs;
use dkms_sys::process::{Command, which};
use dkms_tree::ids::{Kernel, Release};
use std::path::Path;
use std::time::Duration;

const GRUB_FILE: &str = "/etc/default/grub.d/zz-dkms-hold.cfg";
const APT_FILE: &str = "/etc/apt/preferences.d/dkms-hold.pref";

/// The caller of [`refresh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A hook of a kernel package. The boot loader is updated after it anyway.
    KernelHook,
    /// A command of the administrator.
    Command,
}

/// Updates what is held. Without `hold_kernel=yes`, this only removes earlier holds.
///
/// # Errors
/// framework.conf cannot be read, or a file cannot be written.
pub fn refresh(system: &System, sink: &dyn Sink, caller: Caller) -> Result<()> {
    let is_on = system.settings.framework.hold_kernel == Some(true);
    if system.host.other_root.is_some() || !system.host.root {
        return Ok(());
    }
    let menu = Menu::find(&system.layout, &system.host);
    let is_held = fs::exists(GRUB_FILE) || fs::exists(APT_FILE) || menu.as_ref().is_some_and(Menu::is_held);
    if !is_on && !is_held {
        return Ok(());
    }
    let kernels = if is_on { missing_by_kernel(system, sink)? } else { Vec::new() };
    let apt = if is_on { apt::text(&apt::limits(system, sink)) } else { None };
    if let Some(menu) = &menu {
        menu.refresh(&system.host, sink, &kernels)?;
    }
    let grub = grub::text(&kernels).filter(|_| menu.is_none());
    update_file(sink, APT_FILE, apt.as_deref())?;
    if update_file(sink, GRUB_FILE, grub.as_deref())? && caller == Caller::Command {
        update_grub(&system.host, sink);
    }
    Ok(())
}

/// Returns the required packages that a kernel lacks; none if the kernel is not held, because it has all of
/// them, no other kernel has all of them, or it is in the boot menu already.
///
/// # Errors
/// framework.conf cannot be read.
pub fn missing_if_held(system: &System, sink: &dyn Sink, release: &str) -> Result<Vec<String>> {
    if system.settings.framework.hold_kernel != Some(true) {
        return Ok(Vec::new());
    }
    let kernels = missing_by_kernel(system, sink)?;
    let other_is_complete = kernels.iter().any(|(other, missing)| other != release && missing.is_empty());
    let missing = kernels.into_iter().find(|(other, _)| other == release).map(|(_, missing)| missing);
    // If the kernel is in the menu already, kernel-install must not stop: it still creates the initramfs.
    if Menu::find(&system.layout, &system.host).is_some_and(|menu| menu.has(release)) {
        return Ok(Vec::new());
    }
    Ok(missing.filter(|_| other_is_complete).unwrap_or_default())
}

/// Returns the installed kernels, oldest first, with the required packages that each lacks.
fn missing_by_kernel(system: &System, sink: &dyn Sink) -> Result<Kernels> {
    let with_missing = |release: Release| {
        let kernel = Kernel { release, arch: system.host.machine.clone() };
        Ok((kernel.release.to_string(), ready::missing_packages(system, sink, &kernel)?))
    };
    ready::kernels(&system.layout).into_iter().map(with_missing).collect()
}

/// Writes a file, or removes it if there is no text. Does not write it if its directory does not exist.
/// Returns whether it changed.
fn update_file(sink: &dyn Sink, path: &str, text: Option<&str>) -> Result<bool> {
    let path = Path::new(path);
    let before = fs::read_optional(path, fs::Limit::CONFIG)?;
    match text {
        None if before.is_none() => return Ok(false),
        None => {
            fs::remove_tree(path)?;
            let text = format!("no kernel is held any more: removed {}", path.display());
            sink.event(Event::Detail { text });
        }
        Some(text) if before.as_deref() == Some(text.as_bytes()) => return Ok(false),
        Some(_) if !path.parent().is_some_and(Path::is_dir) => return Ok(false),
        Some(text) => {
            fs::write_atomic(path, text.as_bytes(), 0o644)?;
            let reasons = ["# Held: ", "Explanation: "]
                .into_iter()
                .flat_map(|start| text.lines().filter_map(move |line| line.strip_prefix(start)));
            let reasons = reasons.collect::<Vec<_>>().join("; ");
            sink.warn(format!("{reasons} (hold_kernel=yes; {})", path.display()));
        }
    }
    Ok(true)
}

/// Runs update-grub. A failure is only a warning, because the boot loader stays unchanged then.
fn update_grub(host: &Host, sink: &dyn Sink) {
    let Some(program) = which("update-grub", &host.path) else { return };
    let command =
        Command::new(program).envs(host.environment.iter().cloned()).timeout(Duration::from_secs(300));
    match command.run() {
        Ok(done) if done.status.success() => {}
        Ok(done) => sink.warn(format!("update-grub ended with {}; run it again", done.status)),
        Err(e) => sink.warn(e.to_string()),
    }
}
