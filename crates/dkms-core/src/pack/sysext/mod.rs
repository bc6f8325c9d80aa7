//! `mksysext`: packages built modules as an extension of systemd-sysext(8), for systems whose /usr is
//! read-only.
//!
//! An extension must not contain an index of modules, which would hide the index of the host and of every
//! other extension. Instead it contains a service that generates the index of all merged extensions, and
//! mounts it over the host's index (`packaging/systemd/sysext-index`).

mod release;
mod request;
mod tree;
mod writer;

use crate::error::Result;
use crate::event::Sink;
use crate::pack::PackError;
use crate::pack::modules::Modules;
use crate::pack::output::{self, directory};
use crate::pack::packer::Packer;
use crate::request::RequestError;
use crate::system::System;
use dkms_sys::fs::TempDir;
use dkms_tree::layout::Layout;
pub use request::{Format, SysextRequest};
use std::path::PathBuf;

impl SysextRequest<'_> {
    /// Returns the name of the extension and its path.
    ///
    /// # Errors
    /// systemd would not accept the name.
    fn target(&self, layout: &Layout) -> Result<(String, PathBuf)> {
        let suffix = self.format.suffix();
        let (name, path) = match (self.output, self.packages.first()) {
            (Some(path), _) => {
                let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
                let Some(name) = file.strip_suffix(suffix).filter(|n| !n.ends_with(".raw")) else {
                    let (path, raw) = (path.to_owned(), !suffix.is_empty());
                    return Err(PackError::ExtensionSuffix { path, raw }.into());
                };
                (name.to_owned(), path.to_owned())
            }
            (None, Some(package)) => {
                let name = format!("{}-{}", package.name, package.version);
                let path = layout.version_dir(package).join("sysext").join(format!("{name}{suffix}"));
                (name, path)
            }
            (None, None) => {
                return Err(RequestError::ModuleNotNamed { action: "mksysext".into() }.into());
            }
        };
        let legal = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "/\\\"'$:,".contains(c));
        if legal { Ok((name, path)) } else { Err(PackError::ExtensionName(path).into()) }
    }
}

/// Returns the path that [`make`] writes.
///
/// # Errors
/// systemd would not accept the name.
pub fn place(layout: &Layout, request: &SysextRequest<'_>) -> Result<PathBuf> {
    Ok(request.target(layout)?.1)
}

/// Writes the extension.
///
/// # Errors
/// A package is not in the tree, or is not built for a kernel; the kernels have several architectures; a
/// module that the packaged modules depend on is missing; this system's os-release is unusable; the output
/// exists, and `--force` is not given; the program for the format is missing or fails; the destination is not
/// writable.
pub fn make(system: &System, sink: &dyn Sink, request: &SysextRequest<'_>) -> Result<PathBuf> {
    let (name, path) = request.target(&system.layout)?;
    output::refuse_existing(&path, request.force)?;
    let read = |kernel| Modules::read_complete(&system.layout, request.packages, kernel);
    let modules = request.kernels.iter().map(read).collect::<Result<Vec<_>>>()?;
    let newest = || modules.iter().map(Modules::time).max().unwrap_or(0);
    let packer = Packer { system, sink, epoch: request.epoch.unwrap_or_else(newest) };
    let release = release::text(sink, request)?;
    let writer = writer::Writer::new(&packer, request.format)?;
    output::require_writable(directory(&path))?;
    // Create it next to its path, so that one rename moves it there.
    let scratch = TempDir::new_in(directory(&path), ".dkms-mksysext")?;
    let content = scratch.path().join(&name);
    tree::fill(&content, &name, &modules, &release, request.load)?;
    output::set_times(&content, packer.epoch)?;
    let written = writer.write(&packer, &content, &name, &path)?;
    writer::place(&written, &path, request.force)?;
    Ok(packer.report_written(path))
}
