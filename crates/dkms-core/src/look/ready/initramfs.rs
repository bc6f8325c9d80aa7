//! Modules that the running kernel loads before the root file system is mounted must be in the next kernel's
//! initramfs too.

use super::report::Report;
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use kmodule::ModuleName;
use kmodule::verdict::Outcome;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The paths where distributions install a kernel's initramfs: Debian and Ubuntu; Fedora and RHEL; SUSE; the
/// layouts of kernel-install.
fn candidates(layout: &Layout, release: &str) -> Vec<PathBuf> {
    let boot = &layout.boot_dir;
    let mut found = vec![
        boot.join(format!("initrd.img-{release}")),
        boot.join(format!("initramfs-{release}.img")),
        boot.join(format!("initrd-{release}")),
        layout.kernel_modules(release).join("initrd"),
    ];
    let id = dkms_sys::fs::read_text("/etc/machine-id", dkms_sys::fs::Limit::CONFIG).unwrap_or_default();
    for dir in [boot.clone(), boot.join("efi"), "/efi".into()] {
        found.push(dir.join(id.trim()).join(release).join("initrd"));
    }
    // Arch names the files after the kernel's package.
    let base =
        dkms_sys::fs::read_text(layout.kernel_modules(release).join("pkgbase"), dkms_sys::fs::Limit::CONFIG)
            .unwrap_or_default();
    if !base.trim().is_empty() {
        found.push(boot.join(format!("initramfs-{}.img", base.trim())));
    }
    found
}

/// Limit of the size of the unpacked content.
const INITRAMFS: dkms_sys::fs::Limit = dkms_sys::fs::Limit::bytes(kmodule::initramfs::LIMIT);

enum Seen {
    None,
    Modules(PathBuf, BTreeSet<ModuleName>),
    Unreadable(String),
}

fn inspect(layout: &Layout, release: &str) -> Seen {
    let Some(path) = candidates(layout, release).into_iter().find(|p| p.exists()) else { return Seen::None };
    let unreadable = |why: String| Seen::Unreadable(format!("{}: {why}", path.display()));
    let file = match dkms_sys::fs::open_bounded(&path, INITRAMFS) {
        Ok(file) => file,
        Err(e) => return Seen::Unreadable(e.to_string()),
    };
    match kmodule::initramfs::module_names(&mut std::io::BufReader::with_capacity(1 << 16, file)) {
        Ok(found) => {
            let of_this = found.into_iter().filter(|(r, _)| r == release).map(|(_, name)| name).collect();
            Seen::Modules(path, of_this)
        }
        Err(e) => unreadable(e.to_string()),
    }
}

/// Compares the images of the two kernels for the required modules, by the kernel's names for them.
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
    let early: Vec<&ModuleName> = match inspect(layout, &running.release) {
        Seen::None => return,
        Seen::Unreadable(why) => {
            return report.note(None, Outcome::Unknown, why, Some("ask again as root"));
        }
        Seen::Modules(_, names) => required.iter().filter(|name| names.contains(*name)).collect(),
    };
    if early.is_empty() {
        return;
    }
    let help =
        format!("rebuild it: update-initramfs -u -k {0}, or dracut --force --kver {0}", kernel.release);
    match inspect(layout, &kernel.release) {
        Seen::None => {
            let what = "it has no initramfs, and the running kernel's holds required modules";
            report.note(None, Outcome::Refused, what, Some(&help));
        }
        Seen::Unreadable(why) => report.note(None, Outcome::Unknown, why, Some("ask again as root")),
        Seen::Modules(path, names) => {
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
