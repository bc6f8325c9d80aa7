//! The directory in which preflight builds. It contains the headers of one kernel, and a copy of the sources
//! and of the configuration of dkms.

use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::{IoError, fs};
use dkms_tree::ids::PackageId;
use dkms_tree::layout::Layout;
use dkms_tree::state;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Disables the scripts of packages that change the system.
const NO_SCRIPTS: &str = "\nPRE_INSTALL=\"\"\nPOST_INSTALL=\"\"\nPOST_ADD=\"\"\nPOST_REMOVE=\"\"\n";

/// Overrides the machine's framework.conf, so that modules are not signed or loaded, and no command runs.
const FRAMEWORK: &str = "try_sign_modules=false\npost_transaction=\"\"\nmodprobe_on_install=\"\"\n\
                         symlink_modules=\"\"\nsource_tree=/usr/src\ndkms_tree=/var/lib/dkms\n\
                         install_tree=/lib/modules\n";

/// Adds the files that a build needs to the unpacked headers.
pub(super) fn prepare(layout: &Layout, root: &Path, release: &str) -> Result<()> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    for dir in ["/etc/dkms", "/usr/src", "/var/lib/dkms", "/tmp"] {
        fs::create_dir_all(below(dir))?;
    }
    link_headers(root, release)?;
    for file in ["/etc/os-release", "/usr/lib/os-release", "/etc/machine-id"] {
        // Links are copied as links.
        if fs::exists(file) && !fs::exists(below(file)) {
            let to = below(file);
            fs::create_dir_all(to.parent().unwrap_or(root))?;
            fs::copy_tree(file, to)?;
        }
    }
    if fs::is_dir(&layout.config_dir) {
        fs::copy_tree(&layout.config_dir, below("/etc/dkms"))?;
    }
    // This file disables autoinstall on the machine, but not here.
    fs::remove_tree(below("/etc/dkms/no-autoinstall"))?;
    for package in state::all_packages(layout) {
        let source = layout.source_link(&package);
        if !fs::is_dir(&source) {
            continue;
        }
        let place = format!("/usr/src/{}-{}", package.name, package.version);
        fs::copy_tree(&source, below(&place))?;
        let link = below("/var/lib/dkms").join(&package.name).join(&package.version).join("source");
        fs::create_dir_all(link.parent().unwrap_or(root))?;
        symlink(&place, &link).map_err(|e| IoError::new("create", &link, e))?;
        append(&below("/etc/dkms").join(format!("{}.conf", package.name)), NO_SCRIPTS)?;
    }
    disable_scripts_in_overrides(&below("/etc/dkms"))?;
    let framework = below("/etc/dkms/framework.conf.d");
    fs::create_dir_all(&framework)?;
    fs::write_atomic(framework.join("zzz-preflight.conf"), FRAMEWORK.as_bytes(), 0o644)?;
    Ok(())
}

/// Creates `/lib/modules/K/build` if the packages of the headers do not contain it. On some systems, it is
/// part of the kernel's package.
fn link_headers(root: &Path, release: &str) -> Result<()> {
    let trees = ["lib/modules", "usr/lib/modules"].map(|tree| root.join(tree));
    let tree = trees.iter().find(|tree| fs::is_dir(tree)).unwrap_or(&trees[1]);
    let build = tree.join(release).join("build");
    if !fs::exists(&build) {
        fs::create_dir_all(tree.join(release))?;
        let headers = ["kernels/", "linux-headers-"].map(|place| format!("usr/src/{place}{release}"));
        if let Some(headers) = headers.iter().find(|dir| fs::is_dir(root.join(dir))) {
            symlink(Path::new("/").join(headers), &build).map_err(|e| IoError::new("create", &build, e))?;
        }
    }
    let lib = root.join("lib");
    if !fs::exists(&lib) {
        symlink("usr/lib", &lib).map_err(|e| IoError::new("create", &lib, e))?;
    }
    Ok(())
}

/// Disables scripts in the administrator's overrides for versions and kernels, too. They are read after the
/// overrides for packages.
fn disable_scripts_in_overrides(dir: &Path) -> Result<()> {
    for name in fs::list_dir_optional(dir)? {
        let path: PathBuf = dir.join(&name);
        let is_override = name.to_str().is_some_and(|n| n.ends_with(".conf") && n != "framework.conf");
        if is_override && fs::is_file(&path) {
            append(&path, NO_SCRIPTS)?;
        }
    }
    Ok(())
}

/// Appends a text to a file, unless the file ends with it.
fn append(file: &Path, text: &str) -> Result<()> {
    let content = fs::read_optional(file, fs::Limit::CONFIG)?.unwrap_or_default();
    if content.ends_with(text.as_bytes()) {
        return Ok(());
    }
    Ok(fs::write_atomic(file, &[&content, text.as_bytes()].concat(), 0o644)?)
}

/// Returns whether one of these names is the name of the package or of one of its modules.
pub(super) fn has_name(system: &System, sink: &dyn Sink, package: &PackageId, names: &[&str]) -> bool {
    let kernel = system.host.kernel().map_err(Into::into);
    let conf =
        kernel.and_then(|kernel| load::load(system, sink, package, &kernel)).and_then(load::Loaded::lenient);
    names.contains(&package.name.as_str())
        || conf.is_ok_and(|loaded| loaded.conf.modules.iter().any(|m| names.contains(&m.dest_name.as_str())))
}
