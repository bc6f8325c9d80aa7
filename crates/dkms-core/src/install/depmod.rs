//! Runs depmod(8), once per kernel and command, and only if there is something to index.

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
pub(crate) fn run(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<()> {
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
    remove_leftovers(&modules);
    back_up_index(&modules);
    let started = Instant::now();
    let done = match super::index::make(system, sink, kernel, &modules, &program, Update::Cache) {
        Ok(files) => write_index(&modules, &files).map(|empty| (empty, started.elapsed())),
        Err(reason) => {
            sink.event(Event::Detail { text: format!("depmod writes the index: {reason}") });
            run_depmod(&system.host, sink, kernel, Command::new(program).args(arguments), &index)
        }
    };
    if done.is_err() {
        restore_index(&modules)?;
    } else {
        remove_backup(&modules)?;
    }
    remove_leftovers(&modules);
    let (empty, elapsed) = done?;
    sink.event(Event::DepmodDone { kernel: kernel.clone(), elapsed });
    if empty {
        super::index::forget(&system.layout, kernel);
        remove_empty_index(&modules)?;
    }
    Ok(())
}

/// Writes our own index, and returns whether it is empty. Like depmod, this replaces one file after the
/// other, so that each file is complete at any time.
fn write_index(modules: &Path, files: &[IndexFile]) -> Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for file in files {
        // The name has depmod's format, so that `remove_leftovers` finds the file if this process is killed.
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

/// Runs depmod with these arguments. `index` is the `modules.dep` that it writes. Returns whether the index
/// is empty and how long depmod took.
fn run_depmod(
    host: &Host,
    sink: &dyn Sink,
    kernel: &Kernel,
    depmod: Command,
    index: &Path,
) -> Result<(bool, Duration)> {
    let before = Stat::lstat(index);
    let done = depmod
        .envs(host.environment.iter().cloned())
        .stdout(Stream::Null)
        .stderr(Stream::Capture)
        // An incomplete index is worse than a late reaction to Ctrl-C.
        .ignore_interrupt()
        .run()
        .map_err(|e| hooks::process_error(host, e, "index a kernel's modules"))?;
    let failed = |cause: String| {
        Err(InstallError::DepmodFailed { kernel: kernel.clone(), cause: cause.into() }.into())
    };
    let stderr = done.stderr_text();
    if !done.status.success() {
        let last = stderr.lines().last().unwrap_or("it printed no message");
        return failed(format!("{} ({last})", done.status));
    }
    // On a full disk, depmod reports success even if the index is missing or empty.
    let empty = index.metadata().is_ok_and(|m| m.len() == 0);
    let is_incomplete = || index.parent().is_some_and(|modules| !ModuleIndex::scan(modules).is_empty());
    if Stat::lstat(index) == before || (empty && is_incomplete()) {
        let last = stderr.lines().last().unwrap_or("is the disk full?");
        return failed(format!("it wrote no new {} ({last})", index.display()));
    }
    for line in stderr.lines().filter(|l| !l.trim().is_empty()) {
        sink.event(Event::Detail { text: line.to_owned() });
    }
    Ok((empty, done.elapsed))
}

/// Backs up the index: a depmod that fails may leave an incomplete one, and a machine without an index does
/// not boot.
///
/// The files are copied, because some depmods (that of busybox) write in place. If there is little disk
/// space, which depmod itself needs, they are hard-linked instead. If that fails too, there is no backup.
fn back_up_index(modules: &Path) {
    let files = INDEX_FILES.map(|f| modules.join(f));
    let size: u64 = files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let has_space = fs::free_space(modules).is_ok_and(|free| free / 4 > size);
    let back_up = |file: &PathBuf| -> dkms_sys::Result<()> {
        let backup = aside(file, "old");
        fs::remove_file(&backup)?;
        if !fs::exists(file) {
            Ok(())
        } else if has_space {
            fs::copy_file(file, &backup).map(|_| ())
        } else {
            fs::hard_link(file, &backup)
        }
    };
    if files.iter().any(|file| back_up(file).is_err()) {
        let _ = remove_backup(modules);
    }
}

/// Removes the temporary files of a depmod that was killed together with its dkms:
/// `modules.dep.PID.MICROSECONDS.SECONDS`. A process that is being killed may need a moment to exit, so this
/// waits for up to half a second. If the process does not exit, its ID belongs to another program.
fn remove_leftovers(modules: &Path) {
    let Ok(names) = fs::list_dir(modules) else { return };
    for name in names.iter().filter_map(|n| n.to_str()) {
        let Some(pid) = leftover_of(name) else { continue };
        let has_exited = |_| {
            let has_exited = !sys::process_runs(pid);
            if !has_exited {
                std::thread::sleep(Duration::from_millis(10));
            }
            has_exited
        };
        if (0..50).any(has_exited) {
            let _ = fs::remove_file(modules.join(name));
        }
    }
}

/// Returns the ID of the process that created a file, if the name is that of a temporary file of depmod.
fn leftover_of(name: &str) -> Option<u32> {
    let mut parts = name.rsplitn(4, '.');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (_seconds, _microseconds, pid) = (number()?, number()?, number()?);
    INDEX_FILES.contains(&parts.next()?).then_some(pid)
}

fn restore_index(modules: &Path) -> Result<()> {
    for file in INDEX_FILES.map(|f| modules.join(f)) {
        let backup = aside(&file, "old");
        if fs::exists(&backup) && !fs::same_file(&backup, &file) {
            fs::rename(&backup, &file)?;
        }
    }
    remove_backup(modules)
}

fn remove_backup(modules: &Path) -> Result<()> {
    for file in INDEX_FILES {
        fs::remove_file(aside(&modules.join(file), "old"))?;
    }
    Ok(())
}

/// Deletes the index of a kernel that is no longer installed and has no modules left, and then its directory
/// if it is empty.
fn remove_empty_index(modules: &Path) -> Result<()> {
    for file in INDEX_FILES {
        fs::remove_file(modules.join(file))?;
    }
    let _ = fs::remove_dir(modules);
    Ok(())
}

/// Returns the argument of `-b` for an install tree: the directory above `lib/modules`, or above
/// `usr/lib/modules` in the root directory; `None` if the tree does not end in `lib/modules`.
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
    fn temporary_files_of_depmod_are_recognised() {
        for file in INDEX_FILES {
            assert_eq!(leftover_of(&format!("{file}.6661.627514.1795530666")), Some(6661), "{file}");
        }
        for other in
            ["modules.dep", "modules.dep.bin", "modules.dep.1.2", "modules.order.1.2.3", "modules.dep.a.2.3"]
        {
            assert_eq!(leftover_of(other), None, "{other}");
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
