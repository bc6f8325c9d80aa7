//! Locks between processes: `flock` on a file. The kernel releases a lock when its holder dies, and a waiting
//! command reports the holder.
//!
//! The file contains a few lines about the holder, which are only used for messages; the lock itself is in
//! the kernel. The descriptor is close-on-exec, so other programs do not hold a lock. If dkms is killed, its
//! supervisors (see [`crate::process`]) hold the lock until they have ended all processes that dkms had
//! started, so no other dkms starts before that.

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

/// Descriptors of held locks; -1 marks an unused entry. They are read between fork and exec, where nothing
/// may be locked or allocated. A lock without an entry is released when dkms dies.
static DESCRIPTORS: [AtomicI32; 1024] = [const { AtomicI32::new(-1) }; 1024];

/// The lowest descriptor of a lock that is at least `lowest`.
pub(crate) fn descriptor_from(lowest: i32) -> Option<i32> {
    DESCRIPTORS.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|fd| *fd >= lowest).min()
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

/// Time to wait before reporting the holder.
const ANNOUNCE: Duration = Duration::from_millis(100);

/// The holder of a lock, as far as known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Its process; 0 if unknown.
    pub pid: u32,
    /// Its work (the `what` of [`Lock::acquire`]); empty if unknown.
    pub command: String,
    /// The time when it took the lock, in seconds since 1970; 0 if unknown.
    pub since_unix: u64,
}

impl Holder {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|l| l.parse().ok()).unwrap_or(0);
        let since_unix = lines.next().and_then(|l| l.parse().ok()).unwrap_or(0);
        // This text is printed, so it must not contain control sequences.
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
            s @ 2..=119 => write!(f, "; since {s} s"),
            s => write!(f, "; since {} min", s / 60),
        }
    }
}

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process held it until the timeout.
    #[error("{} is locked by {holder}; timed out after {:.1} s. Wait until it has finished and try again", .path.display(), .waited.as_secs_f64())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Its holder.
        holder: Holder,
        /// The time waited.
        waited: Duration,
    },
    /// A signal arrived while waiting.
    #[error("interrupted by {} while waiting for {holder}", signal::name(*.signal))]
    Interrupted {
        /// Its number.
        signal: i32,
        /// The holder of the lock.
        holder: Holder,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A held lock, released when dropped. The file stays, empty.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Acquires the lock file `path`. It is created if missing, with mode 0600, because every process that
    /// can open it can lock it. Its directory must exist.
    ///
    /// `what` describes the purpose in a few words, for the messages of waiting processes. `timeout`: `None`
    /// waits without limit, zero only tries once. `on_wait` is called after a short wait, and again whenever
    /// the holder changes.
    pub fn acquire(
        path: impl AsRef<Path>,
        what: &str,
        timeout: Option<Duration>,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Self, LockError> {
        let path = path.as_ref();
        let start = Instant::now();
        let mut announced: Option<Holder> = None;
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(lock) = Self::attempt(path, what)? {
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
            // A short wait is not worth a message.
            if waited >= ANNOUNCE && announced.as_ref() != Some(&holder) {
                on_wait(&holder);
                announced = Some(holder);
            }
            let left = timeout.map_or(pause, |limit| limit.saturating_sub(waited));
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Acquires the lock if it is free now.
    pub fn try_acquire(path: impl AsRef<Path>, what: &str) -> Result<Option<Self>, IoError> {
        Self::attempt(path.as_ref(), what)
    }

    /// Whether a process holds this lock now. The file is neither created nor written, so read access is
    /// enough. If the file does not exist, the lock is free.
    pub fn is_taken(path: impl AsRef<Path>) -> Result<bool, IoError> {
        let path = path.as_ref();
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(IoError::new("open the lock file", path, e)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            // Released when the descriptor is closed.
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(IoError::new("lock", path, e)),
        }
    }

    /// Reads the holder from the lock file. Unknown fields are empty.
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

    fn attempt(path: &Path, what: &str) -> Result<Option<Self>, IoError> {
        loop {
            let file = open(path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(IoError::new("lock", path, e)),
            }
            // The file may have been removed in the meantime. A lock on a file without a name does not
            // exclude other processes.
            if !has_name(&file, path)? {
                continue;
            }
            register(file.as_raw_fd());
            let lock = Lock { file, path: path.to_owned() };
            lock.write_holder(what);
            return Ok(Some(lock));
        }
    }

    /// Writes the holder to the file. A full disk does not prevent locking.
    fn write_holder(&self, what: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let what: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = format!("{}\n{since}\n{what}\n", sys::own_pid());
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        forget(self.file.as_raw_fd());
        // The name of the last holder is useless, and would make two images differ.
        let _ = self.file.set_len(0);
        // Closing is not enough, because a supervisor may have the descriptor too.
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

/// Whether `path` is a name of this open file.
fn has_name(file: &File, path: &Path) -> Result<bool, IoError> {
    let ours = file.metadata().map_err(|e| IoError::new("examine", path, e))?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(IoError::new("examine", path, e)),
    }
}
