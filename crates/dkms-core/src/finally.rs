//! Runs once at the end of a command, after everything is in place: modprobe_on_install and post_transaction.

use crate::event::Sink;
use crate::host::Host;
use crate::system::System;
use dkms_sys::process::{Command, Stdin, Stream};
use dkms_tree::ids::Kernel;

/// Runs modprobe_on_install for the running kernel, and post_transaction, once.
pub fn once_per_command(system: &System, sink: &dyn Sink, changed: &[Kernel], installed: bool) {
    let Some(first) = changed.first() else { return };
    if installed
        && system.settings.modprobe_on_install
        && changed.iter().any(|k| system.host.runs(&k.release))
    {
        load_modules(&system.host, sink);
    }
    // Its $kernelver is the first kernel that changed.
    match crate::conf::framework::load(system, sink, Some(&first.release)) {
        Ok(f) => {
            if let Some(command) = f.post_transaction.as_deref().filter(|c| !c.trim().is_empty()) {
                crate::hooks::post_transaction(system, sink, command);
            }
        }
        Err(e) => sink.warn(format!("post_transaction was not run: {e}")),
    }
}

/// Loads the modules for the hardware of this machine.
fn load_modules(host: &Host, sink: &dyn Sink) {
    let mut aliases: Vec<String> = Vec::new();
    let mut pending = vec![std::path::PathBuf::from("/sys/devices")];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = dkms_sys::fs::read_dir(&dir) else { continue };
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    aliases.extend(
                        dkms_sys::fs::read_text(entry.path(), dkms_sys::fs::Limit::CONFIG)
                            .ok()
                            .map(|text| text.trim().to_owned()),
                    );
                }
                _ => {}
            }
        }
    }
    aliases.retain(|a| !a.is_empty());
    aliases.sort_unstable();
    aliases.dedup();
    let Some(modprobe) = dkms_sys::process::which("modprobe", &host.path) else {
        return sink.warn("--modprobe-on-install: modprobe is not installed");
    };
    for some in aliases.chunks(500) {
        let command = Command::new(&modprobe).args(["-a", "-b", "-q"]).args(some).stdin(Stdin::Null);
        // modprobe fails if any alias has no module, which is usual.
        let _ = command.stdout(Stream::Null).stderr(Stream::Null).run();
    }
    let service = "systemd-modules-load.service";
    let units = ["/lib/systemd/system", "/usr/lib/systemd/system"];
    if units.iter().any(|d| std::path::Path::new(d).join(service).is_file()) {
        if let Some(systemctl) = dkms_sys::process::which("systemctl", &host.path) {
            let _ = Command::new(systemctl)
                .args(["restart", service])
                .stdout(Stream::Null)
                .stderr(Stream::Null)
                .run();
        }
    }
}
