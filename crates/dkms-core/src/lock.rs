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
    acquire(s, build_name(p), &format!("building {p}"))
}

/// Waits until nobody else changes this kernel's modules.
///
/// # Errors
/// As [`build`].
pub fn install(s: &Session<'_>, k: &Kernel) -> Result<Held> {
    acquire(s, install_name(k), &format!("changing the modules of kernel {k}"))
}

/// What the lock file of [`build`] is called.
pub(crate) fn build_name(p: &PackageId) -> String {
    format!("build-{}-{}", p.name, p.version)
}

/// What the lock file of [`install`] is called.
pub(crate) fn install_name(k: &Kernel) -> String {
    format!("install-{}-{}", k.release, k.arch)
}

/// Waits for a lock that is only known by its name.
///
/// # Errors
/// As [`build`].
pub(crate) fn named(s: &Session<'_>, name: &str, what: &str) -> Result<Held> {
    acquire(s, name.to_owned(), what)
}

/// Whether somebody, perhaps a caller of ours, holds a lock now; by looking only. A lock that may not be looked at counts
/// as free.
pub(crate) fn is_held(s: &Session<'_>, name: &str) -> bool {
    Lock::is_taken(s.layout.lock_dir().join(name)).unwrap_or(false)
}

/// The kernels whose modules were ever changed, by their lock files.
pub(crate) fn kernels(s: &Session<'_>) -> Vec<Kernel> {
    let Ok(names) = dkms_sys::fs::list_dir_optional(s.layout.lock_dir()) else { return Vec::new() };
    names
        .iter()
        .filter_map(|n| n.to_str()?.strip_prefix("install-")?.rsplit_once('-'))
        .filter_map(|(release, arch)| Kernel::new(release, arch).ok())
        .collect()
}

/// The lock of a kernel's modules if it is free now. `None`: somebody has it, perhaps a caller of ours.
///
/// # Errors
/// When the lock file cannot be used.
pub fn try_install(s: &Session<'_>, k: &Kernel) -> Result<Option<Lock>> {
    let name = install_name(k);
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
