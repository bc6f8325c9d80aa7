//! The work at the end of a command, after all changes: modprobe_on_install and post_transaction.

use crate::event::Sink;
use crate::host::Host;
use crate::system::System;
use dkms_sys::fs;
use dkms_sys::process::{Command, Stdin, Stream, which};
use dkms_tree::ids::Kernel;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Runs the work at the end of a command that changed the modules of the kernels `changed`: post_transaction
/// and, if modules of the running kernel were `installed`, modprobe_on_install.
pub fn once_per_command(system: &System, sink: &dyn Sink, changed: &[Kernel], installed: bool) {
    let Some(first) = changed.first() else { return };
    if installed
        && system.settings.modprobe_on_install
        && changed.iter().any(|k| system.host.runs(&k.release))
    {
        load_modules(&system.host, sink);
    }
    // framework.conf is evaluated with the first changed kernel as $kernelver.
    match crate::conf::framework::load(system, sink, Some(&first.release)) {
        Ok(framework) => {
            let command = framework.post_transaction.as_deref().filter(|command| !command.trim().is_empty());
            if let Some(command) = command {
                crate::hooks::post_transaction(system, sink, command);
            }
        }
        Err(e) => sink.warn(format!("post_transaction was not run: {e}")),
    }
}

/// Loads the modules for the hardware of this machine.
fn load_modules(host: &Host, sink: &dyn Sink) {
    let mut aliases: BTreeSet<String> = BTreeSet::new();
    let mut pending = vec![PathBuf::from("/sys/devices")];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    let text = fs::read_text(entry.path(), fs::Limit::CONFIG).unwrap_or_default();
                    aliases.extend(Some(text.trim().to_owned()).filter(|alias| !alias.is_empty()));
                }
                _ => {}
            }
        }
    }
    let Some(modprobe) = which("modprobe", &host.path) else {
        return sink.warn("--modprobe-on-install: modprobe is not installed");
    };
    let aliases: Vec<String> = aliases.into_iter().collect();
    for part in aliases.chunks(500) {
        let command = Command::new(&modprobe).args(["-a", "-b", "-q"]).args(part).stdin(Stdin::Null);
        // The result is ignored: modprobe fails if any alias has no module, which is usual.
        let _ = command.stdout(Stream::Null).stderr(Stream::Null).run();
    }
    let service = "systemd-modules-load.service";
    let units = ["/lib/systemd/system", "/usr/lib/systemd/system"];
    if units.iter().any(|dir| Path::new(dir).join(service).is_file()) {
        if let Some(systemctl) = which("systemctl", &host.path) {
            let command = Command::new(systemctl).args(["restart", service]);
            let _ = command.stdout(Stream::Null).stderr(Stream::Null).run();
        }
    }
}
