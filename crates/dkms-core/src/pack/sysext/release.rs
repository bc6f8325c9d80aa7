//! `extension-release`, which lists the systems on which an extension may be merged (os-release(5)).

use super::request::SysextRequest;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::pack::PackError;
use crate::request::RequestError;
use dkms_sys::fs::{self, Limit};
use dkms_tree::ids::BadName;

/// `ID` of an extension for every distribution.
const ANY: &str = "_any";

/// The text of the file.
///
/// # Errors
/// The system has no os-release, or a value has characters that the file cannot have; the kernels have
/// several architectures.
pub(super) fn text(sink: &dyn Sink, request: &SysextRequest<'_>) -> Result<String> {
    let architecture = architecture(request)?;
    let host = host()?;
    let (id, version) = match request.os {
        Some(os) => {
            let (id, version) = os.split_once(':').unwrap_or((os, ""));
            (value("ID", id)?.to_owned(), version.to_owned())
        }
        None => {
            let id = os_release(&host, "ID").unwrap_or_else(|| "linux".into());
            (value("ID", &id)?.to_owned(), os_release(&host, "VERSION_ID").unwrap_or_default())
        }
    };
    let level = match (request.level, request.os) {
        (Some(level), _) => Some(level.to_owned()),
        (None, None) => os_release(&host, "SYSEXT_LEVEL"),
        (None, Some(_)) => None,
    };
    let mut text = format!("ID={id}\n");
    match level {
        _ if id == ANY => {}
        Some(level) => text.push_str(&format!("SYSEXT_LEVEL={}\n", value("SYSEXT_LEVEL", &level)?)),
        // A rolling release has no version, and any version is accepted then.
        None if version.is_empty() => {}
        None => text.push_str(&format!("VERSION_ID={}\n", value("VERSION_ID", &version)?)),
    }
    text.push_str(&format!("ARCHITECTURE={architecture}\n"));
    // systemd finds the service of the extension after the merge (since version 253).
    text.push_str("EXTENSION_RELOAD_MANAGER=1\n");
    sink.event(crate::event::Event::Detail {
        text: format!("extension-release: {}", text.trim().replace('\n', " ")),
    });
    Ok(text)
}

fn host() -> Result<String> {
    let places = ["/etc/os-release", "/usr/lib/os-release"];
    places
        .iter()
        .find_map(|path| fs::read_text(path, Limit::CONFIG).ok())
        .ok_or_else(|| Error::NoOsRelease("/".into()))
}

fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(|c| c == '"' || c == '\'');
    (!value.is_empty()).then(|| value.to_owned())
}

/// A value that needs no quotes.
fn value<'a>(key: &'static str, value: &'a str) -> Result<&'a str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if !value.is_empty() && value.chars().all(legal) {
        Ok(value)
    } else {
        Err(PackError::OsRelease { key, value: value.to_owned() }.into())
    }
}

/// The architecture of all kernels, as systemd names it.
fn architecture(request: &SysextRequest<'_>) -> Result<&'static str> {
    let mut found: Option<&str> = None;
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
        if let Some(other) = found.filter(|other| *other != name) {
            return Err(RequestError::SeveralArches {
                what: "one system extension",
                arches: [other.to_owned(), name.to_owned()],
            }
            .into());
        }
        found = Some(name);
    }
    found.ok_or_else(|| RequestError::NoKernel.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release() {
        let text = "ID=debian\nVERSION_ID=\"12\"\nSYSEXT_LEVEL=\nID_LIKE=x\n";
        assert_eq!(os_release(text, "ID").as_deref(), Some("debian"));
        assert_eq!(os_release(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release(text, "SYSEXT_LEVEL"), None);
        assert!(
            value("ID", "de bian").is_err() && value("ID", "a\nB=c").is_err() && value("ID", "").is_err()
        );
        assert_eq!(value("ID", ANY).unwrap(), "_any");
    }
}
