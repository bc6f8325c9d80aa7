//! Being told to stop: SIGINT, SIGTERM and SIGHUP are recorded, and everything that waits looks.
//!
//! The handler stores a number and wakes the waiters; nothing else happens in it. Children run in groups of their
//! own, so the terminal's Ctrl-C reaches dkms alone, and [`crate::process`] ends them: gently after the first signal,
//! hard after the second.
//!
//! SIGPIPE: Rust programs ignore it from the start, so writing to a closed pipe is an ordinary error (`EPIPE`), which
//! the program should take as the end of a successful conversation. Children get the default back.

use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::event::EventfdFlags;

static FIRST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The signals that ask dkms to stop.
pub(crate) const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Starts recording. To be called once, early in `main`. A signal that was ignored when the program began (`nohup`)
/// stays ignored.
pub fn install() -> std::io::Result<()> {
    // SAFETY: getpid has no conditions.
    OWNER.store(unsafe { libc::getpid() }, Ordering::SeqCst);
    if WAKE.load(Ordering::SeqCst) < 0 {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let number = fd.as_raw_fd();
        match WAKE.compare_exchange(-1, number, Ordering::SeqCst, Ordering::SeqCst) {
            // It lives as long as the process: the handler uses it.
            Ok(_) => drop(OwnedFd::into_raw_fd(fd)),
            Err(_) => drop(fd),
        }
    }
    for number in STOPPING {
        handle(number)?;
    }
    Ok(())
}

fn handle(number: i32) -> std::io::Result<()> {
    // SAFETY: the structures are valid all-zero; the handler only uses atomics, getpid and write, which are safe in a
    // signal handler.
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
        // A child between fork and exec still has this handler but is not meant.
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

/// The first signal that asked to stop, if any came since [`install`].
pub fn interrupted() -> Option<i32> {
    match FIRST.load(Ordering::SeqCst) {
        0 => None,
        number => Some(number),
    }
}

/// How many such signals came. From the second on, running children are killed without grace.
pub fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

/// The short name of a signal, `"SIGTERM"`; `"signal 34"` for one without.
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

/// Readable from the first signal on; `None` before [`install`].
pub(crate) fn wake_fd() -> Option<BorrowedFd<'static>> {
    let number = WAKE.load(Ordering::SeqCst);
    // SAFETY: once stored, the descriptor stays open until the process ends.
    (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}
