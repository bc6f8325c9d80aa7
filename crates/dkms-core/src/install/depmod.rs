//! depmod(8): once per kernel and command, and only where there is something to index.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::hooks;
use crate::ids::Kernel;
use crate::session::Session;
use dkms_sys::process::{Command, Stream};
use std::ffi::OsString;
use std::path::Path;

/// Files depmod makes; they go when nothing is left to index.
const INDEX_FILES: [&str; 12] = [
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.weakdep",
    "modules.weakdep.bin",
];

/// Runs depmod for a kernel.
///
/// # Errors
/// [`Error::DepmodFailed`], or depmod is not installed.
pub fn run(s: &Session<'_>, kernel: &Kernel) -> Result<()> {
    let skip = |reason: String| {
        s.tell(Event::DepmodSkipped { kernel: kernel.clone(), reason });
        Ok(())
    };
    if s.options.no_depmod {
        return skip("--no-depmod".into());
    }
    let modules = s.layout.kernel_modules(&kernel.release);
    let index = modules.join("modules.dep");
    if !index.is_file() {
        return skip(format!("{} is not there: that kernel's image is not installed", index.display()));
    }
    let mut arguments: Vec<OsString> = vec!["-a".into()];
    match base(&s.layout.install_tree) {
        Some(base) if base.as_os_str().is_empty() || base == Path::new("/") => {}
        Some(base) => arguments.extend(["-b".into(), base.as_os_str().to_owned()]),
        None => {
            return skip(format!(
                "depmod only knows trees that end in lib/modules, and {} does not",
                s.layout.install_tree.display()
            ));
        }
    }
    let map = s.layout.boot_dir.join(format!("System.map-{}", kernel.release));
    if map.is_file() {
        arguments.extend(["-F".into(), map.into()]);
    }
    arguments.push(kernel.release.clone().into());
    s.tell(Event::DepmodStarted { kernel: kernel.clone() });
    let Some(program) = dkms_sys::process::which("depmod", &s.host.path) else {
        let package =
            s.host.distribution.as_ref().map_or_else(|| "kmod".into(), |d| d.program_package("depmod"));
        let reason = format!("it is not installed; the package {package} has it");
        return Err(Error::DepmodFailed { kernel: kernel.clone(), reason });
    };
    let done = Command::new(program)
        .args(arguments)
        .envs(s.host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Capture)
        // A torn index is worse than a late answer to Ctrl-C.
        .ignore_interrupt()
        .run()
        .map_err(|e| hooks::process_error(s, &e, "index a kernel's modules"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        let last = said.lines().last().unwrap_or("it said nothing");
        return Err(Error::DepmodFailed {
            kernel: kernel.clone(),
            reason: format!("{} ({last})", done.status),
        });
    }
    for line in said.lines().filter(|l| !l.trim().is_empty()) {
        s.tell(Event::Detail { text: line.to_owned() });
    }
    s.tell(Event::DepmodDone { kernel: kernel.clone(), elapsed: done.elapsed });
    if index.metadata().is_ok_and(|m| m.len() == 0) {
        drop_empty_index(&modules)?;
    }
    Ok(())
}

/// The last module of a kernel that is no longer installed is gone: its index goes too, and its directory when empty.
fn drop_empty_index(modules: &Path) -> Result<()> {
    for file in INDEX_FILES {
        dkms_sys::fs::remove_file(modules.join(file))?;
    }
    let _ = std::fs::remove_dir(modules);
    Ok(())
}

/// What `-b` wants for an install tree: the directory above `lib/modules` (`usr/lib/modules` alike).
fn base(install_tree: &Path) -> Option<&Path> {
    let above = install_tree.parent().filter(|_| install_tree.ends_with("lib/modules"))?.parent()?;
    Some(if above.ends_with("usr") && above.parent() == Some(Path::new("/")) {
        Path::new("/")
    } else {
        above
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_directories() {
        assert_eq!(base(Path::new("/lib/modules")), Some(Path::new("/")));
        assert_eq!(base(Path::new("/usr/lib/modules")), Some(Path::new("/")));
        assert_eq!(base(Path::new("/x/root/lib/modules")), Some(Path::new("/x/root")));
        assert_eq!(base(Path::new("/x/mods")), None);
    }
}
