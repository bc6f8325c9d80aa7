//! The files of an extension.

use crate::error::Result;
use crate::pack::modules::Modules;
use dkms_sys::fs;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The service that generates the index, and its program. A system with dkms has both as well; those of an
/// extension serve the others.
const SERVICE: &str = "dkms-sysext.service";
const SERVICE_TEXT: &str = include_str!("../../../../../packaging/systemd/dkms-sysext.service");
const PROGRAM: &str = "usr/lib/dkms/sysext-index";
const PROGRAM_TEXT: &str = include_str!("../../../../../packaging/systemd/sysext-index");
const UNITS: &str = "usr/lib/systemd/system";
/// Starts the service as soon as systemd has loaded the unit. With `Wants=` in a target that is already
/// active, systemd would not start it.
const UPHOLDS: &str = "[Unit]\nUpholds=dkms-sysext.service\n";

/// Creates the extension `name` in the directory `root`.
pub(super) fn fill(root: &Path, name: &str, all: &[Modules], release: &str, load: bool) -> Result<()> {
    let text = |place: &str, text: &str, mode: u32| -> Result<()> {
        let path = root.join(place);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::create_new(path, text.as_bytes(), mode)?;
        Ok(())
    };
    text(&format!("usr/lib/extension-release.d/extension-release.{name}"), release, 0o644)?;
    text(PROGRAM, PROGRAM_TEXT, 0o755)?;
    text(&format!("{UNITS}/{SERVICE}"), SERVICE_TEXT, 0o644)?;
    text(&format!("{UNITS}/multi-user.target.d/10-dkms-sysext.conf"), UPHOLDS, 0o644)?;
    let mut roots = BTreeSet::new();
    for modules in all {
        // A separate directory, so that another extension cannot hide a file of this extension.
        let dir = root.join("usr/lib/modules").join(&modules.kernel.release).join("updates").join(name);
        fs::create_dir_all(&dir)?;
        for module in &modules.modules {
            let path = dir.join(&module.file.file);
            fs::copy_file(&module.file.path, &path)?;
            fs::set_mode(path, 0o644)?;
        }
        for (name, bytes) in &modules.firmware {
            let path = root.join("usr/lib/firmware").join(name);
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write_atomic(path, bytes, 0o644)?;
        }
        roots.extend(modules.roots().map(|module| module.name.as_str().to_owned()));
    }
    if load {
        let lines: String = roots.iter().map(|name| format!("{name}\n")).collect();
        text(&format!("usr/lib/modules-load.d/dkms-{name}.conf"), &lines, 0o644)?;
    }
    Ok(())
}

/// Sets the time of a directory and everything in it, in seconds since 1970.
pub(super) fn set_times(path: &Path, epoch: u64) -> Result<()> {
    if fs::is_real_dir(path) {
        fs::set_mode(path, 0o755)?;
        for name in fs::list_dir(path)? {
            set_times(&path.join(name), epoch)?;
        }
    }
    let time =
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(epoch)).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(fs::set_modified(path, time)?)
}
