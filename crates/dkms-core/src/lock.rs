//! Locks between commands: one per package for builds, one per kernel for installs. flock(2) below `.lock` of the tree; a
//! dead holder never blocks. A dkms that a package's script calls inherits what its caller holds, by name, and does not
//! wait for itself.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Kernel, PackageId};
use crate::session::Session;
use dkms_sys::lock::{Lock, LockError, Mode};
use std::time::Duration;

/// The variable that tells children which locks their caller holds, separated by blanks.
pub const HELD: &str = "DKMS_LOCKS_HELD";

/// A lock that is held, or that a caller of ours holds.
#[derive(Debug)]
pub struct Held {
    /// `None` when inherited.
    _lock: Option<Lock>,
    name: String,
}

impl Held {
    /// Whether a caller of ours holds it.
    pub fn is_inherited(&self) -> bool {
        self._lock.is_none()
    }

    /// The variable to hand to children: what was inherited, and this.
    pub fn variable(&self, s: &Session<'_>) -> (String, String) {
        (HELD.into(), format!("{} {}", inherited(s), self.name).trim().to_owned())
    }
}

fn inherited(s: &Session<'_>) -> String {
    s.host
        .environment
        .iter()
        .find(|(k, _)| k == HELD)
        .map_or_else(String::new, |(_, v)| v.to_string_lossy().into_owned())
}

/// Waits until nobody else builds this package version.
///
/// # Errors
/// [`Error::Busy`] after `lock_timeout`, or when the lock file cannot be made.
pub fn build(s: &Session<'_>, p: &PackageId) -> Result<Held> {
    acquire(s, format!("build-{}-{}", p.name, p.version), &format!("building {p}"))
}

/// Waits until nobody else changes this kernel's modules.
///
/// # Errors
/// As [`build`].
pub fn install(s: &Session<'_>, k: &Kernel) -> Result<Held> {
    acquire(s, format!("install-{}-{}", k.release, k.arch), &format!("changing the modules of kernel {k}"))
}

/// The lock of a kernel's modules if it is free now. `None`: somebody has it, perhaps a caller of ours.
///
/// # Errors
/// When the lock file cannot be used.
pub fn try_install(s: &Session<'_>, k: &Kernel) -> Result<Option<Lock>> {
    let name = format!("install-{}-{}", k.release, k.arch);
    if inherited(s).split_whitespace().any(|held| held == name) {
        return Ok(None);
    }
    dkms_sys::fs::create_dir_all(s.layout.lock_dir())?;
    Ok(Lock::try_acquire(s.layout.lock_dir().join(name), Mode::Exclusive, "looking for interrupted changes")?)
}

fn acquire(s: &Session<'_>, name: String, what: &str) -> Result<Held> {
    if inherited(s).split_whitespace().any(|held| held == name) {
        return Ok(Held { _lock: None, name });
    }
    let dir = s.layout.lock_dir();
    dkms_sys::fs::create_dir_all(&dir)?;
    let timeout = s.options.framework.lock_timeout.map(Duration::from_secs);
    let lock = Lock::acquire(dir.join(&name), Mode::Exclusive, what, timeout, &mut |holder| {
        s.tell(Event::Waiting { what: what.to_owned(), holder: holder.to_string() });
    });
    match lock {
        Ok(lock) => Ok(Held { _lock: Some(lock), name }),
        Err(LockError::Busy { holder, .. }) => {
            Err(Error::Busy { what: what.to_owned(), holder: holder.to_string() })
        }
        Err(LockError::Io(e)) => Err(e.into()),
        Err(LockError::Interrupted { signal, .. }) => Err(Error::Interrupted(signal)),
    }
}
