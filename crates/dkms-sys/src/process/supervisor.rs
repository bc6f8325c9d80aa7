//! The process between dkms and the program. The parent module describes its purpose.
//!
//! It is a fork of a multi-threaded program, so it must not allocate or lock. It uses only system calls,
//! arithmetic, and memory that was allocated before.

use std::time::Duration;

use super::notes::Notes;

/// A process: its number, its parent, and whether it is our descendant.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pid: i32,
    parent: i32,
    below: bool,
}

/// Space for a list of all processes, allocated before the fork.
#[derive(Debug)]
pub(super) struct Rows(Vec<Row>);

/// The maximum number of processes in the list. Unused pages are never touched.
const MOST: usize = 32 * 1024;
/// The time to wait for processes after SIGKILL. A process in an uninterruptible wait may not end.
const LAST_WAIT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

impl Rows {
    pub(super) fn new() -> Self {
        Rows(Vec::with_capacity(MOST))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Gently,
    Hard,
}

/// The size of the supervisor's report: 0 and the exit code, or 1 and the signal.
pub(super) const REPORT_BYTES: usize = 8;

fn full_set() -> libc::sigset_t {
    // SAFETY: an all-zero set is valid memory for sigfillset to fill.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        set
    }
}

/// Blocks every signal; the supervisor waits for the ones it handles.
///
/// # Safety
/// Only in a child with one thread.
pub(super) unsafe fn block_signals() {
    // SAFETY: the set is complete.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &full_set(), std::ptr::null_mut()) };
}

/// Unblocks every signal.
///
/// # Safety
/// Only in a child with one thread.
pub(super) unsafe fn unblock_signals() {
    // SAFETY: the set is complete.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &full_set(), std::ptr::null_mut()) };
}

/// Supervises `main` and its descendants until they have ended, reports on the descriptor `life`, and exits.
///
/// # Safety
/// Only in the first fork. All descriptors are closed except those of locks, which are held until it exits.
pub(super) unsafe fn supervise(
    main: i32,
    life: i32,
    rows: &mut Rows,
    end_leftovers: bool,
    own_group: bool,
    own_session: bool,
    notes: &Notes,
) -> ! {
    // SAFETY: system calls on plain numbers and on memory of this function; the process has one thread.
    unsafe {
        if own_group {
            libc::setpgid(0, 0);
        }
        // A process that will start a session must not be a group leader before.
        if own_group && !own_session {
            libc::setpgid(main, main);
        }
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, c"dkms-supervisor".as_ptr());
        libc::dup2(life, 0);
        close_all_but_locks(1);
        let watched = watch(main, rows, end_leftovers, own_group);
        // If `main` is process 1 of a namespace, it has recorded how the program ended.
        let status = notes.ended().unwrap_or(watched);
        let (kind, value) = if libc::WIFSIGNALED(status) {
            (1i32, libc::WTERMSIG(status))
        } else {
            (0, libc::WEXITSTATUS(status))
        };
        let report = [kind, value];
        libc::write(0, report.as_ptr().cast(), REPORT_BYTES);
        libc::_exit(0)
    }
}

unsafe fn watch(main: i32, rows: &mut Rows, end_leftovers: bool, own_group: bool) -> i32 {
    let mut ending = Ending::No;
    let mut status = None;
    let mut ticks_left = LAST_WAIT.as_millis() / TICK.as_millis();
    // SAFETY: see supervise.
    unsafe {
        loop {
            match next_signal(ending == Ending::Hard) {
                libc::SIGTERM if ending == Ending::No => {
                    ending = Ending::Gently;
                    end_all(main, status.is_some(), own_group, rows, libc::SIGTERM);
                }
                libc::SIGUSR1 => ending = Ending::Hard,
                _ => {}
            }
            let none_left = reap(main, &mut status);
            // `main` was waited for elsewhere, or SIGCHLD is ignored: nothing more will arrive.
            if none_left && status.is_none() {
                return libc::SIGKILL;
            }
            if let Some(ended) = status {
                if none_left || (ending == Ending::No && !end_leftovers) {
                    return ended;
                }
                if ending == Ending::No {
                    ending = Ending::Hard;
                }
            }
            if ending == Ending::Hard {
                if ticks_left == 0 {
                    return status.unwrap_or(libc::SIGKILL);
                }
                ticks_left -= 1;
                end_all(main, status.is_some(), own_group, rows, libc::SIGKILL);
            }
        }
    }
}

/// Waits for a signal, for at most [`TICK`] if `hurry`. Returns 0 if none arrived.
unsafe fn next_signal(hurry: bool) -> i32 {
    // SAFETY: complete structures; sigtimedwait may have a null info.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for number in [libc::SIGCHLD, libc::SIGTERM, libc::SIGUSR1] {
            libc::sigaddset(&mut set, number);
        }
        let mut time: libc::timespec = std::mem::zeroed();
        if hurry {
            time.tv_nsec = TICK.subsec_nanos() as _;
        } else {
            // A safety net; everything important arrives as a signal.
            time.tv_sec = 60;
        }
        libc::sigtimedwait(&set, std::ptr::null_mut(), &time).max(0)
    }
}

/// Reaps processes that have ended. Returns whether no child is left.
unsafe fn reap(main: i32, status: &mut Option<i32>) -> bool {
    loop {
        let mut code = 0;
        // SAFETY: `code` is writable; waitpid on any child never blocks with WNOHANG.
        let (pid, errno) =
            unsafe { (libc::waitpid(-1, &mut code, libc::WNOHANG), *libc::__errno_location()) };
        match pid {
            -1 if errno == libc::EINTR => {}
            -1 => return true,
            0 => return false,
            pid if pid == main => *status = Some(code),
            _ => {}
        }
    }
}

/// Signals the program's group and all our descendants. Orphans become our children, so repeating this
/// reaches all of them.
unsafe fn end_all(main: i32, main_gone: bool, own_group: bool, rows: &mut Rows, number: i32) {
    // SAFETY: kill takes plain numbers; the group and the processes were started below us.
    unsafe {
        // After the leader is reaped, another process may have its number. The loop below finds the rest of
        // the group.
        if !main_gone {
            libc::kill(if own_group { -main } else { main }, number);
            // A stopped process does not handle other signals.
            libc::kill(if own_group { -main } else { main }, libc::SIGCONT);
        }
        take_picture(&mut rows.0);
        mark_below(&mut rows.0, libc::getpid());
        for row in rows.0.iter().filter(|r| r.below) {
            if number == libc::SIGKILL || main_gone || row.pid != main {
                libc::kill(row.pid, number);
                libc::kill(row.pid, libc::SIGCONT);
            }
        }
    }
}

/// Marks the rows whose ancestor is `root`.
fn mark_below(rows: &mut [Row], root: i32) {
    rows.sort_unstable_by_key(|r| r.pid);
    loop {
        let mut changed = false;
        for index in 0..rows.len() {
            let Some(&Row { parent, below: false, .. }) = rows.get(index) else { continue };
            let above = rows.binary_search_by_key(&parent, |r| r.pid).ok().and_then(|i| rows.get(i));
            if parent == root || above.is_some_and(|r| r.below) {
                if let Some(row) = rows.get_mut(index) {
                    row.below = true;
                    changed = true;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// Reads all process numbers and their parents from `/proc`; empty without it.
unsafe fn take_picture(rows: &mut Vec<Row>) {
    rows.clear();
    #[repr(C, align(8))]
    struct Buffer([u8; 16 * 1024]);
    let mut buffer = Buffer([0; 16 * 1024]);
    // SAFETY: the path is NUL-terminated; the kernel writes at most the buffer's length into it.
    unsafe {
        let dir = libc::open(c"/proc".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if dir < 0 {
            return;
        }
        loop {
            let got = libc::syscall(libc::SYS_getdents64, dir, buffer.0.as_mut_ptr(), buffer.0.len());
            let Ok(got @ 1..) = usize::try_from(got) else { break };
            let mut rest = buffer.0.get(..got).unwrap_or_default();
            // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name.
            while let Some(&[low, high]) = rest.get(16..18) {
                let length = usize::from(u16::from_ne_bytes([low, high]));
                let name = rest.get(19..length).unwrap_or_default();
                if let (Some(pid), true) = (number(name), rows.len() < rows.capacity()) {
                    if let Some(parent) = parent_of(dir, name) {
                        rows.push(Row { pid, parent, below: false });
                    }
                }
                match rest.get(length..) {
                    Some(next) if length > 0 => rest = next,
                    _ => break,
                }
            }
        }
        libc::close(dir);
    }
}

/// The decimal number at the start of `text`, up to a NUL or blank.
fn number(text: &[u8]) -> Option<i32> {
    let mut value: Option<i32> = None;
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(i32::from(byte - b'0'))?)
            }
            0 | b' ' => break,
            _ => return None,
        }
    }
    value
}

unsafe fn parent_of(proc: i32, pid: &[u8]) -> Option<i32> {
    let mut path = [0u8; 24];
    let digits = pid.iter().take_while(|b| b.is_ascii_digit()).count();
    path.get_mut(..digits)?.copy_from_slice(pid.get(..digits)?);
    path.get_mut(digits..digits + 6)?.copy_from_slice(b"/stat\0");
    let mut text = [0u8; 512];
    // SAFETY: the path is NUL-terminated, the buffer as long as stated.
    let got = unsafe {
        let file = libc::openat(proc, path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let got = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        usize::try_from(got).ok()?
    };
    parse_parent(text.get(..got)?)
}

/// Parses `PID (NAME) STATE PARENT ...`, where NAME may contain any character.
fn parse_parent(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    number(stat.get(end + 4..)?)
}

unsafe fn close_all_but_locks(mut first: i32) {
    // SAFETY: see close_range.
    unsafe {
        while let Some(lock) = crate::lock::descriptor_from(first) {
            if lock > first {
                close_range(first, lock - 1);
            }
            first = lock + 1;
        }
        close_range(first, i32::MAX);
    }
}

/// Closes every descriptor.
///
/// # Safety
/// Only in a fork that no longer uses any of them.
pub(super) unsafe fn close_all() {
    // SAFETY: as the caller promises.
    unsafe { close_range(0, i32::MAX) };
}

unsafe fn close_range(first: i32, last: i32) {
    // SAFETY: closing descriptors of this process, none of which is used any more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) == 0 {
            return;
        }
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let open = i32::try_from(limit.rlim_cur.min(65_536)).unwrap_or(65_536);
        for fd in first..=last.min(open) {
            libc::close(fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents() {
        assert_eq!(parse_parent(b"12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parse_parent(b"12 (a) b) (c) Z 4194303 1"), Some(4_194_303));
        for broken in [&b""[..], b"12", b"12 (sh)", b"12 (sh) S", b"12 (sh) S x"] {
            assert_eq!(parse_parent(broken), None);
        }
    }

    #[test]
    fn descendants_are_marked_in_any_order() {
        let row = |pid, parent| Row { pid, parent, below: false };
        let mut rows = [row(9, 8), row(3, 2), row(8, 5), row(5, 1), row(7, 3), row(2, 0), row(1, 0)];
        mark_below(&mut rows, 5);
        let below: Vec<_> = rows.iter().filter(|r| r.below).map(|r| r.pid).collect();
        assert_eq!(below, [8, 9]);
    }

    #[test]
    fn a_picture_has_ourselves() {
        let mut rows = Rows::new();
        // SAFETY: reads /proc only.
        unsafe { take_picture(&mut rows.0) };
        if std::path::Path::new("/proc/self/stat").exists() {
            let me = std::process::id() as i32;
            let parent = std::os::unix::process::parent_id() as i32;
            assert!(rows.0.iter().any(|r| r.pid == me && r.parent == parent));
        }
    }
}
