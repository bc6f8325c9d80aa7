//! Names of container images, architectures as OCI names them, and names of Kubernetes' objects.

use crate::error::Result;
use crate::pack::error::{NameFault, PackError};
use dkms_tree::ids::{BadName, Kernel};

/// The placeholder for the kernel in `--image`, as in the resources of KMM.
pub(super) const PLACEHOLDER: &str = "${KERNEL_FULL_VERSION}";
/// The longest name of an image, without its tag, that registries accept.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;
/// KMM refuses a Module whose name and namespace have more than 40 characters together.
const OBJECT_MAX: usize = 39;

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
    /// The name that `--image` gives the image of a kernel. Without a tag, the kernel's release is the tag.
    ///
    /// # Errors
    /// It is no legal name: [`PackError::ImageName`].
    pub(super) fn of_option(text: &str, kernel: &Kernel) -> Result<Self> {
        let (name, tag) = match text.rsplit_once(':') {
            // A colon before a slash belongs to the port of the registry.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, PLACEHOLDER),
        };
        let fill = |part: &str| part.replace(PLACEHOLDER, &tag_of(&kernel.release));
        let reference = Self { name: fill(name), tag: fill(tag) };
        match reference.fault() {
            Some(fault) => Err(PackError::ImageName { name: text.to_owned(), fault, chosen: true }.into()),
            None => Ok(reference),
        }
    }

    /// The name of an image without `--image`: the package's, with the kernel's release as the tag.
    ///
    /// # Errors
    /// The package's name is no legal name of an image.
    pub(super) fn of_package(package: &str, kernel: &Kernel) -> Result<Self> {
        let reference = Self { name: package.to_owned(), tag: tag_of(&kernel.release) };
        match reference.fault() {
            Some(fault) => {
                Err(PackError::ImageName { name: package.to_owned(), fault, chosen: false }.into())
            }
            None => Ok(reference),
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

/// The tag for a kernel's release: characters that a tag cannot have become `_`, as in KMM's variable
/// `KERNEL_FULL_VERSION`.
pub(super) fn tag_of(release: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    release.chars().map(|c| if legal(c) { c } else { '_' }).collect()
}

fn is_tag(tag: &str) -> bool {
    tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        && tag.len() <= TAG_MAX
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

/// An architecture as OCI names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub architecture: &'static str,
    pub variant: Option<&'static str>,
    /// `e_machine` of its programs.
    pub machine: u16,
    /// Whether its programs are 64-bit.
    pub wide: bool,
    /// Whether its programs are little endian.
    pub little: bool,
}

impl Platform {
    /// The platform of a kernel.
    ///
    /// # Errors
    /// OCI has no name for its architecture.
    pub(super) fn of(kernel: &Kernel) -> Result<Self> {
        let (architecture, variant, machine, wide, little) = match kernel.arch.as_str() {
            "x86_64" | "amd64" => ("amd64", None, 62, true, true),
            "aarch64" | "arm64" => ("arm64", None, 183, true, true),
            "i386" | "i486" | "i586" | "i686" => ("386", None, 3, false, true),
            "armv7l" | "armv8l" => ("arm", Some("v7"), 40, false, true),
            "armv6l" => ("arm", Some("v6"), 40, false, true),
            "ppc64le" => ("ppc64le", None, 21, true, true),
            "ppc64" => ("ppc64", None, 21, true, false),
            "s390x" => ("s390x", None, 22, true, false),
            "riscv64" => ("riscv64", None, 243, true, true),
            "loongarch64" => ("loong64", None, 258, true, true),
            "mips64el" => ("mips64le", None, 8, true, true),
            _ => {
                return Err(BadName {
                    what: "architecture of a container image",
                    word: kernel.arch.clone(),
                    why: "OCI does not support it",
                }
                .into());
            }
        };
        Ok(Self { architecture, variant, machine, wide, little })
    }
}

/// The name of an object in Kubernetes (RFC 1123) for a module.
pub(super) fn object(word: &str) -> String {
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
        let k = kernel("6.12.9+deb12-amd64");
        for (text, want) in [
            ("registry:5000/kmods/hello", "registry:5000/kmods/hello:6.12.9_deb12-amd64"),
            ("quay.io/x/hello:1.0-${KERNEL_FULL_VERSION}", "quay.io/x/hello:1.0-6.12.9_deb12-amd64"),
            ("hello", "hello:6.12.9_deb12-amd64"),
            ("localhost/a/b__c:latest", "localhost/a/b__c:latest"),
        ] {
            assert_eq!(Reference::of_option(text, &k).unwrap().to_string(), want);
        }
    }

    #[test]
    fn names_that_are_refused() {
        let k = kernel("6.1.0-9-amd64");
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
            assert!(Reference::of_option(bad, &k).is_err(), "{bad:?}");
        }
        assert!(Reference::of_option(&"a".repeat(256), &k).is_err());
        assert!(Reference::of_package("MyDriver", &k).unwrap_err().help().concat().contains("--image"));
        assert!(Reference::of_package("v4l2loopback-dc", &k).is_ok());
    }

    #[test]
    fn names_of_objects() {
        assert_eq!(object("v4l2loopback_dc"), "v4l2loopback-dc");
        assert_eq!(object("_x_"), "x");
        assert_eq!(object("+"), "module");
        assert_eq!(object(&"a_".repeat(40)).len(), 39);
        assert!(!object(&format!("{}_b", "a".repeat(38))).ends_with('-'));
    }
}
