//! The types shared by the parts of the index.

use super::decline::Decline;
use super::facts::Facts;
use crate::name::ModuleName;

/// A version of kmod whose depmod writes the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 30, as in Debian 12.
    Kmod30,
    /// 34, as in Debian 13: parents first in the binary files, and a list of weak dependencies.
    Kmod34,
}

impl Version {
    /// Parses the first line of `depmod --version`; `None` for versions whose index was not compared with
    /// ours.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        match line.trim().strip_prefix("kmod version ")? {
            "30" => Some(Self::Kmod30),
            "34" | "34.1" | "34.2" => Some(Self::Kmod34),
            _ => None,
        }
    }
}

/// A module file in a kernel's directory, with its facts.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// The path relative to the kernel's directory, such as `updates/dkms/hello.ko.xz`.
    pub path: &'a str,
    /// The facts read from it.
    pub facts: &'a Facts<'a>,
}

/// The other files in a kernel's directory that the index depends on.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// `modules.order`
    pub order: &'a str,
    /// `modules.builtin`
    pub builtin: &'a str,
    /// `modules.builtin.modinfo`
    pub builtin_modinfo: &'a [u8],
}

/// One file of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name in the kernel's directory, such as `modules.dep`.
    pub name: &'static str,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// The extensions of module files.
pub(super) const EXTENSIONS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// The parts of a module file's path.
pub(super) struct Name<'a> {
    pub(super) module: ModuleName,
    /// The path without the extension.
    pub(super) stem: &'a str,
}

impl<'a> Name<'a> {
    pub(super) fn from_path(path: &'a str) -> Result<Self, Decline> {
        let file = path.rsplit('/').next().unwrap_or(path);
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = file.split('.').next().unwrap_or(file);
        let extension = file.get(name.len()..).unwrap_or_default();
        if !plain(path) || name.is_empty() || !EXTENSIONS.contains(&extension) {
            return Err(Decline::ModulePath(path.escape_debug().to_string()));
        }
        if extension == ".ko.gz" {
            return Err(Decline::Gzip(path.to_owned()));
        }
        let stem = path.get(..path.len() - extension.len()).unwrap_or(path);
        Ok(Self { module: ModuleName::new(name), stem })
    }
}
