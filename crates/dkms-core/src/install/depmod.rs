//! depmod(8): runs once per kernel and command, and only if there is something to index.

use super::index::Update;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::hooks;
use crate::host::Host;
use crate::install::InstallError;
use crate::kernel::installed::ModuleIndex;
use crate::system::System;
use dkms_sys::fs::{self, Stat};
use dkms_sys::process::{Command, Stream};
use dkms_sys::sys;
use dkms_tree::ids::Kernel;
use dkms_tree::journal::op::aside;
use kmodule::index::IndexFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Files that depmod creates. They are deleted when there is nothing left to index.
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
/// [`InstallError::DepmodFailed`], or depmod is not installed.
pub fn run(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<()> {
    let skip = |reason: String| {
        sink.event(Event::DepmodSkipped { kernel: kernel.clone(), reason });
        Ok(())
    };
    if system.settings.no_depmod {
        return skip("--no-depmod".into());
    }
    let modules = system.layout.kernel_modules(&kernel.release);
    let index = modules.join("modules.dep");
    if !index.is_file() {
        return skip(format!("{} is not there: that kernel's image is not installed", index.display()));
    }
    let mut arguments: Vec<OsString> = vec!["-a".into()];
    match base(&system.layout.install_tree) {
        Some(base) if base.as_os_str().is_empty() || base == Path::new("/") => {}
        Some(base) => arguments.extend(["-b".into(), base.as_os_str().to_owned()]),
        None => {
            return skip(format!(
                "depmod only supports trees that end in lib/modules, and {} does not",
                system.layout.install_tree.display()
            ));
        }
    }
    let map = system.layout.boot_dir.join(format!("System.map-{}", kernel.release));
    if map.is_file() {
        arguments.extend(["-F".into(), map.into()]);
    }
    arguments.push(kernel.release.as_str().into());
    sink.event(Event::DepmodStarted { kernel: kernel.clone() });
    let Some(program) = dkms_sys::process::which("depmod", &system.host.path) else {
        let package = system.host.program_package("depmod");
        let reason = format!("it is not installed; the package {package} has it");
        return Err(InstallError::DepmodFailed { kernel: kernel.clone(), cause: reason.into() }.into());
    };
    clear_torn(&modules);
    keep_index(&modules);
    let before = Stat::lstat(&index);
    let started = Instant::now();
    let done = match super::index::make(system, sink, kernel, &modules, &program, Update::Cache) {
        Ok(files) => place(&modules, &files).map(|empty| (empty, started.elapsed())),
        Err(reason) => {
            sink.event(Event::Detail { text: format!("depmod writes the index: {reason}") });
            index_now(&system.host, sink, kernel, program, arguments, &modules, before.as_ref())
        }
    };
    if done.is_err() {
        restore_index(&modules)?;
    } else {
        forget_kept(&modules)?;
    }
    clear_torn(&modules);
    let (empty, elapsed) = done?;
    sink.event(Event::DepmodDone { kernel: kernel.clone(), elapsed });
    if empty {
        super::index::forget(&system.layout, kernel);
        drop_empty_index(&modules)?;
    }
    Ok(())
}

/// Puts our own index into place, and returns whether it is empty. Like depmod, it replaces one file at a
/// time, so each file is complete at any time.
fn place(modules: &Path, files: &[IndexFile]) -> Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for file in files {
        // The name has depmod's own format, so that `clear_torn` finds the file if this process is killed.
        let pid = std::process::id();
        let name = format!("{}.{pid}.{}.{}", file.name, now.subsec_micros(), now.as_secs());
        let new = modules.join(name);
        fs::create_new(&new, &file.bytes, 0o644)?;
        if let Err(e) = fs::rename(&new, modules.join(file.name)) {
            let _ = fs::remove_file(&new);
            return Err(e.into());
        }
    }
    fs::sync_dir(modules)?;
    Ok(files.iter().any(|file| file.name == "modules.dep" && file.bytes.is_empty()))
}

/// Runs depmod, and returns whether the index is empty and how long depmod took.
fn index_now(
    host: &Host,
    sink: &dyn Sink,
    kernel: &Kernel,
    program: PathBuf,
    arguments: Vec<OsString>,
    modules: &Path,
    before: Option<&Stat>,
) -> Result<(bool, Duration)> {
    let index = modules.join("modules.dep");
    let done = Command::new(program)
        .args(arguments)
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Capture)
        // A torn index is worse than a late reaction to Ctrl-C.
        .ignore_interrupt()
        .run()
        .map_err(|e| hooks::process_error(host, e, "index a kernel's modules"))?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        let last = stderr.lines().last().unwrap_or("it printed no message");
        return Err(InstallError::DepmodFailed {
            kernel: kernel.clone(),
            cause: format!("{} ({last})", done.status).into(),
        }
        .into());
    }
    // On a full disk, depmod reports success even if the index is missing or empty.
    let empty = index.metadata().is_ok_and(|m| m.len() == 0);
    if Stat::lstat(&index).as_ref() == before || (empty && !ModuleIndex::scan(modules).is_empty()) {
        let last = stderr.lines().last().unwrap_or("is the disk full?");
        let reason = format!("it wrote no new {} ({last})", index.display());
        return Err(InstallError::DepmodFailed { kernel: kernel.clone(), cause: reason.into() }.into());
    }
    for line in stderr.lines().filter(|l| !l.trim().is_empty()) {
        sink.event(Event::Detail { text: line.to_owned() });
    }
    Ok((empty, done.elapsed))
}

/// Keeps the present index: a depmod that fails may leave a torn one, and a machine without an index does not
/// boot.
///
/// The files are copied, because some depmods (that of busybox) write in place. If disk space, which depmod
/// itself needs, is scarce, they are hard-linked instead. If even that fails, there is no backup.
fn keep_index(modules: &Path) {
    let files = INDEX_FILES.map(|f| modules.join(f));
    let size: u64 = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let roomy = fs::free_space(modules).is_ok_and(|free| free / 4 > size);
    let replace_file = |file: &PathBuf| -> Result<()> {
        let kept = aside(file, "old");
        fs::remove_file(&kept)?;
        match (fs::exists(file), roomy) {
            (false, _) => {}
            (_, true) => {
                fs::copy_file(file, &kept)?;
            }
            (_, false) => fs::hard_link(file, &kept)?,
        }
        Ok(())
    };
    if files.iter().any(|f| replace_file(f).is_err()) {
        let _ = forget_kept(modules);
    }
}

/// Removes temporary files of a depmod that was killed together with its dkms:
/// `modules.dep.PID.MICROSECONDS.SECONDS`. A process that is being killed may need a moment to exit; if it
/// does not exit, the process ID belongs to another program.
fn clear_torn(modules: &Path) {
    let Ok(names) = fs::list_dir(modules) else { return };
    for name in names.iter().filter_map(|n| n.to_str()) {
        let Some(pid) = torn(name) else { continue };
        let gone = || {
            let gone = !sys::process_runs(pid);
            if !gone {
                std::thread::sleep(Duration::from_millis(10));
            }
            gone
        };
        if (0..50).any(|_| gone()) {
            let _ = fs::remove_file(modules.join(name));
        }
    }
}

/// Returns the ID of the process that created this temporary file, if it is a temporary file of depmod.
fn torn(name: &str) -> Option<u32> {
    let mut parts = name.rsplitn(4, '.');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (_seconds, _microseconds, pid) = (number()?, number()?, number()?);
    INDEX_FILES.contains(&parts.next()?).then_some(pid)
}

fn restore_index(modules: &Path) -> Result<()> {
    for file in INDEX_FILES.map(|f| modules.join(f)) {
        let kept = aside(&file, "old");
        if fs::exists(&kept) && !fs::same_file(&kept, &file) {
            fs::rename(&kept, &file)?;
        }
    }
    forget_kept(modules)
}

fn forget_kept(modules: &Path) -> Result<()> {
    INDEX_FILES
        .map(|f| modules.join(f))
        .iter()
        .try_for_each(|f| Ok(fs::remove_file(aside(f, "old")).map(|_| ())?))
}

/// Deletes the index of a kernel that is no longer installed and has no modules left, and then its directory
/// if it is empty.
fn drop_empty_index(modules: &Path) -> Result<()> {
    for file in INDEX_FILES {
        fs::remove_file(modules.join(file))?;
    }
    let _ = fs::remove_dir(modules);
    Ok(())
}

/// The argument of `-b` for an install tree: the directory above `lib/modules` or above `usr/lib/modules`.
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
    fn what_a_killed_depmod_leaves() {
        for file in INDEX_FILES {
            assert_eq!(torn(&format!("{file}.6661.627514.1795530666")), Some(6661), "{file}");
        }
        for other in
            ["modules.dep", "modules.dep.bin", "modules.dep.1.2", "modules.order.1.2.3", "modules.dep.a.2.3"]
        {
            assert_eq!(torn(other), None, "{other}");
        }
    }

    #[test]
    fn base_directories() {
        assert_eq!(base(Path::new("/lib/modules")), Some(Path::new("/")));
        assert_eq!(base(Path::new("/usr/lib/modules")), Some(Path::new("/")));
        assert_eq!(base(Path::new("/x/root/lib/modules")), Some(Path::new("/x/root")));
        assert_eq!(base(Path::new("/x/mods")), None);
    }
}
