//! `mksysext`: built modules as an extension of systemd-sysext(8), for systems whose /usr is read-only.
//!
//! An extension has no index of modules: it would hide that of the host and of every other extension.
//! Instead it brings a service that generates the index of everything that is merged, and binds it over the
//! host's (`packaging/systemd/sysext-index`).

mod release;
mod tree;
mod writer;

use crate::error::Result;
use crate::event::Event;
use crate::pack::modules::{Modules, of_the_kernel};
use crate::pack::{output, tarball};
use crate::request::RequestError;
use crate::session::Session;
use dkms_sys::fs::TempDir;
use dkms_tree::ids::{Kernel, PackageId};
use std::path::{Path, PathBuf};

/// The form of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A directory.
    Directory,
    /// A file system image of mksquashfs(1).
    Squashfs,
    /// A file system image of mkfs.erofs(1).
    Erofs,
}

impl Format {
    /// The format that a word names.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn from_word(word: &str) -> Result<Self> {
        match word {
            "directory" => Ok(Self::Directory),
            "squashfs" => Ok(Self::Squashfs),
            "erofs" => Ok(Self::Erofs),
            _ => Err(RequestError::Usage(format!(
                "'{word}' is no format of a system extension: directory, squashfs or erofs"
            ))
            .into()),
        }
    }

    /// The end of the name of an image.
    fn suffix(self) -> &'static str {
        if self == Self::Directory { "" } else { ".raw" }
    }
}

/// An extension to be written.
#[derive(Clone, Debug)]
pub struct SysextRequest<'a> {
    /// The packages whose modules are included.
    pub packages: &'a [PackageId],
    /// The kernels, all of one architecture.
    pub kernels: &'a [Kernel],
    /// The file or directory to write. Its name, without `.raw`, is the name of the extension.
    pub output: Option<&'a Path>,
    /// The form.
    pub format: Format,
    /// `ID`, `ID:VERSION_ID` or `_any` of the systems that may merge it, instead of this one's.
    pub os: Option<&'a str>,
    /// SYSEXT_LEVEL, instead of a version.
    pub level: Option<&'a str>,
    /// Whether the modules are loaded at boot.
    pub load: bool,
    /// SOURCE_DATE_EPOCH; if unset, the time of the newest module.
    pub epoch: Option<u64>,
}

impl SysextRequest<'_> {
    /// The name of the extension and where it is written.
    ///
    /// # Errors
    /// systemd would not accept the name.
    fn target(&self, s: &Session<'_>) -> Result<(String, PathBuf)> {
        let suffix = self.format.suffix();
        let (name, path) = match (self.output, self.packages.first()) {
            (Some(path), _) => {
                let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
                let Some(name) = file.strip_suffix(suffix).filter(|n| !n.ends_with(".raw")) else {
                    let rule = if suffix.is_empty() { "has a name without .raw" } else { "ends in .raw" };
                    return Err(usage(path, &format!("this form of a system extension {rule}")));
                };
                (name.to_owned(), path.to_owned())
            }
            (None, Some(p)) => {
                let name = format!("{}-{}", p.name, p.version);
                let path = s.layout.version_dir(p).join("sysext").join(format!("{name}{suffix}"));
                (name, path)
            }
            (None, None) => {
                return Err(RequestError::ModuleNotNamed { action: "mksysext".into() }.into());
            }
        };
        let legal = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "/\\\"'$:,".contains(c));
        if legal { Ok((name, path)) } else { Err(usage(&path, "this is no name of a system extension")) }
    }
}

fn usage(path: &Path, why: &str) -> crate::Error {
    RequestError::Usage(format!("{}: {why}", path.display())).into()
}

/// The path that [`make`] writes.
///
/// # Errors
/// systemd would not accept the name.
pub fn place(s: &Session<'_>, request: &SysextRequest<'_>) -> Result<PathBuf> {
    Ok(request.target(s)?.1)
}

/// Writes the extension.
///
/// # Errors
/// A package is not in the tree, or nothing is built for a kernel; the kernels have several architectures; a
/// module that ours depend on is not there; this system's os-release is unusable; the output exists, and
/// `--force` is not given; the program for the format is missing or fails; the destination is not writable.
pub fn make(s: &Session<'_>, request: &SysextRequest<'_>) -> Result<PathBuf> {
    let (name, path) = request.target(s)?;
    output::refuse_existing(s, &path)?;
    let mut all = Vec::new();
    for kernel in request.kernels {
        let modules = Modules::read(s, request.packages, kernel)?;
        modules.require_dependencies(&of_the_kernel(&s.layout.kernel_modules(&kernel.release))?)?;
        all.push(modules);
    }
    let release = release::text(s, request)?;
    let writer = writer::Writer::new(s, request.format)?;
    let newest = || all.iter().map(Modules::time).max().unwrap_or(0);
    let epoch = request.epoch.unwrap_or_else(newest);
    let directory = output::directory(&path);
    tarball::require_writable(directory)?;
    // Beside the target, so that one rename puts it into place.
    let scratch = TempDir::new_in(directory, ".dkms-mksysext")?;
    let content = scratch.path().join(&name);
    tree::fill(&content, &name, &all, &release, request.load)?;
    tree::set_times(&content, epoch)?;
    writer.write(s, &content, &name, &path, epoch)?;
    s.report(Event::ArchiveWritten { path: path.clone() });
    Ok(path)
}
