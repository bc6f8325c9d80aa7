//! The code between fork and exec. It must not allocate, lock or panic: another thread of dkms may have held
//! a lock at the fork, and would never release it in the child.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::notes::{Notes, Step};
use super::supervisor::{self, Rows};
use crate::error::check;
use crate::mount::{self, Bind};
use crate::sandbox::Prepared;
use crate::signal;

/// Everything that the child needs, prepared before the fork.
pub(super) struct Plan {
    pub(super) parent: i32,
    pub(super) life: OwnedFd,
    pub(super) rows: Rows,
    pub(super) own_group: bool,
    pub(super) end_leftovers: bool,
    pub(super) pass: Vec<Arc<OwnedFd>>,
    pub(super) binds: Vec<Bind>,
    pub(super) cwd: Option<CString>,
    pub(super) sandbox: Option<Arc<Prepared>>,
    /// The sandbox mounts the binds.
    pub(super) sandbox_binds: bool,
    pub(super) notes: Arc<Notes>,
}

/// The first fork, as its child knows it.
struct Supervisor {
    pid: libc::pid_t,
    /// Negative before Linux 5.3.
    pidfd: RawFd,
}

impl Plan {
    /// Runs in the first fork. Forks again: the parent becomes the supervisor and never returns, the child
    /// returns to call exec.
    pub(super) fn run_in_child(&mut self) -> std::io::Result<()> {
        self.notes.at(Step::Supervise);
        // SAFETY: this process has one thread, and nothing in it allocates, locks or panics.
        unsafe {
            let supervisor = self.fork_from_supervisor()?;
            if self.sandbox.is_some() {
                // Without a terminal, the program can neither read what is typed nor simulate typing.
                check(libc::setsid().min(0))?;
            } else if self.own_group {
                check(libc::setpgid(0, 0))?;
            }
            let parent = self.enter_processes(&supervisor)?;
            supervisor::unblock_signals();
            self.prepare()?;
            // Changing the user resets this, so it comes last.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
            if libc::getppid() != parent {
                libc::_exit(1);
            }
        }
        self.notes.at(Step::Confine);
        if let Some(sandbox) = &self.sandbox {
            let missing = sandbox.lock_down(self.notes.missing())?;
            self.notes.add_missing(missing);
        }
        self.notes.at(Step::Execute);
        Ok(())
    }

    /// Turns this process into the supervisor, and returns in its child.
    ///
    /// # Safety
    /// Only in the first fork, which has one thread.
    unsafe fn fork_from_supervisor(&mut self) -> std::io::Result<Supervisor> {
        // SAFETY: system calls on plain numbers.
        unsafe {
            default_signals();
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0))?;
            supervisor::block_signals();
            if libc::getppid() != self.parent {
                // dkms died before the line above.
                libc::_exit(1);
            }
            check(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))?;
            let pid = libc::getpid();
            if let Some(sandbox) = &self.sandbox {
                self.notes.at(Step::Namespaces);
                sandbox.enter_outer_namespaces().map_err(|refusal| self.notes.refuse(refusal))?;
                self.notes.at(Step::Supervise);
            }
            let pidfd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as RawFd;
            match libc::fork() {
                -1 => Err(std::io::Error::last_os_error()),
                0 => Ok(Supervisor { pid, pidfd }),
                child => supervisor::supervise(
                    child,
                    self.life.as_raw_fd(),
                    &mut self.rows,
                    self.end_leftovers,
                    self.own_group,
                    self.sandbox.is_some(),
                    &self.notes,
                ),
            }
        }
    }

    /// Enters the inner namespaces. If processes have one of their own, process 1 of it never returns, and
    /// its child does. Returns the parent of the process that returns.
    ///
    /// # Safety
    /// Only in the child of the supervisor, which has one thread.
    unsafe fn enter_processes(&self, supervisor: &Supervisor) -> std::io::Result<libc::pid_t> {
        if !self.sandbox.as_ref().is_some_and(|s| s.has_own_processes()) {
            self.enter_inner_namespaces()?;
            return Ok(supervisor.pid);
        }
        // SAFETY: system calls on plain numbers.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
            if is_dead(supervisor.pidfd) {
                libc::_exit(1);
            }
            self.enter_inner_namespaces()?;
            match libc::fork() {
                -1 => Err(std::io::Error::last_os_error()),
                0 => Ok(1),
                program => run_process_one(program, &self.notes),
            }
        }
    }

    fn enter_inner_namespaces(&self) -> std::io::Result<()> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        self.notes.at(Step::Namespaces);
        // SAFETY: a plain number. Directories for mounts get exactly the requested modes.
        unsafe { libc::umask(0) };
        let missing = sandbox.enter_inner_namespaces().map_err(|refusal| self.notes.refuse(refusal))?;
        self.notes.add_missing(missing);
        Ok(())
    }

    /// # Safety
    /// Only in the child, before exec.
    unsafe fn prepare(&mut self) -> std::io::Result<()> {
        // The program must not inherit descriptors that dkms has inherited, such as the lock of a package
        // manager or a jobserver.
        // SAFETY: only close-on-exec flags change; the standard streams are below 3.
        unsafe { close_on_exec_from(3) };
        for fd in &self.pass {
            // SAFETY: an open descriptor that the plan owns; only its close-on-exec flag changes.
            unsafe { keep_on_exec(fd.as_raw_fd())? };
        }
        self.notes.at(Step::Mount);
        // The binds of a confined program are among its places.
        if !self.binds.is_empty() && !self.sandbox_binds {
            mount::enter_namespace()?;
            for bind in &self.binds {
                bind.mount()?;
            }
        }
        self.notes.at(Step::Directory);
        if let Some(dir) = &self.cwd {
            // SAFETY: a NUL-terminated string owned by the plan.
            check(unsafe { libc::chdir(dir.as_ptr()) })?;
        }
        self.notes.at(Step::Limits);
        // SAFETY: a plain number.
        unsafe { libc::umask(0o022) };
        if let Some(sandbox) = &self.sandbox {
            sandbox.set_limits()?;
            self.notes.at(Step::User);
            sandbox.become_user()?;
        }
        Ok(())
    }
}

/// Whether the process of a pidfd has ended. `false` if there is no descriptor (before Linux 5.3).
unsafe fn is_dead(pidfd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one complete structure; a negative descriptor is skipped.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLIN != 0 }
}

/// Process 1 of the program's process namespace: reaps processes, records the program's status, and exits;
/// then the kernel kills everything that is left. It keeps dkms's user, so the program can neither signal nor
/// trace it.
///
/// # Safety
/// Only in a fork that is process 1 of a namespace; all descriptors are closed.
unsafe fn run_process_one(program: i32, notes: &Notes) -> ! {
    // SAFETY: system calls on plain numbers; the process has one thread.
    unsafe {
        // It may have the same user as the program.
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"dkms-init".as_ptr());
        libc::chdir(c"/".as_ptr());
        supervisor::close_all();
        loop {
            let mut status = 0;
            let pid = libc::waitpid(-1, &raw mut status, 0);
            if pid == program {
                notes.note_end(status);
                libc::_exit(0);
            }
            if pid < 0 && *libc::__errno_location() != libc::EINTR {
                libc::_exit(1);
            }
        }
    }
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

/// Removes dkms's handlers before signals are unblocked; ignored signals stay ignored.
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
