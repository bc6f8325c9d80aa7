//! `extension-release`, which lists the systems on which an extension may be merged (os-release(5)).

use super::request::SysextRequest;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::pack::PackError;
use crate::request::RequestError;
use dkms_sys::fs::{self, Limit};
use dkms_tree::ids::BadName;
use std::path::Path;

/// The `ID` of an extension for any distribution.
const ANY: &str = "_any";

/// Returns the text of the file.
///
/// # Errors
/// The system has no os-release, or a value contains characters that are not allowed; the kernels have
/// several architectures.
pub(super) fn text(sink: &dyn Sink, request: &SysextRequest<'_>) -> Result<String> {
    let architecture = architecture(request)?;
    let os_release = read_os_release(Path::new("/"))?;
    let (id, version) = match request.os {
        Some(os) => os.split_once(':').unwrap_or((os, "")),
        None => (
            field(&os_release, "ID").unwrap_or("linux"),
            field(&os_release, "VERSION_ID").unwrap_or_default(),
        ),
    };
    let own_level = || field(&os_release, "SYSEXT_LEVEL").filter(|_| request.os.is_none());
    let level = request.level.or_else(own_level);
    let mut text = format!("ID={}\n", require_plain("ID", id)?);
    match level {
        _ if id == ANY => {}
        Some(level) => text.push_str(&format!("SYSEXT_LEVEL={}\n", require_plain("SYSEXT_LEVEL", level)?)),
        // Without a version, as on a rolling release, systemd accepts any version.
        None if version.is_empty() => {}
        None => text.push_str(&format!("VERSION_ID={}\n", require_plain("VERSION_ID", version)?)),
    }
    text.push_str(&format!("ARCHITECTURE={architecture}\n"));
    // systemd (since version 253) reloads its units after the merge, so it finds the service of the
    // extension.
    text.push_str("EXTENSION_RELOAD_MANAGER=1\n");
    sink.event(Event::Detail { text: format!("extension-release: {}", text.trim().replace('\n', " ")) });
    Ok(text)
}

/// Reads the os-release of the system in `root`.
fn read_os_release(root: &Path) -> Result<String> {
    for file in ["etc/os-release", "usr/lib/os-release"] {
        match fs::read_text(root.join(file), Limit::CONFIG) {
            Err(e) if e.is_not_found() => {}
            text => return Ok(text?),
        }
    }
    Err(Error::NoOsRelease(root.to_owned()))
}

/// Returns a value of os-release; `None` if it is missing or empty.
fn field<'a>(os_release: &'a str, key: &str) -> Option<&'a str> {
    let value = os_release.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(|c| c == '"' || c == '\'')).filter(|value| !value.is_empty())
}

/// Fails if a value would need quotes.
fn require_plain<'a>(key: &'static str, value: &'a str) -> Result<&'a str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if !value.is_empty() && value.chars().all(legal) {
        Ok(value)
    } else {
        Err(PackError::OsRelease { key, value: value.to_owned() }.into())
    }
}

/// Returns systemd's name for the architecture of all kernels.
fn architecture(request: &SysextRequest<'_>) -> Result<&'static str> {
    let mut common: Option<&str> = None;
    for kernel in request.kernels {
        let name = match kernel.arch.as_str() {
            "x86_64" | "amd64" => "x86-64",
            "aarch64" | "arm64" => "arm64",
            "i386" | "i486" | "i586" | "i686" => "x86",
            "armv5tel" | "armv6l" | "armv7l" | "armv8l" => "arm",
            "ppc64le" => "ppc64-le",
            "ppc64" => "ppc64",
            "s390x" => "s390x",
            "riscv64" => "riscv64",
            "loongarch64" => "loongarch64",
            "mips64el" => "mips64-le",
            "parisc64" => "parisc64",
            "sparc64" => "sparc64",
            "alpha" => "alpha",
            _ => {
                return Err(BadName {
                    what: "architecture of a system extension",
                    word: kernel.arch.clone(),
                    why: "systemd does not support it",
                }
                .into());
            }
        };
        if let Some(other) = common.filter(|other| *other != name) {
            return Err(RequestError::SeveralArches {
                what: "one system extension",
                arches: [other.to_owned(), name.to_owned()],
            }
            .into());
        }
        common = Some(name);
    }
    common.ok_or_else(|| RequestError::NoKernel.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release() {
        let text = "ID=debian\nVERSION_ID=\"12\"\nSYSEXT_LEVEL=\nID_LIKE=x\n";
        assert_eq!(field(text, "ID"), Some("debian"));
        assert_eq!(field(text, "VERSION_ID"), Some("12"));
        assert_eq!(field(text, "SYSEXT_LEVEL"), None);
        for bad in ["de bian", "a\nB=c", ""] {
            assert!(require_plain("ID", bad).is_err(), "{bad:?}");
        }
        assert_eq!(require_plain("ID", ANY).unwrap(), "_any");
    }

    #[test]
    fn an_unreadable_os_release_is_not_reported_as_missing() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(read_os_release(root.path()), Err(Error::NoOsRelease(_))));
        std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        std::fs::write(root.path().join("usr/lib/os-release"), "ID=x").unwrap();
        assert_eq!(read_os_release(root.path()).unwrap(), "ID=x");
        std::fs::create_dir_all(root.path().join("etc/os-release")).unwrap();
        assert!(matches!(read_os_release(root.path()), Err(Error::Io(_))));
    }
}
