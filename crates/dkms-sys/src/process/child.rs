//! What happens between fork and exec. Nothing here allocates, locks or panics: another thread of dkms may have held
//! a lock at the fork, and nobody is left to release it.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::supervisor::{self, Rows};
use crate::mount::{self, Bind};
use crate::sandbox::Prepared;
use crate::signal;

/// The preparations, in order. The child notes the one it is at in [`Notes`], so that an error can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Start,
    Supervise,
    Mount,
    Directory,
    Limits,
    User,
    Confine,
    Execute,
}

impl Step {
    const ALL: [Step; 8] = [
        Step::Start,
        Step::Supervise,
        Step::Mount,
        Step::Directory,
        Step::Limits,
        Step::User,
        Step::Confine,
        Step::Execute,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Step::Start => "creating a process",
            Step::Supervise => "creating its supervisor",
            Step::Mount => "making a private mount",
            Step::Directory => "entering its directory",
            Step::Limits => "setting its limits",
            Step::User => "changing to an unprivileged user",
            Step::Confine => "confining it",
            Step::Execute => "executing the file",
        }
    }
}

/// A page shared with the child, on which it notes how far it got.
#[derive(Debug)]
pub(super) struct Notes(*mut [AtomicU32; 2]);

// SAFETY: the page is only reached through atomics and lives until the last owner is dropped.
unsafe impl Send for Notes {}
// SAFETY: as above.
unsafe impl Sync for Notes {}

impl Notes {
    pub(super) fn new() -> std::io::Result<Arc<Self>> {
        // SAFETY: a fresh anonymous mapping; zeroed memory is two atomics of 0.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<[AtomicU32; 2]>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Arc::new(Notes(page.cast())))
    }

    fn cells(&self) -> &[AtomicU32; 2] {
        // SAFETY: the mapping is page-aligned, large enough, and unmapped only in drop.
        unsafe { &*self.0 }
    }

    fn at(&self, step: Step) {
        self.cells()[0].store(step as u32, Ordering::SeqCst);
    }

    pub(super) fn step(&self) -> Step {
        let number = self.cells()[0].load(Ordering::SeqCst) as usize;
        Step::ALL.get(number).copied().unwrap_or(Step::Start)
    }

    /// Whether the network is out of reach.
    pub(super) fn network_closed(&self) -> bool {
        self.cells()[1].load(Ordering::SeqCst) != 0
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // SAFETY: mapped in new with this size, and this is the last owner.
        unsafe { libc::munmap(self.0.cast(), size_of::<[AtomicU32; 2]>()) };
    }
}

/// Everything the child needs, made before the fork.
pub(super) struct Plan {
    pub(super) parent: i32,
    pub(super) life: OwnedFd,
    pub(super) rows: Rows,
    pub(super) own_group: bool,
    pub(super) end_leftovers: bool,
    pub(super) pass: Vec<Arc<OwnedFd>>,
    pub(super) binds: Vec<Bind>,
    pub(super) cwd: Option<CString>,
    pub(super) umask: u32,
    pub(super) nice: i32,
    pub(super) sandbox: Option<Prepared>,
    pub(super) notes: Arc<Notes>,
}

impl Plan {
    /// Runs in the first fork. Forks again: the elder becomes the supervisor and never returns, the younger returns to
    /// be executed.
    pub(super) fn carry_out(&mut self) -> std::io::Result<()> {
        self.notes.at(Step::Supervise);
        // SAFETY: system calls on plain numbers; this process has one thread.
        unsafe {
            default_signals();
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0))?;
            supervisor::block_signals();
            if libc::getppid() != self.parent {
                // dkms died before the line above.
                libc::_exit(1);
            }
            check(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))?;
            let supervisor = libc::getpid();
            match libc::fork() {
                -1 => return Err(std::io::Error::last_os_error()),
                0 => {}
                child => supervisor::supervise(
                    child,
                    self.life.as_raw_fd(),
                    &mut self.rows,
                    self.end_leftovers,
                    self.own_group,
                ),
            }
            if self.own_group {
                check(libc::setpgid(0, 0))?;
            }
            supervisor::unblock_signals();
            self.prepare()?;
            // Changing the user clears it, so it comes last.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
            if libc::getppid() != supervisor {
                libc::_exit(1);
            }
        }
        self.notes.at(Step::Confine);
        let filter = self.close_network_late();
        if let Some(sandbox) = &self.sandbox {
            sandbox.lock_down(filter)?;
        }
        self.notes.at(Step::Execute);
        Ok(())
    }

    /// # Safety
    /// Only in the child, before exec.
    unsafe fn prepare(&mut self) -> std::io::Result<()> {
        // What dkms inherited itself (a package manager's lock, a jobserver) is not the program's business.
        // SAFETY: only close-on-exec flags change; the standard streams are below 3.
        unsafe { close_on_exec_from(3) };
        for fd in &self.pass {
            // SAFETY: an open descriptor that the plan owns; only its close-on-exec flag changes.
            unsafe { keep_on_exec(fd.as_raw_fd())? };
        }
        self.notes.at(Step::Mount);
        if !self.binds.is_empty() {
            mount::enter_namespace()?;
            for bind in &self.binds {
                bind.mount()?;
            }
        }
        self.close_network();
        self.notes.at(Step::Directory);
        if let Some(dir) = &self.cwd {
            // SAFETY: a NUL-terminated string owned by the plan.
            check(unsafe { libc::chdir(dir.as_ptr()) })?;
        }
        self.notes.at(Step::Limits);
        // SAFETY: plain numbers. That niceness cannot be lowered by everybody is no failure.
        unsafe {
            libc::umask(self.umask);
            if self.nice != 0 {
                *libc::__errno_location() = 0;
                let now = libc::getpriority(libc::PRIO_PROCESS, 0);
                libc::setpriority(libc::PRIO_PROCESS, 0, now.saturating_add(self.nice));
            }
        }
        if let Some(sandbox) = &self.sandbox {
            sandbox.set_limits()?;
            self.notes.at(Step::User);
            sandbox.become_user()?;
        }
        Ok(())
    }

    /// An empty network namespace, where that is allowed.
    fn close_network(&self) {
        if self.sandbox.as_ref().is_some_and(|s| s.no_network) {
            // SAFETY: only takes flags; failing changes nothing.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
                self.notes.cells()[1].store(1, Ordering::SeqCst);
            }
        }
    }

    /// Whether sockets are to be filtered because no namespace could be had.
    fn close_network_late(&self) -> bool {
        let filter = self.sandbox.as_ref().is_some_and(|s| s.no_network && s.has_seccomp())
            && !self.notes.network_closed();
        if filter {
            self.notes.cells()[1].store(1, Ordering::SeqCst);
        }
        filter
    }
}

fn check(code: i32) -> std::io::Result<()> {
    if code == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// Only in a child that will exec.
unsafe fn close_on_exec_from(first: RawFd) {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: flags of this process's descriptors; wrong numbers are only refused.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        for fd in first..1024 {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// # Safety
/// `fd` is open and belongs to the caller.
unsafe fn keep_on_exec(fd: RawFd) -> std::io::Result<()> {
    // SAFETY: as the caller promises.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })
}

/// Takes dkms's handlers away before signals are let in again; what is ignored stays ignored.
///
/// # Safety
/// Only in a child that will not return to dkms's code.
unsafe fn default_signals() {
    for number in signal::STOPPING {
        // SAFETY: all-zero structures are valid ones; SIG_DFL needs no handler.
        unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(number, std::ptr::null(), &mut old) == 0 && old.sa_sigaction != libc::SIG_IGN {
                let mut new: libc::sigaction = std::mem::zeroed();
                new.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(number, &new, std::ptr::null_mut());
            }
        }
    }
}
