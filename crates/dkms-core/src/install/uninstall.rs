//! Plans what uninstalling a build changes.

use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::installed::{check_record, installed_files};
use crate::system::System;
use dkms_tree::ids::Build;
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;
use dkms_tree::originals;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The file changes that uninstall a build.
#[derive(Debug, Default)]
pub struct UninstallChanges {
    /// The operations, in this order.
    pub ops: Vec<Op>,
    /// The manifest to write after the operations.
    pub record: Option<Manifest>,
    /// Files that are removed.
    pub removed: Vec<PathBuf>,
    /// The destinations of originals that are restored.
    pub restored: Vec<PathBuf>,
    /// Warnings for the administrator.
    pub warnings: Vec<String>,
}

/// Plans the removal of the active build.
///
/// # Errors
/// The record of its installed files cannot be used; the archived originals of the kernel cannot be read.
pub fn plan(system: &System, sink: &dyn Sink, build: &Build, force: bool) -> Result<UninstallChanges> {
    check_record(system.trees(), build)?;
    let mut plan = UninstallChanges::default();
    let files = installed_files(system, sink, build);
    for file in &files {
        // With `--force`, a file at a path that we installed is removed even if another program changed it.
        if file.ours || (file.present && force) {
            plan.ops.push(Op::Remove { path: file.path.clone(), saved: aside(&file.path, "old") });
            plan.removed.push(file.path.clone());
        } else if file.present {
            plan.warnings.push(format!(
                "{} is not the module that {} installed; it is left there (--force removes it)",
                file.path.display(),
                build.package
            ));
        } else {
            plan.warnings.push(format!("{} of {} was gone already", file.path.display(), build.package));
        }
    }
    restore_originals(system, sink, build, &mut plan)?;
    let link = system.layout.active_link(&build.package.name, &build.kernel);
    if let Ok(before) = dkms_sys::fs::read_link(&link) {
        plan.ops.push(Op::Link { link, target: None, before: Some(before) });
    }
    if let Some(m) = Manifest::read(&system.layout, build)?.filter(|m| m.installed.is_some()) {
        let path = system.layout.manifest(build);
        plan.ops.push(Op::Keep { saved: aside(&path, "old"), path });
        plan.record = Some(Manifest { installed: None, ..m });
    }
    Ok(plan)
}

/// The path to which a `.origin` file is moved until the commit: in the package's directory.
pub(crate) fn origin_aside(layout: &Layout, package: &str, file: &Path) -> PathBuf {
    let root = layout.originals_root(package);
    let inside = file.strip_prefix(&root).unwrap_or(file).as_os_str().as_bytes();
    let name = [b".", inside, b".dkms-old"].concat();
    let name: Vec<u8> = name.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect();
    layout.package_dir(package).join(OsString::from_vec(name))
}

fn restore_originals(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    plan: &mut UninstallChanges,
) -> Result<()> {
    let archived = originals::list(&system.layout, &build.package.name, &build.kernel)?;
    if archived.is_empty() {
        return Ok(());
    }
    let needs_conf = archived.iter().any(|original| original.origin_file.is_none());
    let load = || load::load(system, sink, &build.package, &build.kernel).ok();
    let conf = needs_conf.then(load).flatten().map(|loaded| loaded.conf);
    for original in archived {
        let written = || {
            let c = conf.as_ref()?;
            let entry = c.modules.iter().find(|m| m.dest_name == original.name)?;
            let dir = system.layout.destination(&build.kernel.release, &entry.dest_location);
            Some(dir.join(original.archived.file_name()?))
        };
        let place = match &original.origin_file {
            Some(_) => original.origin.clone(),
            None => written(),
        };
        let Some(place) = place else {
            let (archived, release) = (original.archived.display(), &build.kernel.release);
            let why = original
                .problem
                .map(|problem| problem.to_string())
                .unwrap_or_else(|| format!("it does not say where in kernel {release} it came from"));
            plan.warnings.push(format!("{archived} is kept: {why}"));
            continue;
        };
        let taken = dkms_sys::fs::exists(&place) && !plan.removed.contains(&place);
        if !taken {
            plan.ops.push(Op::Move { from: original.archived.clone(), to: place.clone() });
            plan.restored.push(place);
        } else if dkms_sys::fs::same_contents(&place, &original.archived).unwrap_or(false) {
            // The kernel's package has restored the file already.
            plan.ops.push(Op::Remove {
                path: original.archived.clone(),
                saved: aside(&original.archived, "old"),
            });
        } else {
            plan.warnings.push(format!(
                "{} is kept: another file has taken its place at {}",
                original.archived.display(),
                place.display()
            ));
            continue;
        }
        if let Some(file) = original.origin_file {
            // The saved copy is not beside the file: the directory of the originals is removed with the last
            // of them, because its existence means that there are originals.
            let saved = origin_aside(&system.layout, &build.package.name, &file);
            plan.ops.push(Op::Remove { path: file, saved });
        }
    }
    Ok(())
}
