//! The layer with the modules: `PREFIX/lib/modules/K` with a separate index, and firmware.
//!
//! KMM runs `modprobe -d PREFIX`, which finds only the modules in the index below PREFIX. The packaged
//! modules may depend on the kernel's own modules, so this index contains those too, through the link `host`,
//! which points to the node's `/lib/modules/K`.

use crate::error::Result;
use crate::pack::modules::Modules;
use crate::pack::packer::{Packer, last_line};
use dkms_archive::Member;
use dkms_sys::fs::{self, Limit, TempDir};
use dkms_sys::process::Command;
use std::path::Path;

/// The directory of firmware in an image, which is the value of `firmwarePath` in a Module.
pub(super) const FIRMWARE: &str = "firmware";
/// depmod's default prefers `updates` to all other directories, regardless of this machine's depmod.d(5).
const DEPMOD_CONF: &str = "search updates built-in\n";
/// The directory of the packaged modules below `PREFIX/lib/modules/K`.
const FOLDER: &str = "updates";

/// Returns the members of the layer. `prefix` is relative, such as `opt`.
///
/// # Errors
/// depmod is missing or fails; a file cannot be read.
pub(super) fn members(
    packer: &Packer<'_>,
    modules: &Modules,
    prefix: &str,
    scratch: &Path,
) -> Result<Vec<Member>> {
    let (release, epoch) = (&modules.kernel.release, packer.epoch);
    let module_dir = format!("{prefix}/lib/modules/{release}");
    let mut members = Vec::new();
    for module in &modules.modules {
        let name = format!("{module_dir}/{FOLDER}/{}", module.file.file);
        members.push(Member::file(name, &module.file.path, 0o644, epoch));
    }
    for (name, bytes) in index(packer, modules, scratch)? {
        members.push(Member::bytes(format!("{module_dir}/{name}"), bytes, epoch));
    }
    members.push(Member::link(format!("{module_dir}/host"), format!("/lib/modules/{release}"), epoch));
    for (name, bytes) in &modules.firmware {
        members.push(Member::bytes(format!("{FIRMWARE}/{name}"), bytes.clone(), epoch));
    }
    Ok(members)
}

/// Returns the index and the lists that modprobe reads, with their file names.
fn index(packer: &Packer<'_>, modules: &Modules, scratch: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let depmod = packer.find_program("depmod", "index the modules of an image", "kmod")?;
    let kernel_dir = packer.system.layout.kernel_modules(&modules.kernel.release);
    let scratch = TempDir::new_in(scratch, "index")?;
    let release = &modules.kernel.release;
    let dir = scratch.path().join("lib/modules").join(release);
    let (updates, host) = (dir.join(FOLDER), scratch.path().join("host"));
    fs::create_dir_all(&updates)?;
    for module in &modules.modules {
        fs::copy_file(&module.file.path, updates.join(&module.file.file))?;
    }
    // Index only the modules that every machine with this kernel has, not those that dkms installed here.
    fs::create_dir_all(&host)?;
    let own_modules = kernel_dir.join("kernel");
    if own_modules.is_dir() {
        fs::symlink(fs::canonicalize(own_modules)?, host.join("kernel"))?;
    }
    fs::symlink(&host, dir.join("host"))?;
    copy_lists(&kernel_dir, &dir)?;
    let conf = scratch.path().join("depmod.conf");
    fs::write_atomic(&conf, DEPMOD_CONF.as_bytes(), 0o644)?;
    let command = Command::new(depmod).arg("-b").arg(scratch.path()).arg("-C").arg(&conf).arg(release);
    let shown = format!("depmod -b DIR {release}");
    packer.run(command, &shown, last_line)?;
    let mut files = Vec::new();
    for name in fs::list_dir(&dir)? {
        if let Some(name) = name.to_str().filter(|name| name.starts_with("modules.")) {
            files.push((name.to_owned(), fs::read_bounded(dir.join(name), Limit::INDEX)?));
        }
    }
    Ok(files)
}

/// Copies the lists of the kernel's package: the built-in modules, and the order of the other modules, whose
/// paths begin with `host` in this index.
fn copy_lists(kernel_dir: &Path, dir: &Path) -> Result<()> {
    for name in ["modules.builtin", "modules.builtin.modinfo"] {
        let bytes = fs::read_optional(kernel_dir.join(name), Limit::RECORD)?.unwrap_or_default();
        fs::write_atomic(dir.join(name), &bytes, 0o644)?;
    }
    let order = fs::read_optional(kernel_dir.join("modules.order"), Limit::RECORD)?.unwrap_or_default();
    let order: String =
        String::from_utf8_lossy(&order).lines().map(|line| format!("host/{line}\n")).collect();
    fs::write_atomic(dir.join("modules.order"), order.as_bytes(), 0o644)?;
    Ok(())
}
