//! weak-modules (RHEL) and weak-modules2 (SUSE): links for other kernels with the same ABI.

use crate::event::Event;
use crate::ids::Kernel;
use crate::kernel::distro::Family;
use crate::session::Session;
use dkms_sys::process::{Command, Stdin, Stream};
use std::path::{Path, PathBuf};

/// Whether modules come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They were installed.
    Add,
    /// They are about to be removed.
    Remove,
}

/// The command for this distribution, when it is installed.
pub fn command(family: Family, kernel: &Kernel, change: Change) -> Option<(PathBuf, Vec<String>)> {
    let (candidates, arguments): (&[&str], Vec<String>) = match family {
        Family::Rhel => {
            let verb = if change == Change::Add { "--add-modules" } else { "--remove-modules" };
            (&["/usr/sbin/weak-modules", "/sbin/weak-modules"], vec!["--no-initramfs".into(), verb.into()])
        }
        Family::Suse => {
            let verb = if change == Change::Add { "--add-kernel-modules" } else { "--remove-kernel-modules" };
            (&["/usr/lib/module-init-tools/weak-modules2"], vec![verb.into(), kernel.release.clone()])
        }
        _ => return None,
    };
    let program = candidates.iter().map(Path::new).find(|p| p.is_file())?;
    Some((program.to_path_buf(), arguments))
}

/// Tells weak-modules about files that came or go; their paths on standard input, one per line. A failure is a
/// warning: the modules of this kernel are in place.
pub fn run(s: &Session<'_>, kernel: &Kernel, change: Change, files: &[PathBuf]) {
    let Some(family) = s.host.distribution.as_ref().map(|d| d.family()) else { return };
    let Some((program, arguments)) = command(family, kernel, change) else { return };
    if files.is_empty() {
        return;
    }
    let list: String = files.iter().map(|f| format!("{}\n", f.display())).collect();
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let done = Command::new(&program)
        .args(arguments)
        .envs(s.host.environment.iter().cloned())
        .stdin(Stdin::Bytes(list.into_bytes()))
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run();
    match done {
        Ok(d) if d.status.success() => {
            s.tell(Event::CommandRun { what: "weak-modules".into(), command: shown, elapsed: d.elapsed });
        }
        Ok(d) => {
            let said = String::from_utf8_lossy(&d.stdout);
            s.warn(format!(
                "{shown} ended with {} ({})",
                d.status,
                said.lines().last().unwrap_or("it said nothing")
            ));
        }
        Err(e) => s.warn(format!("{shown} could not be run: {e}")),
    }
}
