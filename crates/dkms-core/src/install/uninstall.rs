//! Plans what uninstalling a build changes.

use crate::conf::load;
use crate::error::Result;
use crate::event::Sink;
use crate::installed::{check_record, installed_files};
use crate::system::System;
use dkms_sys::fs;
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
pub(crate) struct UninstallChanges {
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
pub(crate) fn plan(system: &System, sink: &dyn Sink, build: &Build, force: bool) -> Result<UninstallChanges> {
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
                "{} is not the module that {} installed; it is kept (--force removes it)",
                file.path.display(),
                build.package
            ));
        } else {
            plan.warnings.push(format!(
                "{} of {} does not exist any more",
                file.path.display(),
                build.package
            ));
        }
    }
    restore_originals(system, sink, build, &mut plan)?;
    let link = system.layout.active_link(&build.package.name, &build.kernel);
    if let Ok(before) = fs::read_link(&link) {
        plan.ops.push(Op::Link { link, target: None, before: Some(before) });
    }
    if let Some(m) = Manifest::read(&system.layout, build)?.filter(|m| m.installed.is_some()) {
        let path = system.layout.manifest(build);
        plan.ops.push(Op::Keep { saved: aside(&path, "old"), path });
        plan.record = Some(Manifest { installed: None, ..m });
    }
    Ok(plan)
}

/// Returns the path to which a `.origin` file is moved until the commit. It is in the package's directory.
pub(crate) fn origin_aside(layout: &Layout, package: &str, file: &Path) -> PathBuf {
    let root = layout.originals_root(package);
    let relative = file.strip_prefix(&root).unwrap_or(file).as_os_str().as_bytes();
    let name = [b".", relative, b".dkms-old"].concat();
    let name: Vec<u8> = name.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect();
    layout.package_dir(package).join(OsString::from_vec(name))
}

/// Plans how the archived originals of the kernel are restored.
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
        let from_conf = || {
            let entry = conf.as_ref()?.modules.iter().find(|module| module.dest_name == original.name)?;
            let dir = system.layout.destination(&build.kernel.release, &entry.dest_location);
            Some(dir.join(original.archived.file_name()?))
        };
        let target = if original.origin_file.is_some() { original.origin.clone() } else { from_conf() };
        let Some(target) = target else {
            let (archived, release) = (original.archived.display(), &build.kernel.release);
            let reason = original.problem.map_or_else(
                || format!("where it came from in kernel {release} is not recorded"),
                |problem| problem.to_string(),
            );
            plan.warnings.push(format!("{archived} is kept: {reason}"));
            continue;
        };
        let is_free = !fs::exists(&target) || plan.removed.contains(&target);
        if is_free {
            plan.ops.push(Op::Move { from: original.archived.clone(), to: target.clone() });
            plan.restored.push(target);
        } else if fs::same_contents(&target, &original.archived).unwrap_or(false) {
            // The kernel's package has restored the file already.
            plan.ops.push(Op::Remove {
                path: original.archived.clone(),
                saved: aside(&original.archived, "old"),
            });
        } else {
            plan.warnings.push(format!(
                "{} is kept: another file exists at {}",
                original.archived.display(),
                target.display()
            ));
            continue;
        }
        if let Some(file) = original.origin_file {
            // The saved copy is not next to the file: the directory of the originals is removed together with
            // the last original, because its existence means that there are originals.
            let saved = origin_aside(&system.layout, &build.package.name, &file);
            plan.ops.push(Op::Remove { path: file, saved });
        }
    }
    Ok(())
}
