//! `dkms preflight`: checks whether the packages of the tree build for the kernels that the package manager
//! offers next.
//!
//! The package manager downloads the headers and checks their signatures (`manager`). Nothing is installed.
//! The headers are unpacked into a directory (`scratch`), which gets a copy of the tree's sources and of the
//! configuration, without the scripts that change the system. A second dkms runs `autoinstall` for this
//! directory, with `--root`. The directory is deleted at the end.

mod apt;
mod dnf;
mod manager;
mod pacman;
mod report;
mod run;
mod scratch;
mod zypper;

pub use report::{KernelReport, PackageReport, PackageState, Report};

use crate::distro::{Distribution, Family};
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::look::verify::Outcome;
use crate::program::ProgramError;
use crate::system::System;
use dkms_sys::fs::TempDir;
use dkms_sys::process::which;
use dkms_tree::state;
use manager::Manager;
use std::path::Path;

/// Checks the named kernels; if none are named, the kernels that the package manager offers. `dkms` is the
/// path of this program. Problems with a single kernel are part of the report.
///
/// # Errors
/// No supported package manager exists, or its lists of packages cannot be refreshed.
pub fn preflight(system: &System, sink: &dyn Sink, kernels: &[String], dkms: &Path) -> Result<Report> {
    let dir = TempDir::new_in(&system.settings.tmp_location, "dkms-preflight")?;
    // Package managers download as another user, which must be able to enter the directory.
    dkms_sys::fs::set_mode(dir.path(), 0o755)?;
    let manager = find_manager(system, sink, dir.path())?;
    sink.event(Event::Detail { text: format!("refreshing the lists of packages with {}", manager.name()) });
    manager.refresh()?;
    let offered = if kernels.is_empty() { manager.offered()? } else { kernels.to_vec() };
    let mut report = Report { manager: manager.name(), kernels: Vec::new() };
    let has_packages = !state::all_packages(&system.layout).is_empty();
    for release in offered {
        report.kernels.push(if has_packages {
            check(system, sink, manager.as_ref(), dir.path(), &release, dkms)
        } else {
            KernelReport::new(&release)
        });
    }
    Ok(report)
}

/// Returns the package manager of the distribution; if it is not installed, the first one that is installed.
/// A Debian machine may also have dnf or pacman, for its containers.
fn find_manager<'a>(system: &'a System, sink: &'a dyn Sink, dir: &Path) -> Result<Box<dyn Manager + 'a>> {
    let has = |program: &str| {
        let is_used = program != "apt-get" || Path::new("/var/lib/dpkg/status").exists();
        is_used && which(program, &system.host.path).is_some()
    };
    let preferred = match system.host.distribution.as_ref().map(Distribution::family) {
        Some(Family::Fedora | Family::Rhel) => "dnf",
        Some(Family::Suse) => "zypper",
        Some(Family::Arch) => "pacman",
        _ => "apt-get",
    };
    let manager = [preferred, "apt-get", "dnf", "zypper", "pacman"].into_iter().find(|program| has(program));
    Ok(match manager {
        Some("apt-get") => Box::new(apt::Apt::new(system, sink, dir)?),
        Some("dnf") => Box::new(dnf::Dnf::new(system, sink, dir)?),
        Some("zypper") => Box::new(zypper::Zypper::new(system, dir)?),
        Some("pacman") => Box::new(pacman::Pacman::new(system, dir)?),
        _ => {
            return Err(ProgramError::Missing {
                program: "apt-get, dnf, zypper or pacman".into(),
                purpose: "ask which kernels are offered".into(),
                package: "of one of them".into(),
            }
            .into());
        }
    })
}

/// Checks a kernel. `dir` is a temporary directory.
fn check(
    system: &System,
    sink: &dyn Sink,
    manager: &dyn Manager,
    dir: &Path,
    release: &str,
    dkms: &Path,
) -> KernelReport {
    sink.event(Event::Detail { text: format!("downloading the headers of kernel {release}") });
    let root = dir.join(format!("root-{release}"));
    let mut report = KernelReport::new(release);
    let built = manager.headers(release, &root).and_then(|headers| {
        report.headers = headers;
        scratch::prepare(&system.layout, &root, release)?;
        sink.event(Event::Detail { text: format!("building for kernel {release}") });
        run::autoinstall(&system.host, &root, release, dkms, &mut report)
    });
    if let Err(e) = built {
        report.unknown = Some(e.to_string());
    }
    // An error is ignored, because the temporary directory is deleted at the end.
    let _ = dkms_sys::fs::remove_tree(&root);
    run::mark_required(system, sink, &mut report);
    report
}

impl Report {
    /// Returns whether all kernels would get all required modules.
    #[must_use]
    pub fn answer(&self) -> Outcome {
        crate::look::verify::worst(self.kernels.iter().map(KernelReport::answer))
    }
}
