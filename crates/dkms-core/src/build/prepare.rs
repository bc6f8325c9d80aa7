//! A fresh copy of the source with its patches applied.

use super::log::MakeLog;
use super::sandbox::BuildSandbox;
use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::Build;
use crate::session::Session;
use dkms_sys::fs::Limit;
use dkms_sys::process::{Stdin, Stream};
use std::path::{Component, Path, PathBuf};

/// Copies the source to `dir`; what was there before is gone.
///
/// # Errors
/// [`BuildError::EmptySource`], or when copying fails; then nothing is left of the copy.
pub fn fresh_copy(s: &Session<'_>, b: &Build, dir: &Path) -> Result<()> {
    let source = s.layout.source_link(&b.package);
    let entries = dkms_sys::fs::list_dir(&source)?;
    if entries.iter().filter(|n| !n.to_string_lossy().starts_with('.')).count() < 2 {
        return Err(BuildError::EmptySource(source).into());
    }
    dkms_sys::fs::remove_tree(dir)?;
    match dkms_sys::fs::copy_tree(&source, dir) {
        Ok(left_out) => s.note_left_out(&left_out),
        Err(e) => {
            let _ = dkms_sys::fs::remove_tree(dir);
            return Err(e.into());
        }
    }
    Ok(())
}

/// Where a patch is: the administrator's `/etc/dkms/M/patches/` before the package's `patches/`.
///
/// # Errors
/// [`BuildError::PatchName`] for a name that leaves the directory, or a patch that is nowhere.
pub fn find_patch(s: &Session<'_>, b: &Build, dir: &Path, name: &str) -> Result<PathBuf> {
    let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside || name.is_empty() {
        return Err(BuildError::PatchName(format!(
            "the patch '{name}' in dkms.conf leaves the patches directory"
        ))
        .into());
    }
    let own = s.layout.config_dir.join(&b.package.name).join("patches").join(name);
    let shipped = dir.join("patches").join(name);
    [&own, &shipped].into_iter().find(|p| p.exists()).cloned().ok_or_else(|| {
        Error::Build(BuildError::PatchName(format!(
            "the patch '{name}' in dkms.conf is neither in patches/ of {} nor in {}",
            b.package,
            own.parent().unwrap_or(&own).display()
        )))
    })
}

/// A patch that the package brings lies where the package's own code may have put it.
fn read_patch(dir: &Path, file: &Path, owner: Option<u32>) -> Result<Vec<u8>> {
    Ok(match file.strip_prefix(dir) {
        Ok(name) => dkms_sys::fs::read_untrusted(dir, name, owner)?,
        Err(_) => dkms_sys::fs::read_bounded(file, Limit::INDEX)?,
    })
}

/// Applies patches with `patch -p1`, in order, and returns each with its digest.
///
/// # Errors
/// [`BuildError::PatchFailed`] with the rejected hunks.
pub(crate) fn patch(
    s: &Session<'_>,
    b: &Build,
    sandbox: &BuildSandbox,
    dir: &Path,
    names: &[&str],
    log: &MakeLog,
) -> Result<Vec<(String, String)>> {
    let mut applied = Vec::new();
    for name in names {
        let file = find_patch(s, b, dir, name)?;
        let text = read_patch(dir, &file, sandbox.owner())?;
        applied.push(((*name).to_owned(), crate::digest::bytes(&text)));
        s.tell(Event::BuildStage { build: b.clone(), stage: format!("applying {name}") });
        log.begin(&format!("Applying patch {name}"), &format!("patch -p1 < {}", file.display()))?;
        let program = dkms_sys::process::which("patch", &s.host.path).unwrap_or_else(|| "patch".into());
        let command = sandbox
            .command(program)
            .args(["-p1", "--batch", "--no-backup-if-mismatch"])
            .envs(s.host.environment.iter().cloned())
            .env("LC_ALL", "C")
            .stdin(Stdin::Bytes(text))
            .stdout(Stream::Capture)
            .stderr(Stream::ToStdout);
        let done = sandbox.run(s, command, "apply the package's patches")?;
        let said = String::from_utf8_lossy(&done.stdout);
        log.line(said.trim_end())?;
        log.end(done.status.code_for_shell(), done.elapsed)?;
        if !done.status.success() {
            let tail: Vec<String> = said.lines().rev().take(4).map(str::to_owned).collect();
            return Err(BuildError::PatchFailed {
                patch: file.to_string_lossy().into_owned(),
                log: log.kept.clone(),
                tail: tail.into_iter().rev().collect(),
            }
            .into());
        }
    }
    Ok(applied)
}
