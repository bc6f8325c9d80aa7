//! Plans what uninstalling a build changes.

use crate::conf::load;
use crate::error::Result;
use crate::installed::{check_record, installed_files};
use crate::session::Session;
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

/// Plans the removal of a build, which is the active one.
///
/// # Errors
/// The record of its installed files cannot be used; what is archived of the kernel cannot be read.
pub fn plan(s: &Session<'_>, b: &Build) -> Result<UninstallChanges> {
    check_record(s.trees(), b)?;
    let mut plan = UninstallChanges::default();
    let files = installed_files(s, b);
    for f in &files {
        // With --force, a file at a path that we installed is removed even if another program changed it.
        if f.ours || (f.present && s.options.force) {
            plan.ops.push(Op::Remove { path: f.path.clone(), saved: aside(&f.path, "old") });
            plan.removed.push(f.path.clone());
        } else if f.present {
            plan.warnings.push(format!(
                "{} is not the module that {} installed; it is left there (--force removes it)",
                f.path.display(),
                b.package
            ));
        } else {
            plan.warnings.push(format!("{} of {} was gone already", f.path.display(), b.package));
        }
    }
    restore_originals(s, b, &mut plan)?;
    let link = s.layout.active_link(&b.package.name, &b.kernel);
    if let Ok(before) = dkms_sys::fs::read_link(&link) {
        plan.ops.push(Op::Link { link, target: None, before: Some(before) });
    }
    if let Some(m) = Manifest::read(s.layout, b)?.filter(|m| m.installed.is_some()) {
        let path = s.layout.manifest(b);
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

fn restore_originals(s: &Session<'_>, b: &Build, plan: &mut UninstallChanges) -> Result<()> {
    let archived = originals::list(s.layout, &b.package.name, &b.kernel)?;
    if archived.is_empty() {
        return Ok(());
    }
    let conf = if archived.iter().any(|o| o.origin_file.is_none()) {
        load::load(s, &b.package, &b.kernel).ok().map(|l| l.conf)
    } else {
        None
    };
    for original in archived {
        let written = || {
            let c = conf.as_ref()?;
            let entry = c.modules.iter().find(|m| m.dest_name == original.name)?;
            let dir = s.layout.destination(&b.kernel.release, &entry.dest_location);
            Some(dir.join(original.archived.file_name()?))
        };
        let place = match &original.origin_file {
            Some(_) => original.origin.clone(),
            None => written(),
        };
        let Some(place) = place else {
            let (archived, release) = (original.archived.display(), &b.kernel.release);
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
            let saved = origin_aside(s.layout, &b.package.name, &file);
            plan.ops.push(Op::Remove { path: file, saved });
        }
    }
    Ok(())
}
