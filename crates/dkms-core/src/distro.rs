//! Detects the distribution (os-release(5)), and provides what depends on it.

use dkms_sys::IoError;
use std::path::{Path, PathBuf};

mod packages;
mod programs;

/// The places of os-release below a root, in order of precedence.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

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

    /// Reads the first usable os-release below `root`.
    pub fn detect(root: &Path) -> Option<Self> {
        OS_RELEASE
            .iter()
            .find_map(|place| read_os_release(&root.join(place))?.ok())
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

    /// The destination of modules below `/lib/modules/K`, if the distribution overrides dkms.conf.
    pub fn destination(&self) -> Option<&'static str> {
        match self.family() {
            Family::Fedora | Family::Rhel => Some("/extra"),
            Family::Suse => Some("/updates"),
            Family::Debian | Family::Ubuntu | Family::Arch => Some("/updates/dkms"),
            Family::Gentoo | Family::Other => None,
        }
    }

    /// The possible paths of the kernel's own `sign-file`, in the order in which they are tried.
    pub fn sign_file_candidates(&self, release: &str, headers: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        match self.family() {
            Family::Debian => {
                // linux-kbuild-6.1 for 6.1.0-56-amd64; newer packages have the complete version in their
                // name.
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

/// Returns the reason why an os-release below `root` cannot be read, if [`Distribution::detect`] returns
/// nothing.
pub(crate) fn unusable_os_release(root: &Path) -> Option<IoError> {
    OS_RELEASE.iter().find_map(|place| read_os_release(&root.join(place))?.err())
}

/// The text of an os-release; `None` if it does not exist.
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
        let seen = || {
            let id = Distribution::detect(dir.path()).map(|found| found.id);
            (id, unusable_os_release(dir.path()).map_or_else(String::new, |e| e.to_string()))
        };
        let absent = (None, String::new());
        assert_eq!(seen(), absent);
        std::os::unix::fs::symlink("../usr/lib/os-release", &first).unwrap();
        assert_eq!(seen(), absent);
        std::os::unix::fs::symlink("/dev/null", &second).unwrap();
        assert_eq!(seen(), absent);
        std::fs::remove_file(&second).unwrap();
        std::fs::write(&second, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(seen().0, None);
        assert!(seen().1.contains("larger than 1048576 bytes"), "{}", seen().1);
        std::fs::write(&second, "ID=fedora\n").unwrap();
        std::fs::remove_file(&first).unwrap();
        std::fs::create_dir(&first).unwrap();
        assert_eq!(seen().0.as_deref(), Some("fedora"));
        std::fs::remove_file(&second).unwrap();
        assert!(seen().1.contains("it is a directory"), "{}", seen().1);
        std::fs::remove_dir(&first).unwrap();
        std::fs::write(&first, b"ID=f\xffedora\n").unwrap();
        std::fs::write(&second, "ID=debian\n").unwrap();
        assert_eq!(seen().0.as_deref(), Some("f\u{fffd}edora"));
        std::fs::write(&first, "").unwrap();
        assert_eq!(seen().0.as_deref(), Some("linux"), "as os-release(5) says");
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
            let d = Distribution::from_os_release(text);
            assert_eq!((d.family(), d.destination()), (family, destination), "{text}");
        }
    }
}
