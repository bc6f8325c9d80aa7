//! The layer with the modules: `PREFIX/lib/modules/K` with a separate index, and firmware.
//!
//! KMM loads with `modprobe -d PREFIX`, which finds only the modules in the index below PREFIX. The kernel's
//! own modules, on which the packaged modules may depend, are therefore in it too: through the link `host`,
//! which leads to the node's `/lib/modules/K`.

use crate::error::Result;
use crate::event::Sink;
use crate::pack::modules::Modules;
use crate::pack::{last_line, tool};
use crate::program::ProgramError;
use crate::system::System;
use dkms_archive::Member;
use dkms_sys::fs::{self, Limit, TempDir};
use dkms_sys::process::{self, Command};
use std::path::Path;

/// The directory of firmware in an image. It is the value of `firmwarePath` in a Module.
pub(super) const FIRMWARE: &str = "firmware";
/// depmod's default prefers `updates` to all other directories, regardless of this machine's depmod.d(5).
const DEPMOD_CONF: &str = "search updates built-in\n";
/// The folder of our modules below `PREFIX/lib/modules/K`.
const FOLDER: &str = "updates";

/// The members of the layer. `prefix` is relative: `opt`.
///
/// # Errors
/// depmod is missing or fails; a file cannot be read.
pub(super) fn members(
    system: &System,
    sink: &dyn Sink,
    modules: &Modules,
    prefix: &str,
    scratch: &Path,
    epoch: u64,
) -> Result<Vec<Member>> {
    let release = &modules.kernel.release;
    let kernel_modules = system.layout.kernel_modules(release);
    let home = format!("{prefix}/lib/modules/{release}");
    let mut members = Vec::new();
    for module in &modules.modules {
        let name = format!("{home}/{FOLDER}/{}", module.file.file);
        members.push(Member::file(name, &module.file.path, 0o644, epoch));
    }
    for (name, bytes) in index(system, sink, modules, &kernel_modules, scratch, epoch)? {
        members.push(Member::bytes(format!("{home}/{name}"), bytes, epoch));
    }
    members.push(Member::link(format!("{home}/host"), format!("/lib/modules/{release}"), epoch));
    for (name, bytes) in &modules.firmware {
        members.push(Member::bytes(format!("{FIRMWARE}/{name}"), bytes.clone(), epoch));
    }
    Ok(members)
}

/// The index and the lists that modprobe reads, by name.
fn index(
    system: &System,
    sink: &dyn Sink,
    modules: &Modules,
    kernel_modules: &Path,
    scratch: &Path,
    epoch: u64,
) -> Result<Vec<(String, Vec<u8>)>> {
    let Some(depmod) = process::which("depmod", &system.host.path) else {
        return Err(ProgramError::Missing {
            program: "depmod".into(),
            purpose: "index the modules of an image".into(),
            package: "kmod".into(),
        }
        .into());
    };
    let scratch = TempDir::new_in(scratch, "index")?;
    let release = &modules.kernel.release;
    let dir = scratch.path().join("lib/modules").join(release);
    let (updates, host) = (dir.join(FOLDER), scratch.path().join("host"));
    fs::create_dir_all(&updates)?;
    for module in &modules.modules {
        fs::copy_file(&module.file.path, updates.join(&module.file.file))?;
    }
    // Include only modules that every machine with this kernel has, not modules that dkms installed on this
    // machine.
    fs::create_dir_all(&host)?;
    let own_modules = kernel_modules.join("kernel");
    if own_modules.is_dir() {
        fs::symlink(fs::canonicalize(own_modules)?, host.join("kernel"))?;
    }
    fs::symlink(&host, dir.join("host"))?;
    lists(kernel_modules, &dir)?;
    let conf = scratch.path().join("depmod.conf");
    fs::write_atomic(&conf, DEPMOD_CONF.as_bytes(), 0o644)?;
    let command = Command::new(depmod).arg("-b").arg(scratch.path()).arg("-C").arg(&conf).arg(release);
    let shown = format!("depmod -b DIR {release}");
    tool(system, sink, command, &shown, epoch, last_line)?;
    let mut files = Vec::new();
    for name in fs::list_dir(&dir)? {
        if let Some(name) = name.to_str().filter(|name| name.starts_with("modules.")) {
            files.push((name.to_owned(), fs::read_bounded(dir.join(name), Limit::INDEX)?));
        }
    }
    Ok(files)
}

/// Copies the lists of the kernel's package: which modules are built in, and the order of the others, whose
/// paths begin with `host` here.
fn lists(kernel_modules: &Path, dir: &Path) -> Result<()> {
    for name in ["modules.builtin", "modules.builtin.modinfo"] {
        let bytes = fs::read_optional(kernel_modules.join(name), Limit::RECORD)?.unwrap_or_default();
        fs::write_atomic(dir.join(name), &bytes, 0o644)?;
    }
    let order = fs::read_optional(kernel_modules.join("modules.order"), Limit::RECORD)?.unwrap_or_default();
    let order: String =
        String::from_utf8_lossy(&order).lines().map(|line| format!("host/{line}\n")).collect();
    fs::write_atomic(dir.join("modules.order"), order.as_bytes(), 0o644)?;
    Ok(())
}
