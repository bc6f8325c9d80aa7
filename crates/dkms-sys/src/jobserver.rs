//! One GNU jobserver for all makes of a command, so that they run as many compilers together as one make would.
//!
//! The protocol (GNU make manual, "Sharing Job Slots with GNU make"): a pipe holds one byte for every job that may still
//! be started; who starts one takes a byte and puts it back when the job ended. A make that was started under a jobserver
//! has one job for free, which its parent paid for. So the pool holds as many bytes as there are slots, one of ours ([`Slots`]) is
//! taken before a make is started, and what the make runs beyond one job comes out of the same pipe.
//!
//! The pipe is handed over as two descriptors, the form that every make since 3.78 reads; named pipes came with 4.4.
//!
//! A make that was killed does not put back what it had taken. While others run nobody can tell how much that was; so
//! the pool is counted anew whenever no slot is in use, and a slot is never waited for without that.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use crate::signal;

/// The byte that stands for a job.
const TOKEN: u8 = b'+';
/// More slots than a pipe is sure to hold.
const MOST: u32 = 4096;

/// A pool of job slots that makes share.
#[derive(Debug)]
pub struct Jobserver {
    read: Arc<OwnedFd>,
    write: Arc<OwnedFd>,
    /// The same pipe, opened again so that reading it does not wait: the flag is not the makes' business.
    taker: File,
    slots: u32,
    /// Slots in use by us.
    held: Mutex<u32>,
    /// Held by who wants all slots, so that two of those do not wait for each other's halves.
    alone: Mutex<()>,
}

/// Slots that are taken; given back when dropped.
#[derive(Debug)]
pub struct Slots<'a> {
    pool: &'a Jobserver,
    count: u32,
}

/// Somebody asked dkms to stop while a slot was waited for: the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl Jobserver {
    /// A pool of `slots` (at least 1, at most 4096).
    ///
    /// # Errors
    /// When no pipe can be had, or `/proc` is not there to open it again.
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

    /// How many jobs may run at the same time.
    pub fn slots(&self) -> u32 {
        self.slots
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

    /// Waits for all slots: for a make that runs as many jobs as it likes.
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

    /// What MAKEFLAGS has to say to a make that is to use this pool. Both spellings of the option: makes before 4.2 know
    /// the one, later ones the other.
    pub fn makeflags(&self) -> String {
        let pipe = format!("{},{}", self.read.as_raw_fd(), self.write.as_raw_fd());
        format!(" -j{} --jobserver-fds={pipe} --jobserver-auth={pipe}", self.slots)
    }

    /// The descriptors that [`Jobserver::makeflags`] names, for [`crate::process::Command::pass_fd`].
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

    /// Nobody uses the pool: whatever is in the pipe, from now on it is one byte for each slot.
    fn refill(&self) {
        let mut rest = [0u8; 512];
        while matches!((&self.taker).read(&mut rest), Ok(n) if n > 0) {}
        self.put(self.slots);
    }

    fn put(&self, count: u32) {
        let tokens = vec![TOKEN; count as usize];
        // The pipe holds more than that, and we hold its other end: this neither waits nor fails.
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
            // Not for ever: that the last slot came back is no byte when its make was killed.
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
