//! `mksysext`: packages built modules as an extension of systemd-sysext(8), for systems whose /usr is
//! read-only.
//!
//! An extension must not contain an index of modules, which would hide the index of the host and of every
//! other extension. Instead it contains a service that generates the index of all merged extensions, and
//! binds it over the host's index (`packaging/systemd/sysext-index`).

mod release;
mod request;
mod tree;
mod writer;

use crate::event::Sink;
use crate::pack::PackError;
use dkms_tree::layout::Layout;
pub use request::{Format, SysextRequest};

use crate::error::Result;
use crate::event::Event;
use crate::pack::modules::{Modules, of_the_kernel};
use crate::pack::{output, tarball};
use crate::request::RequestError;
use crate::system::System;
use dkms_sys::fs::TempDir;
use std::path::PathBuf;

impl SysextRequest<'_> {
    /// The name of the extension and where it is written.
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
            (None, Some(p)) => {
                let name = format!("{}-{}", p.name, p.version);
                let path = layout.version_dir(p).join("sysext").join(format!("{name}{suffix}"));
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

/// The path that [`make`] writes.
///
/// # Errors
/// systemd would not accept the name.
pub fn place(layout: &Layout, request: &SysextRequest<'_>) -> Result<PathBuf> {
    Ok(request.target(layout)?.1)
}

/// Writes the extension.
///
/// # Errors
/// A package is not in the tree, or nothing is built for a kernel; the kernels have several architectures; a
/// module that ours depend on is not there; this system's os-release is unusable; the output exists, and
/// `--force` is not given; the program for the format is missing or fails; the destination is not writable.
pub fn make(system: &System, sink: &dyn Sink, request: &SysextRequest<'_>) -> Result<PathBuf> {
    let (name, path) = request.target(&system.layout)?;
    output::refuse_existing(&path, request.force)?;
    let mut all = Vec::new();
    for kernel in request.kernels {
        let modules = Modules::read(&system.layout, request.packages, kernel)?;
        modules.require_dependencies(&of_the_kernel(&system.layout.kernel_modules(&kernel.release))?)?;
        all.push(modules);
    }
    let release = release::text(sink, request)?;
    let writer = writer::Writer::new(&system.host, request.format)?;
    let newest = || all.iter().map(Modules::time).max().unwrap_or(0);
    let epoch = request.epoch.unwrap_or_else(newest);
    let directory = output::directory(&path);
    tarball::require_writable(directory)?;
    // Create it next to the target, so that one rename moves it to its final path.
    let scratch = TempDir::new_in(directory, ".dkms-mksysext")?;
    let content = scratch.path().join(&name);
    tree::fill(&content, &name, &all, &release, request.load)?;
    tree::set_times(&content, epoch)?;
    let written = writer.write(system, sink, &content, &name, &path, epoch)?;
    writer::place(&written, &path, request.force)?;
    sink.event(Event::ArchiveWritten { path: path.clone() });
    Ok(path)
}
