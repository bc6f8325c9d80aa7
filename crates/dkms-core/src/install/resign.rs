//! Re-signs modules without a build, both the built and the installed files.

use super::change::{Change, write_record};
use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::installed;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::Build;
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{Manifest, Signature, Stamp};
use dkms_tree::state;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Decides which modules are re-signed, and signs them.
pub trait Resigner {
    /// Returns whether the module in this file is to be re-signed, or the reason why not.
    ///
    /// # Errors
    /// The file cannot be read.
    fn wants(&self, file: &Path) -> Result<std::result::Result<(), String>>;

    /// Returns the re-signed file, and the data that the manifest records about its signature.
    ///
    /// # Errors
    /// It cannot be signed.
    fn renewed(&self, b: &Build, file: &Path) -> Result<(Vec<u8>, Signature)>;
}

/// The result of re-signing the modules of a build.
#[derive(Debug, Default)]
pub struct Resigned {
    /// Files with a new signature, in the tree and in `/lib/modules`.
    pub files: Vec<PathBuf>,
    /// The number of installed files among them.
    pub installed: usize,
    /// Files that were left as they are, and why.
    pub left: Vec<(PathBuf, String)>,
}

/// A file to be replaced.
struct Item {
    path: PathBuf,
    /// The built file with the same bytes.
    copy_of: Option<PathBuf>,
    installed: bool,
}

impl Change {
    /// Re-signs those modules of a build that `resigner` wants. This does not change the index, so no depmod
    /// is needed.
    ///
    /// # Errors
    /// On an error, nothing of this build is changed.
    pub fn resign(
        &mut self,
        system: &System,
        sink: &dyn Sink,
        build: &Build,
        resigner: &dyn Resigner,
    ) -> Result<Resigned> {
        let mut done = Resigned::default();
        let items = wanted(system, sink, build, resigner, &mut done)?;
        if items.is_empty() {
            return Ok(done);
        }
        let place = |item: &Item| Op::Place {
            staged: aside(&item.path, "new"),
            to: item.path.clone(),
            saved: Some(aside(&item.path, "old")),
            vacated: None,
        };
        let mut ops: Vec<Op> = items.iter().map(place).collect();
        let manifest = Manifest::read(&system.layout, build)?;
        let path = system.layout.manifest(build);
        if manifest.is_some() {
            ops.push(Op::Keep { path: path.clone(), saved: aside(&path, "old") });
        }
        let signatures: RefCell<BTreeMap<PathBuf, Signature>> = RefCell::default();
        let stage = || {
            items.iter().try_for_each(|item| {
                let staged = aside(&item.path, "new");
                fs::remove_file(&staged)?;
                if let Some(built) = &item.copy_of {
                    fs::copy_file(aside(built, "new"), &staged)?;
                    fs::set_mode(&staged, 0o644)?;
                    return Ok(fs::sync_file(&staged)?);
                }
                let (bytes, signature) = resigner.renewed(build, &item.path)?;
                signatures.borrow_mut().insert(item.path.clone(), signature);
                Ok(fs::create_new(&staged, &bytes, 0o644)?)
            })
        };
        let record = || match manifest {
            Some(m) => write_record(
                &path,
                &updated(&system.host, &system.layout, build, m, &items, &signatures.borrow())?,
            ),
            None => Ok(()),
        };
        self.note(system, &build.package.name)?;
        self.batch(system, sink, &build.kernel, ops, stage, record)?;
        done.installed = items.iter().filter(|item| item.installed).count();
        done.files = items.into_iter().map(|item| item.path).collect();
        Ok(done)
    }

    /// Replaces files that belong to no package, in one batch, for a kernel that is part of this change.
    ///
    /// # Errors
    /// On an error, nothing of the batch is changed.
    pub(crate) fn replace(&mut self, system: &System, sink: &dyn Sink, ops: Vec<Op>) -> Result<()> {
        let Some(kernel) = self.kernels.first().map(|of| of.kernel.clone()) else { return Ok(()) };
        self.batch(system, sink, &kernel, ops, || Ok(()), || Ok(()))
    }
}

fn wanted(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    resigner: &dyn Resigner,
    done: &mut Resigned,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let built: Vec<PathBuf> =
        state::module_files(&system.layout, build).into_iter().map(|f| f.path).collect();
    for path in &built {
        match resigner.wants(path)? {
            Ok(()) => items.push(Item { path: path.clone(), copy_of: None, installed: false }),
            Err(why) => done.left.push((path.clone(), why)),
        }
    }
    if !state::is_active(&system.layout, build) {
        return Ok(items);
    }
    installed::check_record(system.trees(), build)?;
    let ours = installed::installed_files(system, sink, build).into_iter().filter(|f| f.ours && f.present);
    // A link points to the built file.
    for path in ours.map(|f| f.path).filter(|path| !fs::is_symlink(path)) {
        let same = |built: &&PathBuf| fs::same_contents(&path, built).unwrap_or(false);
        let copy_of = items.iter().map(|item| &item.path).find(same).cloned();
        if copy_of.is_none() {
            if let Err(why) = resigner.wants(&path)? {
                if !built.iter().any(|built| same(&built)) {
                    done.left.push((path, why));
                }
                continue;
            }
        }
        items.push(Item { path, copy_of, installed: true });
    }
    Ok(items)
}

/// Returns the manifest with the digests and stamps of the new files.
fn updated(
    host: &Host,
    layout: &Layout,
    build: &Build,
    mut manifest: Manifest,
    items: &[Item],
    signatures: &BTreeMap<PathBuf, Signature>,
) -> Result<Manifest> {
    let dir = layout.module_dir(build);
    let stamp = |path: &Path| Stamp::of(path).filter(|_| host.records_stamps()).unwrap_or_default();
    for record in &mut manifest.modules {
        let path = dir.join(&record.file);
        if let Some(signature) = signatures.get(&path) {
            let bytes = fs::read(&path)?;
            record.size = bytes.len() as u64;
            record.sha256 = crate::digest::bytes(&bytes);
            record.signature = signature.clone();
        }
    }
    for file in manifest.installed.iter_mut().flat_map(|installed| &mut installed.files) {
        if items.iter().any(|item| item.path == file.path) {
            file.stamp = stamp(&file.path);
        }
        file.built = stamp(&dir.join(&file.file));
    }
    Ok(manifest)
}
