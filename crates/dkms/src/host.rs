//! Facts about this machine and its environment.

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

/// Variables that give access to secrets, which only dkms itself may use.
const SECRET: [&str; 2] = ["KBUILD_SIGN_PIN", "CREDENTIALS_DIRECTORY"];

/// Removes the pass phrase of the signing key from the environment and returns it. dkms does this first,
/// because every process that it starts would inherit the variable.
pub(crate) fn take_pin() -> Option<Secret> {
    let pin = dkms_sys::secret::take_variable("KBUILD_SIGN_PIN")?;
    (!pin.bytes().is_empty()).then(|| pin.into())
}

/// Whether the terminal cannot move its cursor, so that it cannot show a live view.
pub(crate) fn has_dumb_terminal() -> bool {
    std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}

/// Gathers the facts about this machine, or about the system of `--root`.
///
/// # Errors
/// The release of the running kernel is not a valid directory name.
pub(crate) fn gather(other: Option<&Entered>, pin: Option<Secret>) -> Result<Host, BadName> {
    let uname = dkms_sys::sys::uname();
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, _)| !UNSET.iter().chain(&SECRET).any(|unset| name == OsStr::new(unset)))
        .filter(|(name, _)| name != "PATH" && name != "BASH_ENV" && name != "ENV")
        .collect();
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    // Package managers run hooks with a short PATH; depmod and modprobe are in sbin.
    for dir in ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !std::env::split_paths(&path).any(|other| other == Path::new(dir)) {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(dir);
        }
    }
    environment.push(("PATH".into(), path.clone()));
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let secrets = Secrets::new(
        other.map_or_else(
            || variable("CREDENTIALS_DIRECTORY").map(Into::into),
            |root| root.credentials.clone(),
        ),
        pin,
    );
    Ok(Host {
        // In an image, `recognise_image` sets this later, when the trees are known.
        release: Release::new(&uname.release)?,
        machine: uname.machine,
        distribution: Distribution::detect(Path::new("/")),
        environment,
        path,
        cpus: dkms_sys::sys::nproc(),
        chroot: None,
        container: false,
        image: None,
        root: other.map_or_else(|| dkms_sys::sys::effective_uid() == 0, |root| root.by_root),
        other_root: other.map(|root| root.path.clone()),
        command: command(),
        secrets,
        package_manager_run: None,
        addon_modules_dir: addon_modules_dir(),
    })
}

/// Whether standard output is a terminal with colours, and the user has not switched them off
/// (<https://no-color.org>).
pub(crate) fn shows_colours() -> bool {
    let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_off && !has_dumb_terminal() && dkms_sys::sys::is_terminal(1)
}

/// The first 200 characters of the command line, for messages.
fn command() -> String {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    format!("dkms {}", words.join(" ")).chars().take(200).collect()
}

/// `ADDON_MODULES_DIR` from the environment, or from `/etc/sysconfig/module-init-tools`.
fn addon_modules_dir() -> Option<String> {
    if let Some(dir) = std::env::var("ADDON_MODULES_DIR").ok().filter(|dir| !dir.is_empty()) {
        return Some(dir);
    }
    let text = dkms_sys::fs::read_text("/etc/sysconfig/module-init-tools", Limit::CONFIG).ok()?;
    text.lines().rev().find_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        let value = line.strip_prefix("ADDON_MODULES_DIR=")?;
        Some(value.trim_matches(['"', '\'']).to_owned()).filter(|dir| !dir.is_empty())
    })
}

/// The default architecture of a kernel: that of its configuration if the kernel is for another machine, else
/// that of its rpm package, else that of the machine.
pub(crate) fn arch_of(system: &System, release: &str) -> String {
    let usual = arch_of_package(&system.host, &system.layout.install_tree, release);
    arch_of_config(&system.layout, &system.settings, release, usual)
}

/// Like [`arch_of`], if the architecture of the package or machine is already known: `usual`.
pub(crate) fn arch_of_config(layout: &Layout, settings: &Settings, release: &str, usual: String) -> String {
    let other = machine::of_kernel(layout, settings, release).filter(|machine| !machine.is_named(&usual));
    other.map_or(usual, |machine| machine.name.to_owned())
}

/// The architecture of a kernel's rpm package; without one, that of the machine.
pub(crate) fn arch_of_package(host: &Host, install_tree: &Path, release: &str) -> String {
    let family = host.distribution.as_ref().map(|known| known.family());
    if matches!(family, Some(Family::Debian | Family::Ubuntu | Family::Arch | Family::Gentoo)) {
        return host.machine.clone();
    }
    let Some(rpm) = dkms_sys::process::which("rpm", &host.path) else { return host.machine.clone() };
    let result = Command::new(rpm)
        .args(["-q", "--queryformat", "%{NAME} %{ARCH}\\n", "-f"])
        .arg(install_tree.join(release))
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .run();
    let Ok(done) = result else { return host.machine.clone() };
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, arch)| name.contains("kernel") && !arch.contains(' '))
        .map_or_else(|| host.machine.clone(), |(_, arch)| arch.trim().to_owned())
}
