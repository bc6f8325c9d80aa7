//! A kernel's headers and its configuration.

use crate::build::{BuildError, HeadersMissing};
use crate::error::Result;
use crate::host::Host;
use crate::system::{Settings, System};
use dkms_conf::framework_conf::Prebuilt;
use dkms_sys::fs::{self, Limit};
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
    /// The maximum number of directories. Debian's headers consist of four.
    const MAX_DIRECTORIES: usize = 20;

    /// The names of links to other directories with headers: `source` is made by `make O=DIR`, the others by
    /// distributions that split the headers. Links with other names point to files that are not headers.
    const LINKS: [&str; 5] = ["source", "scripts", "tools", "include", "arch"];

    /// Returns the directories that a build reads: the headers, the target of `source` in `modules`
    /// (`/lib/modules/RELEASE`), and the directories that these include or link to.
    #[must_use]
    pub fn directories(&self, modules: &Path) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = Vec::new();
        let mut pending = vec![self.dir.clone(), modules.join("source")];
        while let Some(path) = pending.pop() {
            let Ok(path) = fs::canonicalize(path) else { continue };
            let is_full = directories.len() >= Self::MAX_DIRECTORIES;
            if is_full || directories.iter().any(|dir| path.starts_with(dir)) {
                continue;
            }
            pending.extend(included(&path).unwrap_or_default());
            let links = Self::LINKS.into_iter().map(|name| path.join(name));
            pending.extend(links.filter(|path| path.is_symlink()));
            directories.push(path);
        }
        directories
    }
}

/// Returns the directories of the makefiles that the Makefile in `dir` includes. In headers, such a Makefile
/// often has a single line. A Makefile of more than 4096 bytes is ignored.
///
/// # Errors
/// The Makefile cannot be read.
pub fn included(dir: &Path) -> std::result::Result<Vec<PathBuf>, dkms_sys::IoError> {
    let text = fs::read_optional(dir.join("Makefile"), Limit::CONFIG)?;
    let text = text.filter(|text| text.len() <= 4096).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let files = text.lines().filter_map(|line| line.strip_prefix("include "));
    let paths = files.filter_map(|file| fs::canonicalize(dir.join(file.trim())).ok());
    Ok(paths.filter_map(|path| Some(path.parent()?.to_owned())).collect())
}

/// The configuration of a kernel: the text of `include/config/auto.conf`, `.config` or a similar file.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// The path of the file.
    pub path: PathBuf,
    text: String,
}

impl KernelConfig {
    /// Reads a configuration; `None` if it cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read_bounded(path, Limit::INDEX).ok()?;
        Some(Self { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// Returns the value of an option such as `CONFIG_X`, without quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.trim_end().trim_matches('"'))
    }

    /// Returns whether an option such as `CONFIG_X` is `y` or `m`.
    pub fn enabled(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.starts_with(['y', 'm']))
    }

    /// Returns the complete text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Returns `$kernel_source_dir` for a kernel: `--kernelsourcedir`, or `/lib/modules/K/build`.
pub fn source_dir(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    settings.kernel_source_dir.clone().unwrap_or_else(|| layout.kernel_headers(release))
}

/// Returns `$kernel_config` for a kernel: `--config`, or the configuration in the headers. The file need not
/// exist.
pub fn config_path(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    if let Some(path) = &settings.kernel_config {
        return path.clone();
    }
    let dir = source_dir(layout, settings, release);
    let auto = dir.join("include/config/auto.conf");
    if auto.exists() { auto } else { dir.join(".config") }
}

/// Returns the file with the kernel's configuration and its comments (`is not set`): `--config`, or `.config`
/// in the headers. The file need not exist.
pub fn whole_config_path(layout: &Layout, settings: &Settings, release: &str) -> PathBuf {
    settings.kernel_config.clone().unwrap_or_else(|| source_dir(layout, settings, release).join(".config"))
}

/// Returns whether modules for a kernel can be built or fetched: its headers are installed, or builds come
/// from a registry.
pub fn suffice(layout: &Layout, settings: &Settings, release: &str) -> bool {
    let is_fetched = settings.framework.prebuilt == Some(Prebuilt::Only);
    present(layout, settings, release) || is_fetched && layout.kernel_modules(release).is_dir()
}

/// Returns whether the headers of a kernel are installed.
pub fn present(layout: &Layout, settings: &Settings, release: &str) -> bool {
    source_dir(layout, settings, release).join("include").exists()
}

/// Reads the configuration of a kernel, from its headers or from the file next to its image.
pub(crate) fn configuration(layout: &Layout, settings: &Settings, release: &str) -> Option<KernelConfig> {
    let config = KernelConfig::read(&config_path(layout, settings, release));
    config.or_else(|| installed_config(layout, release))
}

/// Reads the configuration that kernel packages install next to the kernel.
fn installed_config(layout: &Layout, release: &str) -> Option<KernelConfig> {
    let paths =
        [layout.kernel_modules(release).join("config"), layout.boot_dir.join(format!("config-{release}"))];
    paths.iter().find_map(|path| KernelConfig::read(path))
}

/// Finds a kernel's headers. With `prebuilt=only`, nothing is compiled, and they may be missing.
///
/// # Errors
/// [`BuildError::HeadersMissing`] with the package that contains them.
pub fn find(system: &System, kernel: &Kernel) -> Result<Headers> {
    let System { layout, settings, host, .. } = system;
    let release = &kernel.release;
    let dir = source_dir(layout, settings, release);
    if !present(layout, settings, release) {
        if settings.framework.prebuilt == Some(Prebuilt::Only) {
            return Ok(Headers { dir, config: installed_config(layout, release) });
        }
        let package = package(layout, host, kernel);
        let mut others = super::installed::with_headers(layout);
        others.retain(|other| present(layout, settings, other));
        let release = release.clone();
        return Err(BuildError::from(HeadersMissing { release, path: dir, package, others }).into());
    }
    let path = config_path(layout, settings, release);
    // It is not an error if the configuration does not exist or cannot be read, but it is if it is not a
    // regular file or too large.
    if let Err(e) = fs::open_bounded(&path, Limit::INDEX) {
        if e.errno().is_none() {
            return Err(e.into());
        }
    }
    Ok(Headers { dir, config: KernelConfig::read(&path) })
}

/// Returns the name of the package with the headers of a kernel, or a description of it.
pub(crate) fn package(layout: &Layout, host: &Host, kernel: &Kernel) -> String {
    let release = &kernel.release;
    host.distribution.as_ref().map_or_else(
        || format!("the headers of kernel {release}"),
        |distribution| distribution.headers_package(release, &layout.kernel_modules(release)),
    )
}

/// Returns the release of the kernel to which these headers belong.
pub(crate) fn kernel_release(headers: &Path) -> Option<String> {
    let text = fs::read_text(headers.join("include/generated/utsrelease.h"), Limit::CONFIG).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE "))?;
    Some(line.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like Debian's headers: one directory includes a second one, and both have links to a third one.
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
        let mut directories = headers.directories(&path("modules"));
        directories.sort();
        assert_eq!(directories, [path("amd64"), path("common"), path("kbuild/scripts")]);
        // With a separate source, as after `make O=`.
        std::os::unix::fs::symlink(path("other"), path("modules/source")).unwrap();
        assert!(headers.directories(&path("modules")).contains(&path("other")));
    }

    #[test]
    fn values_with_and_without_quotes() {
        let config = KernelConfig {
            path: PathBuf::new(),
            text: "CONFIG_A=y\nCONFIG_AB=m\n# CONFIG_C is not set\nCONFIG_MODULE_SIG_HASH=\"sha256\"\nCONFIG_N=10\n".into(),
        };
        assert!(config.enabled("CONFIG_A") && config.enabled("CONFIG_AB"));
        assert!(!config.enabled("CONFIG_C") && !config.enabled("CONFIG_N"));
        assert_eq!(config.value("CONFIG_MODULE_SIG_HASH"), Some("sha256"));
    }

    #[test]
    fn the_configuration_next_to_the_image_is_in_the_directory_of_the_layout() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let layout = Layout {
            dkms_tree: path("tree"),
            source_tree: path("src"),
            install_tree: path("modules"),
            config_dir: path("etc"),
            boot_dir: path("boot"),
            force_dir: path("force"),
            cache_dir: path("cache"),
        };
        std::fs::create_dir(path("boot")).unwrap();
        std::fs::write(path("boot/config-6.1.0"), "CONFIG_X86_64=y\n").unwrap();
        let config = configuration(&layout, &Settings::default(), "6.1.0").unwrap();
        assert_eq!(config.path, path("boot/config-6.1.0"));
    }
}
