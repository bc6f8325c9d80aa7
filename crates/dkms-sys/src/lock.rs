//! Locks between processes: `flock` on a file, so that a holder that dies lets go, and who waits is told for whom.
//!
//! The file holds a few lines about the holder. They are a courtesy for the message; the lock itself is the kernel's.
//! The descriptor is close-on-exec, so no program keeps a lock alive. A supervisor (see [`crate::process`]) does, when dkms
//! is killed: until it has ended what dkms had started, nobody else begins.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{IoError, signal, sys};

/// Descriptors of locks that are held, -1 where there is none. Read between fork and exec, where nothing may be locked or
/// allocated; a lock for which there is no room is let go with dkms itself.
static DESCRIPTORS: [AtomicI32; 1024] = [const { AtomicI32::new(-1) }; 1024];

/// The lowest descriptor of a lock that is not below `least`.
pub(crate) fn descriptor_from(least: i32) -> Option<i32> {
    DESCRIPTORS.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|fd| *fd >= least).min()
}

fn register(fd: i32) {
    let free =
        |slot: &&AtomicI32| slot.compare_exchange(-1, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    let _ = DESCRIPTORS.iter().find(free);
}

fn forget(fd: i32) {
    for slot in &DESCRIPTORS {
        let _ = slot.compare_exchange(fd, -1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// How long is waited in silence.
const ANNOUNCE: Duration = Duration::from_millis(100);

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// Who holds a lock, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Its process; 0 when unknown.
    pub pid: u32,
    /// What it said it was doing (the `what` of [`Lock::acquire`]); empty when unknown.
    pub command: String,
    /// Since when, in seconds since 1970; 0 when unknown.
    pub since_unix: u64,
}

impl Holder {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|l| l.parse().ok()).unwrap_or(0);
        let since_unix = lines.next().and_then(|l| l.parse().ok()).unwrap_or(0);
        // Shown to people: nothing in it may steer their terminal.
        let command =
            lines.next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(400).collect();
        Holder { pid, command, since_unix }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, self.command.as_str()) {
            (0, _) => return f.write_str("another process"),
            (pid, "") => write!(f, "process {pid}")?,
            (pid, command) => write!(f, "process {pid} ({command})")?,
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        match now.saturating_sub(self.since_unix) {
            _ if self.since_unix == 0 => Ok(()),
            0..=1 => Ok(()),
            s @ 2..=119 => write!(f, ", at it for {s} s"),
            s => write!(f, ", at it for {} min", s / 60),
        }
    }
}

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else held it all the time.
    #[error("{} is locked by {holder}; gave up after {:.1} s. Wait for it to end and try again", .path.display(), .waited.as_secs_f64())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who has it.
        holder: Holder,
        /// How long was waited.
        waited: Duration,
    },
    /// A signal came while waiting.
    #[error("interrupted by {} while waiting for {holder}", signal::name(*.signal))]
    Interrupted {
        /// Its number.
        signal: i32,
        /// Who has the lock.
        holder: Holder,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A held lock; let go when dropped. The file stays.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    mode: Mode,
}

impl Lock {
    /// Takes the lock file `path` (made when missing, mode 0600: whoever can open it can hold it; its directory must exist).
    ///
    /// `what` says in a few words what for; who waits is shown it. `timeout`: `None` waits for ever, zero only tries.
    /// `on_wait` is called when it takes longer than a moment, and again whenever the holder changes.
    pub fn acquire(
        path: impl AsRef<Path>,
        mode: Mode,
        what: &str,
        timeout: Option<Duration>,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Self, LockError> {
        let path = path.as_ref();
        let start = Instant::now();
        let mut announced: Option<Holder> = None;
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(lock) = Self::attempt(path, mode, what)? {
                return Ok(lock);
            }
            let holder = Self::holder(path);
            let waited = start.elapsed();
            if timeout.is_some_and(|limit| waited >= limit) {
                return Err(LockError::Busy { path: path.to_owned(), holder, waited });
            }
            if let Some(signal) = signal::interrupted() {
                return Err(LockError::Interrupted { signal, holder });
            }
            // What is over in a moment is not worth a line.
            if waited >= ANNOUNCE && announced.as_ref() != Some(&holder) {
                on_wait(&holder);
                announced = Some(holder);
            }
            let left = timeout.map_or(pause, |limit| limit.saturating_sub(waited));
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Takes the lock if it is free now.
    pub fn try_acquire(path: impl AsRef<Path>, mode: Mode, what: &str) -> Result<Option<Self>, IoError> {
        Self::attempt(path.as_ref(), mode, what)
    }

    /// Whether somebody holds this lock now. Only looks: the file is neither made nor written, so being allowed to read
    /// it is enough. Without a file nobody holds it.
    pub fn is_taken(path: impl AsRef<Path>) -> Result<bool, IoError> {
        let path = path.as_ref();
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(IoError::new("open the lock file", path, e)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            // Let go with the descriptor.
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(IoError::new("lock", path, e)),
        }
    }

    /// Who says to hold this lock file. Reads only; unknown fields are empty.
    pub fn holder(path: impl AsRef<Path>) -> Holder {
        let mut text = Vec::new();
        if let Ok(file) = crate::fs::open(path.as_ref()) {
            let _ = file.take(4096).read_to_end(&mut text);
        }
        Holder::parse(&String::from_utf8_lossy(&text))
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is held.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    fn attempt(path: &Path, mode: Mode, what: &str) -> Result<Option<Self>, IoError> {
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            let file = open(path)?;
            match rustix::fs::flock(&file, operation) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(IoError::new("lock", path, e)),
            }
            // Somebody may have removed the file meanwhile: a lock on a nameless file excludes nobody.
            if !is_still(path, &file)? {
                continue;
            }
            register(file.as_raw_fd());
            let lock = Lock { file, path: path.to_owned(), mode };
            lock.sign(what);
            return Ok(Some(lock));
        }
    }

    /// Writes who we are. A full disk is no reason to give the lock up.
    fn sign(&self, what: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let what: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = format!("{}\n{since}\n{what}\n", sys::own_pid());
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        forget(self.file.as_raw_fd());
        // Closing would not do: a supervisor may have the descriptor as well.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn open(path: &Path) -> Result<File, IoError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| IoError::new("open the lock file", path, e))?;
    crate::fs::only_regular(path, &file, "use as a lock file")?;
    Ok(file)
}

fn is_still(path: &Path, file: &File) -> Result<bool, IoError> {
    let ours = file.metadata().map_err(|e| IoError::new("examine", path, e))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(IoError::new("examine", path, e)),
    }
}
