//! Detects the distribution (os-release(5)), and provides what depends on it.

use std::path::{Path, PathBuf};

/// The identity that dkms uses: `ID` if it is `ubuntu`, else `ID_LIKE` if there is one, else `ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    id: String,
    word: String,
}

/// The family of a distribution, which decides which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian and its derivatives.
    Debian,
    /// Ubuntu and its derivatives.
    Ubuntu,
    /// Fedora.
    Fedora,
    /// RHEL and its derivatives, Oracle VM.
    Rhel,
    /// SLES, openSUSE.
    Suse,
    /// Arch and its derivatives.
    Arch,
    /// Gentoo.
    Gentoo,
    /// Anything else.
    Other,
}

impl Distribution {
    /// Parses the text of an os-release file.
    pub fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            text.lines().rev().find_map(|line| {
                let v = line.trim().strip_prefix(key)?.strip_prefix('=')?;
                Some(v.trim().trim_matches(|c| c == '"' || c == '\'').to_owned())
            })
        };
        let id = value("ID").unwrap_or_else(|| "linux".into());
        let word = match value("ID_LIKE") {
            Some(like) if id != "ubuntu" && !like.is_empty() => like,
            _ => id.clone(),
        };
        Self { id, word }
    }

    /// Reads `etc/os-release` or `usr/lib/os-release` below `root`.
    pub fn detect(root: &Path) -> Option<Self> {
        ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|f| dkms_sys::fs::read_text(root.join(f), dkms_sys::fs::Limit::CONFIG).ok())
            .map(|text| Self::from_os_release(&text))
    }

    /// The family, by the beginning of the identity, as in dkms 3.x. Red Hat's own distributions are detected
    /// by `ID`: their `ID_LIKE` is Fedora (RHEL 8 and 9, Oracle) or CentOS (RHEL 10), but they have
    /// weak-modules.
    pub fn family(&self) -> Family {
        let begins = |words: &[&str]| words.iter().any(|w| self.word.starts_with(w));
        if matches!(&*self.id, "rhel" | "ol") {
            Family::Rhel
        } else if begins(&["ubuntu"]) {
            Family::Ubuntu
        } else if begins(&["debian"]) {
            Family::Debian
        } else if begins(&["fedora"]) {
            Family::Fedora
        } else if begins(&["rhel", "ovm", "centos"]) {
            Family::Rhel
        } else if begins(&["sles", "suse", "opensuse"]) {
            Family::Suse
        } else if begins(&["arch"]) {
            Family::Arch
        } else if begins(&["gentoo"]) {
            Family::Gentoo
        } else {
            Family::Other
        }
    }

    /// The identity, which is `$running_distribution` in dkms.conf.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Where modules go below `/lib/modules/K`, if the distribution decides that instead of dkms.conf.
    pub fn destination(&self) -> Option<&'static str> {
        match self.family() {
            Family::Fedora | Family::Rhel => Some("/extra"),
            Family::Suse => Some("/updates"),
            Family::Debian | Family::Ubuntu | Family::Arch => Some("/updates/dkms"),
            Family::Gentoo | Family::Other => None,
        }
    }

    /// The package with the headers of a kernel, as an administrator would type it.
    pub fn headers_package(&self, release: &str, kernel_modules: &Path) -> String {
        match self.family() {
            Family::Debian | Family::Ubuntu => format!("linux-headers-{release}"),
            Family::Fedora | Family::Rhel => format!("kernel-devel-{release}"),
            Family::Suse => match release.rsplit_once('-') {
                Some((_, flavour))
                    if !flavour.is_empty() && !flavour.starts_with(|c: char| c.is_ascii_digit()) =>
                {
                    format!("kernel-{flavour}-devel")
                }
                _ => "kernel-default-devel".into(),
            },
            Family::Arch => {
                match dkms_sys::fs::read_text(kernel_modules.join("pkgbase"), dkms_sys::fs::Limit::CONFIG) {
                    Ok(base) if !base.trim().is_empty() => format!("{}-headers", base.trim()),
                    _ => "linux-headers".into(),
                }
            }
            Family::Gentoo => "the sources of that kernel (sys-kernel/*-sources, prepared)".into(),
            Family::Other => format!("the headers of kernel {release}"),
        }
    }

    /// The package with a program.
    pub fn program_package(&self, program: &str) -> String {
        let debian = matches!(self.family(), Family::Debian | Family::Ubuntu);
        match program {
            "make" | "patch" | "kmod" | "bash" | "gcc" | "clang" => program.into(),
            "depmod" | "modprobe" => "kmod".into(),
            "strip" | "ld" => "binutils".into(),
            p if p.starts_with("llvm-") || p.starts_with("ld.lld") || p.starts_with("clang-") => {
                llvm_package(p, debian)
            }
            p if p.starts_with("qemu-") => "qemu-user".into(),
            p if p.starts_with("gcc-") => p.into(),
            p if is_cross(p) => cross_package(p, debian),
            p if debian && p.contains("-gcc-") => {
                p.rsplit_once("-gcc-").map_or(p.into(), |(_, n)| format!("gcc-{n}"))
            }
            p => p.into(),
        }
    }

    /// The possible paths of the kernel's own `sign-file`, in the order in which they are tried.
    pub fn sign_file_candidates(&self, release: &str, headers: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        match self.family() {
            Family::Debian => {
                // linux-kbuild-6.1 for 6.1.0-56-amd64; newer packages have the whole version in their name.
                let cuts = [
                    release.rsplit_once('.').map(|c| c.0),
                    release.split_once('-').map(|c| c.0),
                    Some(release),
                ];
                for version in cuts.into_iter().flatten() {
                    found.push(PathBuf::from(format!("/usr/lib/linux-kbuild-{version}/scripts/sign-file")));
                }
            }
            Family::Ubuntu => {
                found.push("/usr/bin/kmodsign".into());
                found.push(format!("/usr/src/linux-headers-{release}/scripts/sign-file").into());
            }
            Family::Gentoo => found.push(format!("/usr/src/linux-{release}/scripts/sign-file").into()),
            _ => {}
        }
        found.push(headers.join("scripts/sign-file"));
        found
    }
}

/// Whether a compiler is for another machine, by its name.
fn is_cross(program: &str) -> bool {
    let machine = program.split_once("-linux-").map(|(machine, _)| machine);
    machine.is_some_and(|machine| machine != std::env::consts::ARCH) && program.contains("-gcc")
}

/// The package with a compiler for another machine. Only Debian's have its version.
fn cross_package(program: &str, debian: bool) -> String {
    let (triple, version) = program.split_once("-gcc").unwrap_or((program, ""));
    if debian { format!("gcc{version}-{}", triple.replace('_', "-")) } else { format!("gcc-{triple}") }
}

/// The package with a program of LLVM. Only Debian's have the version that the program's name may end in.
fn llvm_package(program: &str, debian: bool) -> String {
    let package = match program {
        p if p.starts_with("clang") => "clang",
        p if p.starts_with("ld.lld") => "lld",
        _ => "llvm",
    };
    let version = program.rsplit_once('-').map_or("", |(_, v)| v);
    if debian && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) {
        format!("{package}-{version}")
    } else {
        package.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_of_known_distributions() {
        let table = [
            ("ID=debian\n", Family::Debian, Some("/updates/dkms")),
            ("ID=ubuntu\nID_LIKE=debian\n", Family::Ubuntu, Some("/updates/dkms")),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Ubuntu, Some("/updates/dkms")),
            ("ID=fedora\n", Family::Fedora, Some("/extra")),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\n", Family::Rhel, Some("/extra")),
            ("ID=\"rhel\"\nID_LIKE=\"centos fedora\"\n", Family::Rhel, Some("/extra")),
            ("ID=\"ol\"\nID_LIKE=\"fedora\"\n", Family::Rhel, Some("/extra")),
            ("ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\n", Family::Rhel, Some("/extra")),
            ("ID=mageia\nID_LIKE=\"mandriva fedora\"\n", Family::Other, None),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Family::Rhel, Some("/extra")),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", Family::Suse, Some("/updates")),
            ("ID='sles'\nID_LIKE='suse'\n", Family::Suse, Some("/updates")),
            ("ID=arch\n", Family::Arch, Some("/updates/dkms")),
            ("ID=manjaro\nID_LIKE=arch\n", Family::Arch, Some("/updates/dkms")),
            ("ID=gentoo\n", Family::Gentoo, None),
            ("ID=alpine\n", Family::Other, None),
        ];
        for (text, family, destination) in table {
            let d = Distribution::from_os_release(text);
            assert_eq!((d.family(), d.destination()), (family, destination), "{text}");
        }
    }

    #[test]
    fn header_packages() {
        let none = Path::new("/nonexistent");
        let of = |t: &str, k: &str| Distribution::from_os_release(t).headers_package(k, none);
        assert_eq!(of("ID=debian", "6.1.0-56-amd64"), "linux-headers-6.1.0-56-amd64");
        assert_eq!(of("ID=fedora", "6.9.4-200.fc40.x86_64"), "kernel-devel-6.9.4-200.fc40.x86_64");
        assert_eq!(of("ID=sles\nID_LIKE=suse", "6.4.0-150600.23.7-default"), "kernel-default-devel");
        assert_eq!(of("ID=arch", "6.10.1-arch1-1"), "linux-headers");
    }

    #[test]
    fn packages_of_compilers() {
        let package = |id: &str, program: &str| Distribution::from_os_release(id).program_package(program);
        let table = [
            ("gcc-12", "gcc-12", "gcc-12"),
            ("clang", "clang", "clang"),
            ("clang-18", "clang-18", "clang"),
            ("ld.lld", "lld", "lld"),
            ("ld.lld-18", "lld-18", "lld"),
            ("llvm-ar", "llvm", "llvm"),
            ("llvm-objcopy-18", "llvm-18", "llvm"),
            ("s390x-linux-gnu-gcc-12", "gcc-12-s390x-linux-gnu", "gcc-s390x-linux-gnu"),
            ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", "gcc-riscv64-linux-gnu"),
            ("qemu-s390x", "qemu-user", "qemu-user"),
        ];
        for (program, debian, fedora) in table {
            assert_eq!(
                (package("ID=debian", program), package("ID=fedora", program)),
                (debian.into(), fedora.into())
            );
        }
    }
}
