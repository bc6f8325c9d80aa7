//! Module files and their names.

use super::decline::Decline;
use super::facts::Facts;

/// A module file in a kernel's directory, and what it contributes.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Below the kernel's directory, such as `updates/dkms/hello.ko.xz`.
    pub path: &'a str,
    /// What was read from it.
    pub facts: &'a Facts<'a>,
}

/// The extensions of module files.
const EXTENSIONS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Whether a file is a module by its name.
#[must_use]
pub fn is_module(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.len() > extension.len() && name.ends_with(extension))
}

/// The names that one path stands for.
pub(super) struct Name<'a> {
    /// The kernel's name of it: `-` is `_`.
    pub(super) module: String,
    /// The path without an extension.
    pub(super) stem: &'a str,
}

impl<'a> Name<'a> {
    pub(super) fn of(path: &'a str) -> Result<Self, Decline> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = file.split('.').next().unwrap_or(file);
        let extension = file.get(name.len()..).unwrap_or_default();
        if !plain(path) || name.is_empty() || !EXTENSIONS.contains(&extension) {
            return Err(Decline::new(format!("{} has an odd name", path.escape_debug())));
        }
        if extension == ".ko.gz" {
            return Err(Decline::new(format!(
                "{path} is compressed with gzip, which not every kmod can read"
            )));
        }
        let stem = path.get(..path.len() - extension.len()).unwrap_or(path);
        Ok(Self { module: name.replace('-', "_"), stem })
    }
}
