//! One GNU jobserver for all makes of a command, so that together they run as many compilers as one make
//! would.
//!
//! The protocol is described in the GNU make manual, "Sharing Job Slots with GNU make": a pipe contains one
//! byte for every job that may be started. To start a job, a process takes a byte; when the job ends, it puts
//! the byte back. Every make under a jobserver may always run one job, because its parent has taken a byte
//! for it. So the pool contains as many bytes as there are slots, dkms takes one ([`Slots`]) before it starts
//! a make, and make takes further bytes from the same pipe for additional jobs.
//!
//! The pipe is passed as two descriptors, which every make since 3.78 supports; named pipes need 4.4.
//!
//! A killed make does not put back its bytes, and while other makes run, the number of missing bytes is
//! unknown. So the pool is refilled whenever no slot is in use, and waiting for a slot always includes this
//! check.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use crate::signal;

/// The byte that represents a job.
const TOKEN: u8 = b'+';
/// The maximum number of slots. A pipe can certainly hold that many bytes.
const MOST: u32 = 4096;

/// A pool of job slots that several makes share.
#[derive(Debug)]
pub struct Jobserver {
    read: Arc<OwnedFd>,
    write: Arc<OwnedFd>,
    /// The same pipe, opened again so that reading it does not block. The flag must not affect the makes.
    taker: File,
    slots: u32,
    /// The number of slots that we use.
    held: Mutex<u32>,
    /// Held while waiting for all slots, so that two threads doing this cannot deadlock.
    alone: Mutex<()>,
}

/// Slots in use; dropping this value returns them.
#[derive(Debug)]
pub struct Slots<'a> {
    pool: &'a Jobserver,
    count: u32,
}

/// A signal asked dkms to stop while it waited for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl Jobserver {
    /// Creates a pool of `slots` (at least 1, at most 4096).
    ///
    /// # Errors
    /// No pipe can be created, or `/proc` is missing, so that it cannot be opened again.
    pub fn new(slots: u32) -> std::io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let taker = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(format!("/proc/self/fd/{}", read.as_raw_fd()))?;
        Ok(Self {
            read: Arc::new(read),
            write: Arc::new(write),
            taker,
            slots: slots.clamp(1, MOST),
            held: Mutex::new(0),
            alone: Mutex::new(()),
        })
    }

    /// The number of jobs that may run at the same time.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The number of slots in use, by us and by all makes.
    pub fn in_use(&self) -> u32 {
        if *self.held() == 0 {
            return 0;
        }
        let free = rustix::io::ioctl_fionread(&self.taker).unwrap_or_default();
        self.slots.saturating_sub(u32::try_from(free).unwrap_or(u32::MAX))
    }

    /// Waits for one slot.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn acquire(&self) -> Result<Slots<'_>, Interrupted> {
        let mut taken = Slots { pool: self, count: 0 };
        taken.one_more()?;
        Ok(taken)
    }

    /// Waits for all slots, for a make whose number of jobs cannot be controlled.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn acquire_all(&self) -> Result<Slots<'_>, Interrupted> {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Slots { pool: self, count: 0 };
        while taken.count < self.slots {
            taken.one_more()?;
        }
        Ok(taken)
    }

    /// The MAKEFLAGS for a make that uses this pool. Both spellings of the option are needed: one for makes
    /// before 4.2, the other for later ones.
    pub fn makeflags(&self) -> String {
        let pipe = format!("{},{}", self.read.as_raw_fd(), self.write.as_raw_fd());
        format!(" -j{} --jobserver-fds={pipe} --jobserver-auth={pipe}", self.slots)
    }

    /// The descriptors in [`Jobserver::makeflags`], for [`crate::process::Command::pass_fd`].
    pub fn descriptors(&self) -> [Arc<OwnedFd>; 2] {
        [self.read.clone(), self.write.clone()]
    }

    fn held(&self) -> MutexGuard<'_, u32> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(&self) -> bool {
        let mut held = self.held();
        if *held == 0 {
            self.refill();
        }
        let mut byte = [0u8; 1];
        let got = matches!((&self.taker).read(&mut byte), Ok(1));
        *held += u32::from(got);
        got
    }

    /// No slot is in use: refill the pipe with one byte per slot.
    fn refill(&self) {
        let mut rest = [0u8; 512];
        while matches!((&self.taker).read(&mut rest), Ok(n) if n > 0) {}
        self.put(self.slots);
    }

    fn put(&self, count: u32) {
        let tokens = vec![TOKEN; count as usize];
        // The pipe has room for more bytes and we hold its read end, so this neither blocks nor fails.
        let _ = rustix::io::write(&self.write, &tokens);
    }
}

impl Slots<'_> {
    fn one_more(&mut self) -> Result<(), Interrupted> {
        loop {
            if let Some(signal) = signal::interrupted() {
                return Err(Interrupted(signal));
            }
            if self.pool.try_take() {
                self.count += 1;
                return Ok(());
            }
            let mut fds = vec![PollFd::new(&self.pool.taker, PollFlags::IN)];
            let wake = signal::wake_fd();
            fds.extend(wake.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            // Wait with a timeout: if the last make was killed, no byte arrives when its slot becomes free.
            let limit = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            let _ = rustix::event::poll(&mut fds, Some(&limit));
        }
    }
}

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        let mut held = self.pool.held();
        *held = held.saturating_sub(self.count);
        self.pool.put(self.count);
    }
}
