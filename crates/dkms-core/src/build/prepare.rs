//! A fresh copy of the source with its patches applied.

use super::context::Context;
use super::log::MakeLog;
use super::prepared::Prepared;
use super::sandbox::BuildSandbox;
use crate::build::BuildError;
use crate::conf::load::{Loaded, bad_regex};
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::system::System;
use dkms_sys::fs::Limit;
use dkms_sys::process::{Stdin, Stream};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use std::path::{Component, Path, PathBuf};

/// Prepares the source of a build.
///
/// # Errors
/// As [`fresh_copy`] and [`patch`].
pub(crate) fn prepare<'a>(context: &'a Context<'_>) -> Result<Prepared<'a>> {
    let names = patches_for(context.loaded, context.build)?;
    let patches = patch(context.system, context.sink, context.build, context.sandbox, &names, context.log)?;
    Ok(Prepared { dir: context.dir, patches })
}

/// Copies the source to `dir`, replacing its previous content.
///
/// # Errors
/// [`BuildError::EmptySource`]. If copying fails, the incomplete copy is deleted.
pub fn fresh_copy(layout: &Layout, sink: &dyn Sink, build: &Build, dir: &Path) -> Result<()> {
    copy_source(sink, &layout.source_link(&build.package), dir)
}

/// Like [`fresh_copy`], for the source in the directory `source`.
pub(super) fn copy_source(sink: &dyn Sink, source: &Path, dir: &Path) -> Result<()> {
    let entries = dkms_sys::fs::list_dir(source)?;
    if entries.iter().filter(|n| !n.to_string_lossy().starts_with('.')).count() < 2 {
        return Err(BuildError::EmptySource(source.to_owned()).into());
    }
    dkms_sys::fs::remove_tree(dir)?;
    match dkms_sys::fs::copy_tree(source, dir) {
        Ok(left_out) => sink.warn_left_out(&left_out),
        Err(e) => {
            let _ = dkms_sys::fs::remove_tree(dir);
            return Err(e.into());
        }
    }
    Ok(())
}

/// The names of the patches that dkms.conf lists for the kernel of this build.
///
/// # Errors
/// A PATCH_MATCH is not a valid regular expression.
pub(crate) fn patches_for<'a>(loaded: &'a Loaded, build: &Build) -> Result<Vec<&'a str>> {
    let release = &build.kernel.release;
    let names = loaded.conf.patches_for(release, &crate::conf::regex_matches);
    names.map_err(|e| bad_regex(loaded, &e.to_string()))
}

/// Finds the file of a patch: in the administrator's `/etc/dkms/M/patches/`, otherwise in the package's
/// `patches/`.
fn find_patch(layout: &Layout, build: &Build, dir: &Path, name: &str) -> Result<PathBuf> {
    let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside || name.is_empty() {
        return Err(BuildError::PatchOutside(name.to_owned()).into());
    }
    let administrators = layout.config_dir.join(&build.package.name).join("patches").join(name);
    let shipped = dir.join("patches").join(name);
    [&administrators, &shipped].into_iter().find(|p| dkms_sys::fs::exists_followed(p)).cloned().ok_or_else(
        || {
            Error::Build(BuildError::PatchMissing {
                name: name.to_owned(),
                package: build.package.clone(),
                own: administrators.parent().unwrap_or(&administrators).to_owned(),
            })
        },
    )
}

/// Reads a patch. Code of the package may have changed a patch in the build directory `dir`, so such a patch
/// is untrusted.
fn read_patch(dir: &Path, file: &Path, owner: Option<u32>) -> Result<Vec<u8>> {
    Ok(match file.strip_prefix(dir) {
        Ok(name) => dkms_sys::fs::read_untrusted(dir, name, owner)?,
        Err(_) => dkms_sys::fs::read_bounded(file, Limit::INDEX)?,
    })
}

/// Applies these patches in the build directory with `patch -p1`, in order. Returns the name and the SHA-256
/// of each.
///
/// # Errors
/// [`BuildError::PatchOutside`]; [`BuildError::PatchMissing`]; [`BuildError::PatchFailed`] with the last
/// lines of the output of patch.
pub(crate) fn patch(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    sandbox: &BuildSandbox,
    names: &[&str],
    log: &MakeLog,
) -> Result<Vec<(String, String)>> {
    let dir = sandbox.dir();
    let program = dkms_sys::process::which("patch", &system.host.path).unwrap_or_else(|| "patch".into());
    let mut applied = Vec::new();
    for name in names {
        let file = find_patch(&system.layout, build, dir, name)?;
        let text = read_patch(dir, &file, sandbox.owner())?;
        applied.push(((*name).to_owned(), crate::digest::bytes(&text)));
        sink.event(Event::BuildStage { build: build.clone(), stage: format!("applying {name}") });
        log.begin(&format!("Applying patch {name}"), &format!("patch -p1 < {}", file.display()))?;
        let command = sandbox
            .command(&program)
            .args(["-p1", "--batch", "--no-backup-if-mismatch"])
            .env("LC_ALL", "C")
            .stdin(Stdin::Bytes(text))
            .stdout(Stream::Capture)
            .stderr(Stream::ToStdout);
        let done = sandbox.run(system, sink, command, "apply the package's patches")?;
        let output = String::from_utf8_lossy(&done.stdout);
        log.line(output.trim_end())?;
        log.end(done.status.code_for_shell(), done.elapsed)?;
        if !done.status.success() {
            let tail: Vec<String> = output.lines().rev().take(4).map(str::to_owned).collect();
            return Err(BuildError::PatchFailed {
                patch: file.to_string_lossy().into_owned(),
                log: log.failed_path.clone(),
                tail: tail.into_iter().rev().collect(),
            }
            .into());
        }
    }
    Ok(applied)
}
