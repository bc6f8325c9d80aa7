//! Modules that the running kernel loads before the root file system is mounted must be in the next kernel's
//! initramfs too.

use super::report::Report;
use dkms_sys::fs::{Limit, read_text};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use kmodule::ModuleName;
use kmodule::verdict::Outcome;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Returns the paths where distributions install a kernel's initramfs: Debian and Ubuntu; Fedora and RHEL;
/// SUSE; the layouts of kernel-install; Arch.
fn possible_paths(layout: &Layout, release: &str) -> Vec<PathBuf> {
    let boot = &layout.boot_dir;
    let mut paths = vec![
        boot.join(format!("initrd.img-{release}")),
        boot.join(format!("initramfs-{release}.img")),
        boot.join(format!("initrd-{release}")),
        layout.kernel_modules(release).join("initrd"),
    ];
    let machine_id = read_text("/etc/machine-id", Limit::CONFIG).unwrap_or_default();
    for dir in [boot.clone(), boot.join("efi"), "/efi".into()] {
        paths.push(dir.join(machine_id.trim()).join(release).join("initrd"));
    }
    // Arch names the files after the kernel's package.
    let package =
        read_text(layout.kernel_modules(release).join("pkgbase"), Limit::CONFIG).unwrap_or_default();
    if !package.trim().is_empty() {
        paths.push(boot.join(format!("initramfs-{}.img", package.trim())));
    }
    paths
}

/// Limit of the size of the unpacked content.
const INITRAMFS: Limit = Limit::bytes(kmodule::initramfs::LIMIT);

/// The initramfs of a kernel.
enum Image {
    Missing,
    /// Its path, and its modules for this kernel.
    Modules(PathBuf, BTreeSet<ModuleName>),
    Unreadable(String),
}

fn read_image(layout: &Layout, release: &str) -> Image {
    let Some(path) = possible_paths(layout, release).into_iter().find(|path| path.exists()) else {
        return Image::Missing;
    };
    let file = match dkms_sys::fs::open_bounded(&path, INITRAMFS) {
        Ok(file) => file,
        Err(e) => return Image::Unreadable(e.to_string()),
    };
    match kmodule::initramfs::module_names(&mut std::io::BufReader::with_capacity(1 << 16, file)) {
        Ok(names) => {
            let names = names.into_iter().filter(|(kernel, _)| kernel == release);
            Image::Modules(path, names.map(|(_, name)| name).collect())
        }
        Err(e) => Image::Unreadable(format!("{}: {e}", path.display())),
    }
}

/// Reports which of the required modules are in the initramfs of the running kernel, but not in that of
/// `kernel`.
pub(super) fn compare(
    layout: &Layout,
    running: &Kernel,
    kernel: &Kernel,
    required: &[ModuleName],
    report: &mut Report,
) {
    if required.is_empty() || running.release == kernel.release {
        return;
    }
    let early: Vec<&ModuleName> = match read_image(layout, &running.release) {
        Image::Missing => return,
        Image::Unreadable(why) => {
            return report.note(None, Outcome::Unknown, why, Some("try again as root"));
        }
        Image::Modules(_, names) => required.iter().filter(|name| names.contains(*name)).collect(),
    };
    if early.is_empty() {
        return;
    }
    let help =
        format!("rebuild it: update-initramfs -u -k {0}, or dracut --force --kver {0}", kernel.release);
    match read_image(layout, &kernel.release) {
        Image::Missing => {
            let what = "it has no initramfs, but the running kernel's initramfs contains required modules";
            report.note(None, Outcome::Refused, what, Some(&help));
        }
        Image::Unreadable(why) => report.note(None, Outcome::Unknown, why, Some("try again as root")),
        Image::Modules(path, names) => {
            for name in early {
                let (answer, what) = if names.contains(name) {
                    (Outcome::Loads, format!("is in {}", path.display()))
                } else {
                    (
                        Outcome::Refused,
                        format!("is in the running kernel's initramfs, but not in {}", path.display()),
                    )
                };
                let help = (answer == Outcome::Refused).then_some(help.as_str());
                report.note(Some(name.as_str()), answer, what, help);
            }
        }
    }
}
