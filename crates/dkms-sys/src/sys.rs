//! Facts about the machine and about processes.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;

/// The kernel's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uname {
    /// `uname -r`, the running kernel: `6.1.0-13-amd64`.
    pub release: String,
    /// `uname -m`: `x86_64`.
    pub machine: String,
}

/// The running kernel.
pub fn uname() -> Uname {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    Uname { release: text(names.release()), machine: text(names.machine()) }
}

/// The effective user.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The number of processors that this process may use (its affinity, not the machine's total); at least 1.
pub fn nproc() -> usize {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (set.count() as usize).max(1),
        // There are more processors than the set can hold.
        Err(_) => std::thread::available_parallelism().map_or(1, |n| n.get()),
    }
}

/// The start time of a process in clock ticks since boot. It distinguishes the process from a later one with
/// the same number.
pub fn process_start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)
}

/// The parent of a process; `None` at the top, if the process has ended, or without `/proc`.
pub fn parent_of(pid: u32) -> Option<u32> {
    stat_field(pid, 4).filter(|parent| *parent > 0)
}

/// The name of a process, which the kernel truncates to 15 bytes.
pub fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// A random number; 0 if the kernel cannot provide one.
pub fn random() -> u64 {
    let mut bytes = [0u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => 0,
    }
}

/// The users of all running processes, as far as `/proc` shows them.
pub fn users_with_processes() -> std::collections::BTreeSet<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Default::default() };
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let processes = entries.flatten().filter(|entry| is_process(&entry.file_name()));
    processes.filter_map(|entry| Some(entry.metadata().ok()?.uid())).collect()
}

/// The resources that a process and its descendants use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes. A page that several of them share is counted once for each.
    pub memory: u64,
    /// The number of processes.
    pub processes: u64,
}

/// The resources of all descendants of process `pid`, without itself; zero if `/proc` does not show them.
pub fn usage_below(pid: u32) -> Usage {
    let page = rustix::param::page_size() as u64;
    let mut usage = Usage::default();
    let mut pending = children(pid);
    while let Some(pid) = pending.pop() {
        // proc_pid_statm(5): the second number is the resident memory.
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let resident: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        usage.memory = usage.memory.saturating_add(resident.saturating_mul(page));
        usage.processes += 1;
        // The kernel does not allow more; this stops if the tree grows while it is read.
        if usage.processes > 1 << 16 {
            break;
        }
        pending.extend(children(pid));
    }
    usage
}

/// The children of all threads of a process, proc_tid_children(5). For a confined program this is complete,
/// because orphans become children of its process 1 or its supervisor.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
    let texts = tasks.filter_map(|task| of_task(task.ok()?).ok());
    texts
        .flat_map(|text| text.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Field `number` (from 1, as proc(5) counts; from 3 on) of `/proc/PID/stat`.
fn stat_field<T: std::str::FromStr>(pid: u32, number: usize) -> Option<T> {
    let text = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned();
    parse_stat_field(&text, number)
}

fn parse_stat_field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    // The command name is in parentheses and may contain blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// Whether a process with this number runs, also as another user. A zombie has ended, so it does not run.
pub fn process_runs(pid: u32) -> bool {
    let Some(known) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    !matches!(rustix::process::test_kill_process(known), Err(rustix::io::Errno::SRCH))
        && stat_field(pid, 3) != Some('Z')
}

/// The number of this process.
pub fn own_pid() -> u32 {
    std::process::id()
}

/// Whether the file descriptor (0, 1 or 2) is a terminal.
pub fn is_terminal(fd: i32) -> bool {
    // SAFETY: isatty accepts any number and changes nothing.
    unsafe { libc::isatty(fd) == 1 }
}

/// Reads a line from standard input, a terminal, without echo. `prompt` is called after echo is off and
/// pending input is discarded. The result excludes the newline and has at most 1024 bytes. The terminal's
/// settings are restored, also if a signal interrupts this.
///
/// # Errors
/// Standard input is not a terminal, it ended, or a signal asked dkms to stop.
pub fn read_hidden_line(prompt: impl FnOnce()) -> std::io::Result<Vec<u8>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    prompt();
    let line = read_line(&stdin);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    line
}

/// Reads byte by byte, so that input after the line is left for other readers.
fn read_line(from: impl std::os::fd::AsFd) -> std::io::Result<Vec<u8>> {
    // Allocate enough for the longest line, because a vector that grows leaves a copy behind.
    let mut line = Vec::with_capacity(1024);
    loop {
        let mut byte = [0];
        match rustix::io::read(&from, &mut byte) {
            Err(rustix::io::Errno::INTR) if crate::signal::interrupted().is_none() => {}
            Err(e) => return Err(e.into()),
            Ok(0) if line.is_empty() => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(line),
            Ok(_) if byte == *b"\n" => return Ok(line),
            Ok(_) if line.len() < 1024 => line.extend_from_slice(&byte),
            Ok(_) => {}
        }
    }
}

/// The terminal's width in columns, if the descriptor is a terminal that reports it.
pub fn terminal_width(fd: i32) -> Option<u16> {
    if !is_terminal(fd) {
        return None;
    }
    // SAFETY: an all-zero winsize is valid; the request fills one.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.map(|s| s.ws_col).filter(|columns| *columns > 0)
}

/// Whether this process runs in a chroot: its `/` differs from that of process 1. An ordinary user may not
/// see the root of process 1; then the mounts at `/` are compared. If process 1 is hidden, or in the same
/// chroot (as after `unshare --pid --root=DIR`), this is a chroot unless `/` is a mount point: the root of a
/// machine or a container always is. `None` without `/proc`.
pub fn in_chroot() -> Option<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo");
    if let (Ok(init), Ok(ours)) = (std::fs::metadata("/proc/1/root"), std::fs::metadata("/")) {
        let differs = (init.dev(), init.ino()) != (ours.dev(), ours.ino());
        return Some(differs || mounts.is_ok_and(|mounts| mounted_root(&mounts).is_none()));
    }
    let init = std::fs::read_to_string("/proc/1/mountinfo").ok();
    Some(has_other_root(&mounts.ok()?, init.as_deref()))
}

/// Whether the mounts at `/` differ, according to the lists of mounts of this process and of process 1.
fn has_other_root(ours: &str, init: Option<&str>) -> bool {
    match (mounted_root(ours), init.and_then(mounted_root)) {
        (None, _) => true,
        (Some(ours), Some(init)) => ours != init,
        (Some(_), None) => false,
    }
}

/// The device and the directory in it that are mounted at `/`: the third and fourth fields of the last line
/// whose fifth field, the mount point as seen by the process, is that (proc_pid_mountinfo(5)).
fn mounted_root(mounts: &str) -> Option<(&str, &str)> {
    mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let mount = (fields.next()?, fields.next()?);
        (fields.next()? == "/").then_some(mount)
    })
}

/// The major and minor number of a device.
pub fn device_numbers(device: u64) -> (u64, u64) {
    (u64::from(rustix::fs::major(device)), u64::from(rustix::fs::minor(device)))
}

/// Sets the file creation mask of the process and returns the previous one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode()
}

/// The memory in bytes that programs can still allocate without swapping.
pub fn available_memory() -> Option<u64> {
    parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

fn parse_meminfo(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The name of this machine, as in `uname -n`.
pub fn hostname() -> OsString {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(rustix::system::uname().nodename().to_bytes()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_proc() -> bool {
        std::path::Path::new("/proc/self/stat").exists()
    }

    #[test]
    fn a_chroot_by_its_mounts() {
        let machine = "1 1 0:2 / / rw - rootfs none rw\n28 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n30 28 0:5 / /proc rw - proc proc rw\n";
        let in_namespace = "80 79 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n";
        assert!(!has_other_root(machine, Some(machine)) && !has_other_root(in_namespace, Some(machine)));
        // A directory, the same file system mounted elsewhere, a directory of it, another file system.
        assert!(has_other_root("30 28 0:5 / /proc rw - proc proc rw\n", Some(machine)));
        assert!(has_other_root("90 28 8:1 /srv/image / rw - ext4 /dev/sda1 rw\n", Some(machine)));
        assert!(has_other_root("90 28 0:44 / / rw - tmpfs image rw\n", Some(machine)));
        // Process 1 is hidden.
        assert!(has_other_root("", None) && !has_other_root(in_namespace, None));
    }

    #[test]
    fn stat_fields_survive_odd_command_names() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(parse_stat_field::<u32>(stat, 4), Some(7));
        assert_eq!(parse_stat_field::<u64>(stat, 22), Some(987_654));
        for broken in ["", "42 (a", ")", "42 (a) S", "42 (a) S x"] {
            assert_eq!(parse_stat_field::<u32>(broken, 4), None, "{broken:?}");
        }
    }

    #[test]
    fn memory() {
        let text = "MemTotal:        2048 kB\nMemAvailable:  x kB\n";
        assert_eq!(parse_meminfo(text, "MemTotal:"), Some(2 * 1024 * 1024));
        assert_eq!(parse_meminfo(text, "MemAvailable:"), None);
        if has_proc() {
            assert!(available_memory().is_some_and(|bytes| bytes > 0));
        }
    }

    #[test]
    fn own_process() {
        let release = std::process::Command::new("uname").arg("-r").output().expect("uname").stdout;
        assert_eq!(uname().release, String::from_utf8_lossy(&release).trim());
        assert!(nproc() >= 1);
        if has_proc() {
            let me = own_pid();
            assert_eq!(parent_of(me), Some(std::os::unix::process::parent_id()));
            assert!(process_start_time(me).is_some_and(|t| t > 0));
        }
        assert!(process_runs(own_pid()));
        assert!(!process_runs(u32::MAX) && !process_runs(0));
    }

    #[test]
    fn a_zombie_has_ended() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let ended = |pid| stat_field(pid, 3) == Some('Z');
        while has_proc() && !ended(child.id()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!has_proc() || !process_runs(child.id()));
        child.wait().expect("wait");
        assert!(!process_runs(child.id()));
    }
}
