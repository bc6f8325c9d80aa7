//! Requests to stop: SIGINT, SIGTERM and SIGHUP are recorded, and everything that waits checks for them.
//!
//! The handler only stores a number and wakes the waiting threads. Children run in separate process groups,
//! so Ctrl-C in the terminal reaches only dkms, and [`crate::process`] ends the children: with SIGTERM after
//! the first signal, with SIGKILL after the second.
//!
//! SIGPIPE: Rust programs ignore it from the start, so writing to a closed pipe is an ordinary error
//! (`EPIPE`), which is not a failure of the program. Children get the default action.

use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::event::EventfdFlags;

static FIRST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The signals that ask dkms to stop.
pub(crate) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Installs the handlers. Call this once, early in `main`. A signal that was ignored when the program started
/// (`nohup`) is still ignored.
pub fn install() -> std::io::Result<()> {
    // SAFETY: getpid has no conditions.
    OWNER.store(unsafe { libc::getpid() }, Ordering::SeqCst);
    if WAKE.load(Ordering::SeqCst) < 0 {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let number = fd.as_raw_fd();
        match WAKE.compare_exchange(-1, number, Ordering::SeqCst, Ordering::SeqCst) {
            // It lives as long as the process, because the handler uses it.
            Ok(_) => drop(OwnedFd::into_raw_fd(fd)),
            Err(_) => drop(fd),
        }
    }
    for number in STOPPING {
        handle(number)?;
    }
    Ok(())
}

/// Restores the default action of SIGCHLD. If the parent of this program ignores that signal, this program
/// inherits it, and then it cannot wait for its children. Call this before the first child starts.
pub fn restore_child_signal() {
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn handle(number: i32) -> std::io::Result<()> {
    // SAFETY: the structures are valid all-zero; the handler only uses atomics, getpid and write, which are
    // safe in a signal handler.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &mut old) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        if old.sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = record as extern "C" fn(i32) as usize;
        new.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut new.sa_mask);
        if libc::sigaction(number, &new, std::ptr::null_mut()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn record(number: i32) {
    // SAFETY: getpid, write and the errno location may be used in a handler; the descriptor is never closed.
    unsafe {
        // Ignore the signal in a child between fork and exec, which still has this handler.
        if libc::getpid() != OWNER.load(Ordering::SeqCst) {
            return;
        }
        let errno = *libc::__errno_location();
        let _ = FIRST.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        COUNT.fetch_add(1, Ordering::SeqCst);
        let one = 1u64.to_ne_bytes();
        libc::write(WAKE.load(Ordering::SeqCst), one.as_ptr().cast(), one.len());
        *libc::__errno_location() = errno;
    }
}

/// The first signal that asked dkms to stop since [`install`], if any.
pub fn interrupted() -> Option<i32> {
    match FIRST.load(Ordering::SeqCst) {
        0 => None,
        number => Some(number),
    }
}

/// The number of such signals. From the second on, running children are killed at once.
pub fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

/// The short name of a signal, `"SIGTERM"`; `"signal 34"` if it has none.
pub fn name(number: i32) -> String {
    let known = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        other => return format!("signal {other}"),
    };
    known.to_owned()
}

/// Readable after the first signal; `None` before [`install`].
pub(crate) fn wake_fd() -> Option<BorrowedFd<'static>> {
    let number = WAKE.load(Ordering::SeqCst);
    // SAFETY: once stored, the descriptor stays open until the process ends.
    (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}
