//! weak-modules (RHEL) and weak-modules2 (SUSE): links for other kernels with the same ABI.

use super::judge::Judge;
use super::{clean, depmod};
use crate::distro::Family;
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::look::status::{self, WeakLink};
use crate::look::verify::Facts;
use crate::system::System;
use dkms_sys::process::{Command, Stdin, Stream};
use dkms_tree::ids::Kernel;
use dkms_tree::state;
use kmodule::verdict::Reason;
use std::path::{Path, PathBuf};

/// What weak-modules does with links to modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Adds them, after the modules were installed.
    Add,
    /// Removes them, before the modules are removed.
    Remove,
}

/// Returns the program of this distribution and its arguments; `None` if it is not installed.
fn command(family: Family, kernel: &Kernel, action: Action) -> Option<(PathBuf, Vec<String>)> {
    let (candidates, arguments): (&[&str], Vec<String>) = match family {
        Family::Rhel => {
            let verb = if action == Action::Add { "--add-modules" } else { "--remove-modules" };
            (&["/usr/sbin/weak-modules", "/sbin/weak-modules"], vec!["--no-initramfs".into(), verb.into()])
        }
        Family::Suse => {
            let verb = if action == Action::Add { "--add-kernel-modules" } else { "--remove-kernel-modules" };
            (&["/usr/lib/module-init-tools/weak-modules2"], vec![verb.into(), kernel.release.to_string()])
        }
        _ => return None,
    };
    let program = candidates.iter().map(Path::new).find(|p| p.is_file())?;
    Some((program.to_path_buf(), arguments))
}

/// Runs weak-modules for added or removed files. It reads their paths from its standard input, one per line.
/// A failure is only a warning, because the modules of this kernel are installed.
pub(super) fn run(system: &System, sink: &dyn Sink, kernel: &Kernel, action: Action, files: &[PathBuf]) {
    let Some(family) = system.host.distribution.as_ref().map(|d| d.family()) else { return };
    let Some((program, arguments)) = command(family, kernel, action) else { return };
    if files.is_empty() {
        return;
    }
    let list: String = files.iter().map(|f| format!("{}\n", f.display())).collect();
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let done = Command::new(&program)
        .args(arguments)
        .envs(system.host.environment.iter().cloned())
        .stdin(Stdin::Bytes(list.into_bytes()))
        .stdout(Stream::Capture)
        .stderr(Stream::ToStdout)
        .run();
    match done {
        Ok(done) if done.status.success() => {
            let what = "weak-modules".into();
            sink.event(Event::CommandRun { what, command: shown, elapsed: done.elapsed });
            if action == Action::Add {
                remove_refused_links(system, sink, kernel, files);
            }
        }
        Ok(done) => {
            let output = done.stdout_text();
            let last = output.lines().last().unwrap_or("it printed no message");
            sink.warn(format!("{shown} ended with {} ({last})", done.status));
        }
        Err(e) => sink.warn(format!("{shown} could not be run: {e}")),
    }
}

/// Removes the links from kernels that would not load the module, or that have no list of symbols, so that
/// this is unknown.
fn remove_refused_links(system: &System, sink: &dyn Sink, kernel: &Kernel, files: &[PathBuf]) {
    for release in state::releases(&system.layout) {
        let dir = system.layout.kernel_modules(&release).join("weak-updates");
        if release == kernel.release || !dir.is_dir() {
            continue;
        }
        let ours = |link: &WeakLink| files.iter().any(|f| f.canonicalize().is_ok_and(|f| f == link.target));
        let links: Vec<WeakLink> = status::weak_links(&dir).into_iter().filter(ours).collect();
        if links.is_empty() {
            continue;
        }
        let other = Kernel { release, arch: kernel.arch.clone() };
        let facts = Facts::gather(system, sink, &other);
        let mut removed = false;
        for link in links {
            let Some(reason) = refusal(&system.host, &facts, &link) else { continue };
            match dkms_sys::fs::remove_file(&link.path) {
                Ok(_) => {
                    removed = true;
                    sink.warn(format!("the link {} was removed again: {reason}", link.path.display()));
                }
                Err(e) => sink
                    .warn(format!("kernel {} would not load a linked module: {reason}; {e}", other.release)),
            }
        }
        if removed {
            clean::remove_empty(&system.host, &system.layout, &other, &[dir]);
            // A failed depmod is only a warning: the other modules of that kernel are unchanged.
            if let Err(e) = depmod::run(system, sink, &other) {
                sink.warn(e.to_string());
            }
        }
    }
}

/// Returns the reason why a kernel would not load the module that a link points to; `None` if it would load
/// it.
fn refusal(host: &Host, facts: &Facts, link: &WeakLink) -> Option<String> {
    let bytes = match dkms_sys::fs::read(&link.target) {
        Ok(bytes) => bytes,
        Err(e) => return Some(e.to_string()),
    };
    if facts.symbols_from.is_none() {
        return Some(Reason::NoSymvers.to_string());
    }
    let judged = Judge::new(host, facts, &[], false).check(&bytes, &link.path, &mut Vec::new());
    judged.err().map(|e| e.to_string())
}
