//! Re-signs modules without rebuilding them, both the built and the installed files.

use super::change::{Change, record_stamp, write_record};
use crate::error::Result;
use crate::event::Sink;
use crate::installed;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::Build;
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::manifest::{Manifest, Signature};
use dkms_tree::state;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Decides which modules are re-signed, and signs them.
pub(crate) trait Resigner {
    /// Returns the reason why the module in this file is not re-signed; `None` if it is.
    ///
    /// # Errors
    /// The file cannot be read.
    fn reason_to_skip(&self, file: &Path) -> Result<Option<String>>;

    /// Returns the re-signed file, and the data that the manifest records about its signature.
    ///
    /// # Errors
    /// It cannot be signed.
    fn sign(&self, build: &Build, file: &Path) -> Result<(Vec<u8>, Signature)>;
}

/// The result of re-signing the modules of a build.
#[derive(Debug, Default)]
pub(crate) struct Resigned {
    /// Files with a new signature, in the tree and in `/lib/modules`.
    pub files: Vec<PathBuf>,
    /// The number of installed files among them.
    pub installed: usize,
    /// Files that were not re-signed, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// A file to be replaced.
struct Item {
    path: PathBuf,
    /// The built file with the same contents, which is re-signed too.
    copy_of: Option<PathBuf>,
    is_installed: bool,
}

impl Change<'_> {
    /// Re-signs the modules of a build, except those that `resigner` skips. This does not change the index,
    /// so depmod is not needed.
    ///
    /// # Errors
    /// On an error, nothing of this build is changed.
    pub(crate) fn resign(&mut self, build: &Build, resigner: &dyn Resigner) -> Result<Resigned> {
        let (system, sink) = (self.system, self.sink);
        let mut resigned = Resigned::default();
        let items = find_items(system, sink, build, resigner, &mut resigned)?;
        if items.is_empty() {
            return Ok(resigned);
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
                let (bytes, signature) = resigner.sign(build, &item.path)?;
                signatures.borrow_mut().insert(item.path.clone(), signature);
                Ok(fs::create_new(&staged, &bytes, 0o644)?)
            })
        };
        let record = || match manifest {
            Some(manifest) => {
                write_record(&path, &updated(system, build, manifest, &items, &signatures.borrow())?)
            }
            None => Ok(()),
        };
        self.record_status(&build.package.name)?;
        self.batch(&build.kernel, ops, stage, record)?;
        resigned.installed = items.iter().filter(|item| item.is_installed).count();
        resigned.files = items.into_iter().map(|item| item.path).collect();
        Ok(resigned)
    }

    /// Replaces files that belong to no package, in one batch, for a kernel that is part of this change.
    ///
    /// # Errors
    /// On an error, nothing of the batch is changed.
    pub(crate) fn replace(&mut self, ops: Vec<Op>) -> Result<()> {
        let Some(kernel) = self.kernels.first().map(|state| state.kernel.clone()) else { return Ok(()) };
        self.batch(&kernel, ops, || Ok(()), || Ok(()))
    }
}

/// Returns the files of a build to be replaced. Adds the others to `resigned.skipped`.
fn find_items(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    resigner: &dyn Resigner,
    resigned: &mut Resigned,
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let built: Vec<PathBuf> =
        state::module_files(&system.layout, build).into_iter().map(|f| f.path).collect();
    for path in &built {
        match resigner.reason_to_skip(path)? {
            None => items.push(Item { path: path.clone(), copy_of: None, is_installed: false }),
            Some(reason) => resigned.skipped.push((path.clone(), reason)),
        }
    }
    if !state::is_active(&system.layout, build) {
        return Ok(items);
    }
    installed::check_record(system.trees(), build)?;
    let files = installed::installed_files(system, sink, build).into_iter();
    let ours = files.filter(|file| file.ours && file.present).map(|file| file.path);
    // A link points to the built file, which is replaced itself.
    for path in ours.filter(|path| !fs::is_symlink(path)) {
        let is_same = |built: &&PathBuf| fs::same_contents(&path, built).unwrap_or(false);
        let copy_of = items.iter().map(|item| &item.path).find(is_same).cloned();
        if copy_of.is_none() {
            if let Some(reason) = resigner.reason_to_skip(&path)? {
                if !built.iter().any(|built| is_same(&built)) {
                    resigned.skipped.push((path, reason));
                }
                continue;
            }
        }
        items.push(Item { path, copy_of, is_installed: true });
    }
    Ok(items)
}

/// Returns the manifest with the digests and stamps of the new files.
fn updated(
    system: &System,
    build: &Build,
    mut manifest: Manifest,
    items: &[Item],
    signatures: &BTreeMap<PathBuf, Signature>,
) -> Result<Manifest> {
    let dir = system.layout.module_dir(build);
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
            file.stamp = record_stamp(&system.host, &file.path);
        }
        file.built = record_stamp(&system.host, &dir.join(&file.file));
    }
    Ok(manifest)
}
