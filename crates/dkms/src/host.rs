//! Facts about this machine. This is the only module that reads the environment.

use crate::root::Entered;
use dkms_core::distro::{Distribution, Family};
use dkms_core::host::Host;
use dkms_core::kernel::machine;
use dkms_core::secret::{Secret, Secrets};
use dkms_core::system::{Settings, System};
use dkms_sys::fs::Limit;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::{BadName, Release};
use dkms_tree::layout::Layout;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Variables of the caller that must not reach a build.
const UNSET: [&str; 14] = [
    "CC",
    "CXX",
    "LD",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "KERNEL_CC",
    "KERNEL_LD",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "sub_make_done",
];

/// Variables that lead to secrets, which only dkms itself may use.
const SECRET: [&str; 2] = ["KBUILD_SIGN_PIN", "CREDENTIALS_DIRECTORY"];

/// Removes the signing key's pass phrase from the environment and returns it.
///
/// dkms does this first, because every process it starts would inherit the variable.
pub(crate) fn take_pin() -> Option<Secret> {
    let pin = dkms_sys::secret::take_variable("KBUILD_SIGN_PIN")?;
    (!pin.bytes().is_empty()).then(|| pin.into())
}

/// Whether the terminal cannot move its cursor, so that a live view would fill it with lines.
pub(crate) fn has_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}

/// Gathers the facts about this machine, or about the other root.
///
/// # Errors
/// The release of the running kernel is not a valid directory name.
pub(crate) fn gather(other: Option<&Entered>, pin: Option<Secret>) -> Result<Host, BadName> {
    let uname = dkms_sys::sys::uname();
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(k, _)| !UNSET.iter().chain(&SECRET).any(|u| k == OsStr::new(u)))
        .filter(|(k, _)| k != "BASH_ENV" && k != "ENV")
        .collect();
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    // Package managers run hooks with a short PATH; depmod and modprobe are in sbin.
    for dir in ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !std::env::split_paths(&path).any(|p| p == Path::new(dir)) {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(dir);
        }
    }
    environment.retain(|(k, _)| k != "PATH");
    environment.push(("PATH".into(), path.clone()));
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let secrets = Secrets::new(
        other.map_or_else(|| variable("CREDENTIALS_DIRECTORY").map(Into::into), |o| o.credentials.clone()),
        pin,
    );
    Ok(Host {
        // In an image, the default kernel is chosen when its trees are known.
        release: Release::new(&uname.release)?,
        machine: uname.machine,
        distribution: Distribution::detect(Path::new("/")),
        environment,
        path,
        cpus: dkms_sys::sys::nproc(),
        chroot: None,
        container: false,
        image: None,
        root: other.map_or_else(|| dkms_sys::sys::effective_uid() == 0, |o| o.by_root),
        other_root: other.map(|o| o.path.clone()),
        command: command(),
        secrets,
        package_manager_run: None,
        addon_modules_dir: addon_modules_dir(),
    })
}

/// Whether standard output is a terminal that shows colours, and whether they are not switched off
/// (<https://no-color.org>).
pub(crate) fn shows_colours() -> bool {
    let off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !off && !has_dumb_terminal() && dkms_sys::sys::is_terminal(1)
}

/// The beginning of the command line, for messages.
fn command() -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned()).collect();
    format!("dkms {}", words.join(" ")).chars().take(200).collect()
}

/// `ADDON_MODULES_DIR` of the environment, else of `/etc/sysconfig/module-init-tools`.
fn addon_modules_dir() -> Option<String> {
    if let Some(dir) = std::env::var("ADDON_MODULES_DIR").ok().filter(|d| !d.is_empty()) {
        return Some(dir);
    }
    let text = dkms_sys::fs::read_text("/etc/sysconfig/module-init-tools", Limit::CONFIG).ok()?;
    text.lines().rev().find_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        let value = line.strip_prefix("ADDON_MODULES_DIR=")?;
        Some(value.trim_matches(|c| c == '"' || c == '\'').to_owned()).filter(|v| !v.is_empty())
    })
}

/// The default architecture of a kernel: that of its configuration if it is for another machine; that of its
/// rpm package if there is one; else the machine's.
pub(crate) fn arch_of(system: &System, release: &str) -> String {
    arch_of_config(
        &system.layout,
        &system.settings,
        release,
        arch_of_package(&system.host, &system.layout.install_tree, release),
    )
}

/// The same, if `usual` is the one of its package or machine.
pub(crate) fn arch_of_config(layout: &Layout, settings: &Settings, release: &str, usual: String) -> String {
    let other = machine::of_kernel(layout, settings, release).filter(|machine| !machine.is_named(&usual));
    other.map_or(usual, |machine| machine.name.to_owned())
}

/// The architecture of a kernel's rpm package; without one, the machine's.
pub(crate) fn arch_of_package(host: &Host, install_tree: &Path, release: &str) -> String {
    let family = host.distribution.as_ref().map(|d| d.family());
    if matches!(family, Some(Family::Debian | Family::Ubuntu | Family::Arch | Family::Gentoo)) {
        return host.machine.clone();
    }
    let Some(rpm) = dkms_sys::process::which("rpm", &host.path) else { return host.machine.clone() };
    let asked = Command::new(rpm)
        .args(["-q", "--queryformat", "%{NAME} %{ARCH}\\n", "-f"])
        .arg(install_tree.join(release))
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .run();
    let Ok(done) = asked else { return host.machine.clone() };
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines()
        .filter_map(|l| l.split_once(' '))
        .find(|(name, arch)| name.contains("kernel") && !arch.contains(' '))
        .map_or_else(|| host.machine.clone(), |(_, arch)| arch.trim().to_owned())
}
