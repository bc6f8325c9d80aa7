//! The names of the packages with kernels and headers, for hints.

use super::{Distribution, Family};
use dkms_sys::fs::{Limit, read_text};
use std::path::Path;

/// Parts of the releases of kernels that show the distribution: the part, the families that use it, and the
/// name for the user.
const KERNEL_NAMES: [(&str, &[Family], &str); 6] = [
    (".fc", &[Family::Fedora], "Fedora"),
    (".el", &[Family::Rhel], "RHEL"),
    ("-arch", &[Family::Arch], "Arch Linux"),
    ("-default", &[Family::Suse], "SUSE"),
    ("-amd64", &[Family::Debian, Family::Ubuntu], "Debian"),
    ("-generic", &[Family::Debian, Family::Ubuntu], "Ubuntu"),
];

impl Distribution {
    /// Returns the package with the headers of a kernel, or a description of it.
    pub fn headers_package(&self, release: &str, kernel_modules: &Path) -> String {
        if let Some(owner) = self.foreign_kernel(release) {
            return format!("the headers of kernel {release} (a kernel of {owner}, not of {})", self.id);
        }
        match self.family() {
            Family::Debian | Family::Ubuntu => format!("linux-headers-{release}"),
            Family::Fedora | Family::Rhel => format!("kernel-devel-{release}"),
            Family::Suse => format!("kernel-{}-devel", suse_flavour(release)),
            Family::Arch => format!("{}-headers", pkgbase(kernel_modules)),
            Family::Gentoo => "the sources of that kernel (sys-kernel/*-sources, prepared)".into(),
            Family::Other => match self.other_kernel(release) {
                Some((package, suffix)) => format!("{package}-{suffix}"),
                None => format!("the headers of kernel {release}"),
            },
        }
    }

    /// Returns the package with a kernel itself, or a description of it.
    pub fn kernel_package(&self, release: &str, kernel_modules: &Path) -> String {
        match self.family() {
            Family::Debian | Family::Ubuntu => format!("linux-image-{release}"),
            Family::Fedora | Family::Rhel => format!("kernel-core-{release}"),
            Family::Suse => format!("kernel-{}", suse_flavour(release)),
            Family::Arch => pkgbase(kernel_modules),
            Family::Gentoo => {
                "that kernel (make modules_install install, or sys-kernel/gentoo-kernel)".into()
            }
            Family::Other => {
                self.other_kernel(release).map_or_else(|| format!("kernel {release}"), |(package, _)| package)
            }
        }
    }

    /// Returns the packages with the distribution's default kernel and its headers; `None` if they are
    /// unknown.
    pub fn usual_kernel(&self, arch: &str) -> Option<(String, String)> {
        let pair = |kernel: &str, headers: &str| Some((kernel.to_owned(), headers.to_owned()));
        let debian = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "i686" | "i386" => "686",
            other => other,
        };
        match self.family() {
            Family::Debian => pair(&format!("linux-image-{debian}"), &format!("linux-headers-{debian}")),
            Family::Ubuntu => pair("linux-image-generic", "linux-headers-generic"),
            Family::Fedora | Family::Rhel => pair("kernel", "kernel-devel"),
            Family::Suse => pair("kernel-default", "kernel-default-devel"),
            Family::Arch => pair("linux", "linux-headers"),
            Family::Gentoo => pair("sys-kernel/gentoo-kernel", "sys-kernel/gentoo-kernel"),
            Family::Other => match self.word() {
                "alpine" => pair("linux-lts", "linux-lts-dev"),
                "void" => pair("linux", "linux-headers"),
                _ => None,
            },
        }
    }

    /// Returns the distribution to which a kernel belongs, if it is not this one.
    fn foreign_kernel(&self, release: &str) -> Option<&'static str> {
        if self.family() == Family::Other {
            return None;
        }
        let (_, families, owner) = KERNEL_NAMES.iter().find(|(part, ..)| has_part(release, part))?;
        (!families.contains(&self.family())).then_some(*owner)
    }

    /// Returns the package of a kernel in Alpine or Void, and the suffix of the package with its headers.
    fn other_kernel(&self, release: &str) -> Option<(String, &'static str)> {
        match self.word() {
            // The release is VERSION-FLAVOUR.
            "alpine" => release.rsplit_once('-').map(|(_, flavour)| (format!("linux-{flavour}"), "dev")),
            // The kernel 6.12.40_1 is in the package linux6.12.
            "void" => {
                let mut numbers = release.splitn(3, '.');
                Some((format!("linux{}.{}", numbers.next()?, numbers.next()?), "headers"))
            }
            _ => None,
        }
    }
}

/// Returns whether a release contains one of [`KERNEL_NAMES`] where the distribution puts it: before a
/// number, or at the end.
fn has_part(release: &str, part: &str) -> bool {
    release.split_once(part).is_some_and(|(_, rest)| match part {
        ".fc" | ".el" | "-arch" => rest.starts_with(|c: char| c.is_ascii_digit()),
        _ => rest.is_empty(),
    })
}

/// Returns the flavour of a kernel of SUSE, which is the last word of its release.
fn suse_flavour(release: &str) -> &str {
    match release.rsplit_once('-') {
        Some((_, flavour)) if !flavour.is_empty() && !flavour.starts_with(|c: char| c.is_ascii_digit()) => {
            flavour
        }
        _ => "default",
    }
}

/// Returns the package of a kernel in Arch, which is in a file next to the modules.
fn pkgbase(kernel_modules: &Path) -> String {
    match read_text(kernel_modules.join("pkgbase"), Limit::CONFIG) {
        Ok(base) if !base.trim().is_empty() => base.trim().to_owned(),
        _ => "linux".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "ID=debian";
    const FEDORA: &str = "ID=fedora";
    const SLES: &str = "ID=sles\nID_LIKE=suse";

    #[test]
    fn packages_of_kernels_and_headers() {
        let table = [
            (DEBIAN, "6.1.0-56-amd64", "linux-image-6.1.0-56-amd64", "linux-headers-6.1.0-56-amd64"),
            (
                FEDORA,
                "6.9.4-200.fc40.x86_64",
                "kernel-core-6.9.4-200.fc40.x86_64",
                "kernel-devel-6.9.4-200.fc40.x86_64",
            ),
            (SLES, "6.4.0-150600.23.7-default", "kernel-default", "kernel-default-devel"),
            (SLES, "6.4.0-1", "kernel-default", "kernel-default-devel"),
            ("ID=arch", "6.10.1-arch1-1", "linux", "linux-headers"),
            ("ID=alpine", "6.12.40-0-lts", "linux-lts", "linux-lts-dev"),
            ("ID=void", "6.12.40_1", "linux6.12", "linux6.12-headers"),
            ("ID=slackware", "6.12.40", "kernel 6.12.40", "the headers of kernel 6.12.40"),
        ];
        let none = Path::new("/nonexistent");
        for (id, release, kernel, headers) in table {
            let distribution = Distribution::from_os_release(id);
            assert_eq!(distribution.kernel_package(release, none), kernel);
            assert_eq!(distribution.headers_package(release, none), headers);
        }
    }

    #[test]
    fn kernels_of_another_distribution_have_no_headers_package_here() {
        let table = [
            (DEBIAN, "6.9.4-200.fc40.x86_64", Some("Fedora")),
            (DEBIAN, "5.14.0-427.el9.x86_64", Some("RHEL")),
            (DEBIAN, "6.8.0-31-generic", None),
            (DEBIAN, "6.12.4-custom", None),
            (DEBIAN, "6.8.12-4-pve", None),
            (DEBIAN, "6.1.0-56-cloud-amd64", None),
            (FEDORA, "6.1.0-56-amd64", Some("Debian")),
            (FEDORA, "6.9.4-200.fc40.x86_64", None),
            ("ID=ubuntu\nID_LIKE=debian", "6.10.1-arch1-1", Some("Arch Linux")),
            ("ID=arch", "6.6.40-1-lts", None),
            ("ID=void", "6.1.0-56-amd64", None),
        ];
        for (id, release, owner) in table {
            assert_eq!(Distribution::from_os_release(id).foreign_kernel(release), owner, "{id} {release}");
        }
        let headers = Distribution::from_os_release(FEDORA).headers_package("6.1.0-56-amd64", Path::new("/"));
        assert_eq!(headers, "the headers of kernel 6.1.0-56-amd64 (a kernel of Debian, not of fedora)");
    }

    #[test]
    fn the_usual_kernel() {
        let usual = |id: &str, arch: &str| Distribution::from_os_release(id).usual_kernel(arch);
        let pair = |kernel: &str, headers: &str| Some((kernel.to_owned(), headers.to_owned()));
        assert_eq!(usual(DEBIAN, "x86_64"), pair("linux-image-amd64", "linux-headers-amd64"));
        assert_eq!(usual("ID=alpine", "x86_64"), pair("linux-lts", "linux-lts-dev"));
        assert_eq!(usual("ID=slackware", "x86_64"), None);
    }
}
