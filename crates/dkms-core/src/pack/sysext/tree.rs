//! The files of an extension.

use crate::error::Result;
use crate::pack::modules::Modules;
use crate::pack::output::directory;
use dkms_sys::fs;
use std::collections::BTreeSet;
use std::path::Path;

/// The service that generates the index, and its program. They are part of the extension because the system
/// may not have dkms.
const SERVICE: &str = "dkms-sysext.service";
const SERVICE_TEXT: &str = include_str!("../../../../../packaging/systemd/dkms-sysext.service");
const PROGRAM: &str = "usr/lib/dkms/sysext-index";
const PROGRAM_TEXT: &str = include_str!("../../../../../packaging/systemd/sysext-index");
const UNITS: &str = "usr/lib/systemd/system";
/// Starts the service as soon as systemd has loaded the unit. With `Wants=` in a target that is already
/// active, systemd would not start it.
const UPHOLDS: &str = "[Unit]\nUpholds=dkms-sysext.service\n";

/// Creates the extension `name` in the directory `root`. `release` is the text of its `extension-release`;
/// with `load`, its modules are loaded at boot.
pub(super) fn fill(root: &Path, name: &str, all: &[Modules], release: &str, load: bool) -> Result<()> {
    let write = |place: &str, bytes: &[u8], mode: u32| -> Result<()> {
        let path = root.join(place);
        fs::create_dir_all(directory(&path))?;
        Ok(fs::write_atomic(path, bytes, mode)?)
    };
    write(&format!("usr/lib/extension-release.d/extension-release.{name}"), release.as_bytes(), 0o644)?;
    write(PROGRAM, PROGRAM_TEXT.as_bytes(), 0o755)?;
    write(&format!("{UNITS}/{SERVICE}"), SERVICE_TEXT.as_bytes(), 0o644)?;
    write(&format!("{UNITS}/multi-user.target.d/10-dkms-sysext.conf"), UPHOLDS.as_bytes(), 0o644)?;
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
            write(&format!("usr/lib/firmware/{name}"), bytes, 0o644)?;
        }
        roots.extend(modules.roots().map(|module| module.name.as_str().to_owned()));
    }
    if load {
        let lines: String = roots.iter().map(|name| format!("{name}\n")).collect();
        write(&format!("usr/lib/modules-load.d/dkms-{name}.conf"), lines.as_bytes(), 0o644)?;
    }
    Ok(())
}
