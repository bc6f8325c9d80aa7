//! Names of container images, OCI's names of architectures, and names of Kubernetes objects.

use crate::error::Result;
use crate::pack::error::{NameFault, PackError};
use dkms_tree::ids::{BadName, Kernel};
use kmodule::elf::{Class, machine_of_arch};

/// The placeholder for the kernel in `--image`, as in the resources of KMM.
pub(super) const PLACEHOLDER: &str = "${KERNEL_FULL_VERSION}";
/// The longest name of an image, without its tag, that registries accept.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;
/// KMM refuses a Module whose name and namespace have more than 40 characters together.
pub(super) const OBJECT_MAX: usize = 39;

/// The name of an image: `REGISTRY/REPOSITORY` and a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub name: String,
    pub tag: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl Reference {
    /// Returns the name of a kernel's image, from the value of `--image`. Without a tag, the kernel's release
    /// is the tag.
    ///
    /// # Errors
    /// The name is not valid: [`PackError::ImageName`].
    pub(super) fn from_option(value: &str, kernel: &Kernel) -> Result<Self> {
        let (name, tag) = match value.rsplit_once(':') {
            // A colon before a slash belongs to the port of the registry.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (value, PLACEHOLDER),
        };
        let fill = |part: &str| part.replace(PLACEHOLDER, &tag_from(&kernel.release));
        Self { name: fill(name), tag: fill(tag) }.checked(value, true)
    }

    /// Returns the name of an image without `--image`: the package's name, with the kernel's release as the
    /// tag.
    ///
    /// # Errors
    /// The package's name is not a valid image name.
    pub(super) fn from_package(package: &str, kernel: &Kernel) -> Result<Self> {
        Self { name: package.to_owned(), tag: tag_from(&kernel.release) }.checked(package, false)
    }

    fn checked(self, shown: &str, chosen: bool) -> Result<Self> {
        match self.fault() {
            Some(fault) => Err(PackError::ImageName { name: shown.to_owned(), fault, chosen }.into()),
            None => Ok(self),
        }
    }

    fn fault(&self) -> Option<NameFault> {
        if self.name.contains('@') {
            return Some(NameFault::Digest);
        }
        let mut parts: Vec<&str> = self.name.split('/').collect();
        let first = parts.first().copied().unwrap_or_default();
        let is_host = first == "localhost" || first.contains(['.', ':']);
        if parts.len() > 1 && is_host {
            if !is_host_name(first) {
                return Some(NameFault::Host);
            }
            parts.remove(0);
        }
        if !parts.iter().all(|part| is_path_part(part)) {
            return Some(NameFault::Characters);
        }
        if self.name.len() > NAME_MAX {
            return Some(NameFault::Long);
        }
        if !is_tag(&self.tag) {
            return Some(NameFault::Tag);
        }
        None
    }
}

/// Returns the tag for a kernel's release: characters that are not allowed in a tag become `_`, as in KMM's
/// variable `KERNEL_FULL_VERSION`.
fn tag_from(release: &str) -> String {
    release.chars().map(|c| if is_allowed_in_tag(c) { c } else { '_' }).collect()
}

fn is_allowed_in_tag(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
}

fn is_tag(tag: &str) -> bool {
    tag.chars().all(is_allowed_in_tag)
        && tag.len() <= TAG_MAX
        && !tag.is_empty()
        && !tag.starts_with(['-', '.'])
}

fn is_host_name(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(is_label)
        && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, the grammar of the distribution specification.
fn is_path_part(part: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = part.split(legal);
    let (first, last) = (separators.next(), separators.next_back());
    !part.is_empty()
        && first == Some("")
        && last == Some("")
        && separators.all(|s| matches!(s, "" | "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

/// OCI's name of an architecture, and the format of its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub architecture: &'static str,
    pub variant: Option<&'static str>,
    /// `e_machine` of its programs.
    pub machine: u16,
    pub is_64_bit: bool,
    pub is_little_endian: bool,
}

impl Platform {
    /// Returns the platform of a kernel.
    ///
    /// # Errors
    /// OCI has no name for its architecture.
    pub(super) fn new(kernel: &Kernel) -> Result<Self> {
        let arch = kernel.arch.as_str();
        let (architecture, variant) = match arch {
            "x86_64" | "amd64" => ("amd64", None),
            "aarch64" | "arm64" => ("arm64", None),
            "i386" | "i486" | "i586" | "i686" => ("386", None),
            "armv7l" | "armv8l" => ("arm", Some("v7")),
            "armv6l" => ("arm", Some("v6")),
            "ppc64le" => ("ppc64le", None),
            "ppc64" => ("ppc64", None),
            "s390x" => ("s390x", None),
            "riscv64" => ("riscv64", None),
            "loongarch64" => ("loong64", None),
            "mips64el" => ("mips64le", None),
            _ => ("", None),
        };
        let Some((class, machine)) = machine_of_arch(arch).filter(|_| !architecture.is_empty()) else {
            return Err(BadName {
                what: "architecture of a container image",
                word: kernel.arch.clone(),
                why: "OCI does not support it",
            }
            .into());
        };
        let is_little_endian = !matches!(arch, "ppc64" | "s390x");
        Ok(Self { architecture, variant, machine, is_64_bit: class == Class::Elf64, is_little_endian })
    }
}

/// Returns the name of a Kubernetes object (RFC 1123) for a module.
pub(super) fn object_name(word: &str) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name: String =
        word.to_ascii_lowercase().chars().map(|c| if legal(c) { c } else { '-' }).take(OBJECT_MAX).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "module".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: &str) -> Kernel {
        Kernel::new(release, "x86_64").unwrap()
    }

    #[test]
    fn names_with_and_without_a_tag() {
        let kernel = kernel("6.12.9+deb12-amd64");
        for (value, expected) in [
            ("registry:5000/kmods/hello", "registry:5000/kmods/hello:6.12.9_deb12-amd64"),
            ("quay.io/x/hello:1.0-${KERNEL_FULL_VERSION}", "quay.io/x/hello:1.0-6.12.9_deb12-amd64"),
            ("hello", "hello:6.12.9_deb12-amd64"),
            ("localhost/a/b__c:latest", "localhost/a/b__c:latest"),
        ] {
            assert_eq!(Reference::from_option(value, &kernel).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        let kernel = kernel("6.1.0-9-amd64");
        for bad in [
            "",
            "Hello",
            "a b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:ta g",
            "a..b",
            "a.-b",
            "-a",
            "a_",
            "___",
            "a___b",
            "a+b",
            "quay.io:x/a",
            "-quay.io/a",
            "a@sha256:00",
            "a:.x",
            "a.b:/x",
        ] {
            assert!(Reference::from_option(bad, &kernel).is_err(), "{bad:?}");
        }
        assert!(Reference::from_option(&"a".repeat(256), &kernel).is_err());
        assert!(
            Reference::from_package("MyDriver", &kernel).unwrap_err().help().concat().contains("--image")
        );
        assert!(Reference::from_package("v4l2loopback-dc", &kernel).is_ok());
    }

    #[test]
    fn names_of_objects() {
        assert_eq!(object_name("v4l2loopback_dc"), "v4l2loopback-dc");
        assert_eq!(object_name("_x_"), "x");
        assert_eq!(object_name("+"), "module");
        assert_eq!(object_name(&"a_".repeat(40)).len(), 39);
        assert!(!object_name(&format!("{}_b", "a".repeat(38))).ends_with('-'));
    }
}
