//! Detects the distribution (os-release(5)), and provides its rules and package names.

use dkms_sys::IoError;
use std::path::{Path, PathBuf};

mod packages;
mod programs;

/// The paths of os-release below a root, in order of precedence.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// A distribution, as identified by its os-release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    id: String,
    /// The identity that dkms uses: `ID` if it is `ubuntu`, otherwise `ID_LIKE` if it is set, otherwise `ID`.
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
    /// Any other distribution.
    Other,
}

impl Distribution {
    /// Parses the text of an os-release file.
    pub fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            text.lines().rev().find_map(|line| {
                let value = line.trim().strip_prefix(key)?.strip_prefix('=')?;
                Some(value.trim().trim_matches(['"', '\'']).to_owned())
            })
        };
        let id = value("ID").unwrap_or_else(|| "linux".into());
        let word = match value("ID_LIKE") {
            Some(like) if id != "ubuntu" && !like.is_empty() => like,
            _ => id.clone(),
        };
        Self { id, word }
    }

    /// Reads the first usable os-release below `root`.
    pub fn detect(root: &Path) -> Option<Self> {
        let text = OS_RELEASE.iter().find_map(|path| read_os_release(&root.join(path))?.ok())?;
        Some(Self::from_os_release(&text))
    }

    /// Returns the family, which is determined by the beginning of the identity, as in dkms 3.x. RHEL and
    /// Oracle are detected by `ID`: their `ID_LIKE` is Fedora (RHEL 8 and 9, Oracle) or CentOS (RHEL 10), but
    /// they have weak-modules.
    pub fn family(&self) -> Family {
        let begins = |words: &[&str]| words.iter().any(|word| self.word.starts_with(word));
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

    /// Returns the identity, which is `$running_distribution` in dkms.conf.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Returns the destination of modules below `/lib/modules/K`, if the distribution overrides dkms.conf.
    pub fn destination(&self) -> Option<&'static str> {
        match self.family() {
            Family::Fedora | Family::Rhel => Some("/extra"),
            Family::Suse => Some("/updates"),
            Family::Debian | Family::Ubuntu | Family::Arch => Some("/updates/dkms"),
            Family::Gentoo | Family::Other => None,
        }
    }

    /// Returns the possible paths of the kernel's own `sign-file`, in the order in which they are tried.
    pub fn sign_file_candidates(&self, release: &str, headers: &Path) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        match self.family() {
            Family::Debian => {
                // The package for 6.1.0-56-amd64 is linux-kbuild-6.1. Newer packages have the complete
                // version in their name.
                let versions = [
                    release.rsplit_once('.').map(|(version, _)| version),
                    release.split_once('-').map(|(version, _)| version),
                    Some(release),
                ];
                for version in versions.into_iter().flatten() {
                    paths.push(PathBuf::from(format!("/usr/lib/linux-kbuild-{version}/scripts/sign-file")));
                }
            }
            Family::Ubuntu => {
                paths.push("/usr/bin/kmodsign".into());
                paths.push(format!("/usr/src/linux-headers-{release}/scripts/sign-file").into());
            }
            Family::Gentoo => paths.push(format!("/usr/src/linux-{release}/scripts/sign-file").into()),
            _ => {}
        }
        paths.push(headers.join("scripts/sign-file"));
        paths
    }
}

/// Returns the reason why an os-release below `root` cannot be read, if [`Distribution::detect`] returns
/// nothing.
pub(crate) fn unusable_os_release(root: &Path) -> Option<IoError> {
    OS_RELEASE.iter().find_map(|path| read_os_release(&root.join(path))?.err())
}

/// Reads an os-release; `None` if it does not exist.
fn read_os_release(path: &Path) -> Option<Result<String, IoError>> {
    if dkms_sys::fs::is_masked(path) {
        return None;
    }
    let bytes = dkms_sys::fs::read_optional(path, dkms_sys::fs::Limit::CONFIG).transpose()?;
    Some(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_release_that_cannot_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, lib) = (dir.path().join("etc"), dir.path().join("usr/lib"));
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::create_dir_all(&lib).unwrap();
        let (first, second) = (etc.join("os-release"), lib.join("os-release"));
        let detect = || {
            let id = Distribution::detect(dir.path()).map(|distribution| distribution.id);
            (id, unusable_os_release(dir.path()).map_or_else(String::new, |e| e.to_string()))
        };
        let absent = (None, String::new());
        assert_eq!(detect(), absent);
        std::os::unix::fs::symlink("../usr/lib/os-release", &first).unwrap();
        assert_eq!(detect(), absent);
        std::os::unix::fs::symlink("/dev/null", &second).unwrap();
        assert_eq!(detect(), absent);
        std::fs::remove_file(&second).unwrap();
        std::fs::write(&second, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(detect().0, None);
        assert!(detect().1.contains("larger than 1048576 bytes"), "{}", detect().1);
        std::fs::write(&second, "ID=fedora\n").unwrap();
        std::fs::remove_file(&first).unwrap();
        std::fs::create_dir(&first).unwrap();
        assert_eq!(detect().0.as_deref(), Some("fedora"));
        std::fs::remove_file(&second).unwrap();
        assert!(detect().1.contains("it is a directory"), "{}", detect().1);
        std::fs::remove_dir(&first).unwrap();
        std::fs::write(&first, b"ID=f\xffedora\n").unwrap();
        std::fs::write(&second, "ID=debian\n").unwrap();
        assert_eq!(detect().0.as_deref(), Some("f\u{fffd}edora"));
        std::fs::write(&first, "").unwrap();
        assert_eq!(detect().0.as_deref(), Some("linux"), "as os-release(5) says");
    }

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
            let distribution = Distribution::from_os_release(text);
            assert_eq!((distribution.family(), distribution.destination()), (family, destination), "{text}");
        }
    }
}
