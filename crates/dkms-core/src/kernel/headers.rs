//! A kernel's headers and its configuration.

use crate::build::{BuildError, HeadersMissing};
use crate::error::Result;
use crate::host::Host;
use crate::system::{Settings, System};
use dkms_conf::framework_conf::Prebuilt;
use dkms_sys::fs::Limit;
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The headers of a kernel and their configuration.
#[derive(Clone, Debug)]
pub struct Headers {
    /// `$kernel_source_dir`
    pub dir: PathBuf,
    /// The configuration, if there is one.
    pub config: Option<KernelConfig>,
}

impl Headers {
    /// The most directories: Debian's headers are in four.
    const PARTS: usize = 20;

    /// Names that may be links into another directory of the headers: `source` after `make O=DIR`, the others
    /// where a distribution splits the headers. A link of another name leads to files that are not headers.
    const LINKS: [&str; 5] = ["source", "scripts", "tools", "include", "arch"];

    /// Returns the directories that a build reads: the headers, the target of `source` in `modules`
    /// (`/lib/modules/RELEASE`), and the directories that these include or link to.
    #[must_use]
    pub fn directories(&self, modules: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let mut pending = vec![self.dir.clone(), modules.join("source")];
        while let Some(path) = pending.pop() {
            let Ok(path) = dkms_sys::fs::canonicalize(path) else { continue };
            if found.len() >= Self::PARTS || found.iter().any(|dir| path.starts_with(dir)) {
                continue;
            }
            pending.extend(included(&path).unwrap_or_default());
            pending
                .extend(Self::LINKS.map(|name| path.join(name)).into_iter().filter(|path| path.is_symlink()));
            found.push(path);
        }
        found
    }
}

/// The directories of makefiles that a Makefile of headers includes: it is often a single line.
///
/// # Errors
/// The Makefile cannot be read.
pub fn included(dir: &Path) -> std::result::Result<Vec<PathBuf>, dkms_sys::IoError> {
    use dkms_sys::fs::{self, Limit};
    let text = fs::read_optional(dir.join("Makefile"), Limit::CONFIG)?;
    let text = text.filter(|text| text.len() <= 4096).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let files = text.lines().filter_map(|line| line.strip_prefix("include "));
    let found = files.filter_map(|file| fs::canonicalize(dir.join(file.trim())).ok());
    Ok(found.filter_map(|file| Some(file.parent()?.to_owned())).collect())
}

/// The text of `include/config/auto.conf` or `.config`.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// The path of the file.
    pub path: PathBuf,
    text: String,
}

impl KernelConfig {
    /// Reads a configuration; `None` if it cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = dkms_sys::fs::read_bounded(path, Limit::INDEX).ok()?;
        Some(Self { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// The value of `CONFIG_X`, without quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|l| {
            let v = l.strip_prefix(name)?.strip_prefix('=')?;
            Some(v.trim_end().trim_matches('"'))
        })
    }

    /// Returns whether `CONFIG_X` is `y` or `m`.
    pub fn enabled(&self, name: &str) -> bool {
        self.value(name).is_some_and(|v| v.starts_with('y') || v.starts_with('m'))
    }

    /// The complete text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `$kernel_source_dir` for a kernel: `--kernelsourcedir`, or `/lib/modules/K/build`.
pub fn source_dir(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    settings.kernel_source_dir.clone().unwrap_or_else(|| layout.kernel_headers(release))
}

/// `$kernel_config` for a kernel: `--config`, or the configuration in the headers. The file need not exist.
pub fn config_path(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    if let Some(path) = &settings.kernel_config {
        return path.clone();
    }
    let dir = source_dir(layout, settings, release);
    let auto = dir.join("include/config/auto.conf");
    if auto.exists() { auto } else { dir.join(".config") }
}

/// The kernel's configuration with its comments (`is not set`): `--config`, or `.config` in the headers. The
/// file need not exist.
pub fn whole_config_path(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    settings.kernel_config.clone().unwrap_or_else(|| source_dir(layout, settings, release).join(".config"))
}

/// Returns whether modules for a kernel can be built or fetched: its headers are installed, or builds come
/// from a registry.
pub fn suffice(layout: &Layout, settings: &Settings, release: &str) -> bool {
    let only = settings.framework.prebuilt == Some(Prebuilt::Only);
    present(layout, settings, release) || only && layout.kernel_modules(release).is_dir()
}

/// Returns whether the headers of a kernel are installed.
pub fn present(layout: &Layout, settings: &Settings, release: &str) -> bool {
    source_dir(layout, settings, release).join("include").exists()
}

/// The configuration that kernel packages install beside the kernel.
pub(super) fn installed_config(layout: &Layout, release: &str) -> Option<KernelConfig> {
    let modules = layout.kernel_modules(release).join("config");
    [modules, PathBuf::from(format!("/boot/config-{release}"))]
        .iter()
        .find_map(|path| KernelConfig::read(path))
}

/// Finds a kernel's headers. With `prebuilt=only`, nothing is compiled, and they may be missing.
///
/// # Errors
/// [`BuildError::HeadersMissing`] with the package that has them.
pub fn find(system: &System, kernel: &Kernel) -> Result<Headers> {
    let dir = source_dir(&system.layout, &system.settings, &kernel.release);
    if !present(&system.layout, &system.settings, &kernel.release) {
        if system.settings.framework.prebuilt == Some(Prebuilt::Only) {
            return Ok(Headers { dir, config: installed_config(&system.layout, &kernel.release) });
        }
        let package = package(&system.layout, &system.host, kernel);
        let mut others = super::installed::with_headers(&system.layout);
        others.retain(|other| present(&system.layout, &system.settings, other));
        let release = kernel.release.clone();
        return Err(BuildError::from(HeadersMissing { release, path: dir, package, others }).into());
    }
    let path = config_path(&system.layout, &system.settings, &kernel.release);
    // A configuration that does not exist or cannot be read is harmless. An object that is not a regular file
    // is not.
    if let Err(e) = dkms_sys::fs::open_bounded(&path, Limit::INDEX) {
        if e.errno().is_none() {
            return Err(e.into());
        }
    }
    let config = KernelConfig::read(&path);
    Ok(Headers { dir, config })
}

/// The package with the headers of a kernel.
pub(crate) fn package(layout: &Layout, host: &Host, kernel: &Kernel) -> String {
    host.distribution.as_ref().map_or_else(
        || format!("the headers of kernel {}", kernel.release),
        |d| d.headers_package(&kernel.release, &layout.kernel_modules(&kernel.release)),
    )
}

/// The kernel that modules are for if they are built with these headers.
pub(crate) fn kernel_release(headers: &Path) -> Option<String> {
    let text = dkms_sys::fs::read_text(headers.join("include/generated/utsrelease.h"), Limit::CONFIG).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE "))?;
    Some(line.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian divides them: one directory includes a second one, and both have links to a third one.
    #[test]
    fn headers_in_several_directories() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().canonicalize().unwrap().join(name);
        for name in ["amd64", "common", "kbuild/scripts", "modules", "other"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let include = format!("include {}/Makefile\n", path("common").display());
        std::fs::write(path("amd64/Makefile"), include).unwrap();
        std::fs::write(path("common/Makefile"), "include ./missing\nall:\n").unwrap();
        for (link, target) in [
            ("amd64/scripts", "../kbuild/scripts"),
            ("common/arch", "."),
            ("amd64/tools", "x"),
            ("amd64/notes", "../other"),
        ] {
            std::os::unix::fs::symlink(target, path(link)).unwrap();
        }
        std::os::unix::fs::symlink(path("amd64"), path("modules/build")).unwrap();
        let headers = Headers { dir: path("modules/build"), config: None };
        let mut found = headers.directories(&path("modules"));
        found.sort();
        assert_eq!(found, [path("amd64"), path("common"), path("kbuild/scripts")]);
        // With a separate source, as after `make O=`.
        std::os::unix::fs::symlink(path("other"), path("modules/source")).unwrap();
        assert!(headers.directories(&path("modules")).contains(&path("other")));
    }

    #[test]
    fn values_with_and_without_quotes() {
        let c = KernelConfig {
            path: PathBuf::new(),
            text: "CONFIG_A=y\nCONFIG_AB=m\n# CONFIG_C is not set\nCONFIG_MODULE_SIG_HASH=\"sha256\"\nCONFIG_N=10\n".into(),
        };
        assert!(
            c.enabled("CONFIG_A")
                && c.enabled("CONFIG_AB")
                && !c.enabled("CONFIG_C")
                && !c.enabled("CONFIG_N")
        );
        assert_eq!(c.value("CONFIG_MODULE_SIG_HASH"), Some("sha256"));
    }
}
