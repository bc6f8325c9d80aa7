//! `hold_kernel=yes`: the machine does not start a kernel without its required modules by default.
//!
//! [`refresh`] updates two files, which exist only as long as something is held: one for grub, with the entry
//! of the newest kernel that has its modules, and one for apt, which holds back kernels that a package does
//! not support (BUILD_EXCLUSIVE_KERNEL_MAX). Where grub's entries are files, it changes the default entry in
//! grub's environment block instead. kernel-install runs `dkms kernel_hold` to find out that a kernel gets no
//! entry.

mod apt;
mod bls;
mod grub;

use crate::error::Result;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::look::ready;
use crate::system::System;
use bls::{Kernels, Menu};
use dkms_sys::process::{Command, which};
use dkms_tree::ids::{Kernel, Release};
use std::path::Path;
use std::time::Duration;

const GRUB_FILE: &str = "/etc/default/grub.d/zz-dkms-hold.cfg";
const APT_FILE: &str = "/etc/apt/preferences.d/dkms-hold.pref";

/// The caller of [`refresh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A hook of a kernel's package, after which the boot loader is updated anyway.
    KernelHook,
    /// A command of the administrator.
    Command,
}

/// Updates the held kernels. Without `hold_kernel=yes`, it only removes earlier holds.
///
/// # Errors
/// framework.conf cannot be read, or a file cannot be written.
pub fn refresh(system: &System, sink: &dyn Sink, caller: Caller) -> Result<()> {
    let is_on = system.settings.framework.hold_kernel == Some(true);
    if system.host.other_root.is_some() || !system.host.root {
        return Ok(());
    }
    let menu = Menu::find(&system.layout, &system.host);
    let is_held = exists(GRUB_FILE) || exists(APT_FILE) || menu.as_ref().is_some_and(Menu::is_held);
    if !is_on && !is_held {
        return Ok(());
    }
    let kernels = if is_on { kernels(system, sink)? } else { Vec::new() };
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

/// The required packages that a kernel lacks, if it is held: another kernel has all of them.
///
/// # Errors
/// framework.conf cannot be read.
pub fn held(system: &System, sink: &dyn Sink, release: &str) -> Result<Vec<String>> {
    if system.settings.framework.hold_kernel != Some(true) {
        return Ok(Vec::new());
    }
    let kernels = kernels(system, sink)?;
    let other_is_complete = kernels.iter().any(|(other, missing)| other != release && missing.is_empty());
    let missing = kernels.into_iter().find(|(other, _)| other == release).map(|(_, missing)| missing);
    // kernel-install cannot keep it out of the menu any more, and it needs its initramfs.
    if Menu::find(&system.layout, &system.host).is_some_and(|menu| menu.has(release)) {
        return Ok(Vec::new());
    }
    Ok(missing.filter(|_| other_is_complete).unwrap_or_default())
}

fn kernels(system: &System, sink: &dyn Sink) -> Result<Kernels> {
    let lacking_packages = |release: Release| {
        let kernel = Kernel { release, arch: system.host.machine.clone() };
        Ok((kernel.release.to_string(), ready::missing_packages(system, sink, &kernel)?))
    };
    ready::kernels(&system.layout).into_iter().map(lacking_packages).collect()
}

fn exists(path: &str) -> bool {
    dkms_sys::fs::exists(path)
}

/// Writes or removes a file, unless its directory does not exist. Returns whether it changed.
fn update_file(sink: &dyn Sink, path: &str, text: Option<&str>) -> Result<bool> {
    let path = Path::new(path);
    let before = dkms_sys::fs::read_optional(path, dkms_sys::fs::Limit::CONFIG)?;
    match text {
        None if before.is_none() => return Ok(false),
        None => {
            dkms_sys::fs::remove_tree(path)?;
            let text = format!("nothing is held any more: removed {}", path.display());
            sink.event(Event::Detail { text });
        }
        Some(text) if before.as_deref() == Some(text.as_bytes()) => return Ok(false),
        Some(_) if !path.parent().is_some_and(Path::is_dir) => return Ok(false),
        Some(text) => {
            dkms_sys::fs::write_atomic(path, text.as_bytes(), 0o644)?;
            let about: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix("Explanation: ")).collect();
            let first = text.lines().find_map(|line| line.strip_prefix("# Held: "));
            let about = first.map_or_else(|| about.join("; "), str::to_owned);
            sink.warn(format!("{about} (hold_kernel=yes; {})", path.display()));
        }
    }
    Ok(true)
}

/// A failure leaves the boot loader as it was.
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
