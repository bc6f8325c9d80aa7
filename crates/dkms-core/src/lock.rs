//! Locks between commands: one per package version for builds, one per kernel for its modules. flock(2) below `.lock` of
//! the tree; a dead holder never blocks.
//!
//! **Order.** Build locks come before the signing key's, and both before kernels' locks: whoever holds a kernel's lock never waits for a build lock, and who
//! needs several of one kind takes them sorted. `K/A` of a build is only put in place, replaced or deleted under its
//! kernel's lock.
//!
//! A dkms that a package's script calls inherits what its caller holds, by name, and does not wait for itself.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Kernel, PackageId};
use crate::session::Session;
use crate::tree::beneath;
use dkms_sys::lock::{Lock, LockError, Mode};
use std::time::Duration;

/// The variable that tells children which locks their caller holds: `NAME` with `=PID` behind it, separated by blanks.
pub const HELD: &str = "DKMS_LOCKS_HELD";

/// A lock that is held, or that a caller of ours holds.
#[derive(Debug)]
pub struct Held {
    /// `None` when inherited.
    lock: Option<Lock>,
    name: String,
}

impl Held {
    /// Whether a caller of ours holds it.
    pub fn is_inherited(&self) -> bool {
        self.lock.is_none()
    }
}

/// The variable to hand to children: what was inherited, and these.
pub fn variable<'a>(s: &Session<'_>, held: impl IntoIterator<Item = &'a Held>) -> (String, String) {
    let mut value = inherited(s);
    for h in held.into_iter().filter(|h| !h.is_inherited()) {
        value.push_str(&format!(" {}={}", h.name, dkms_sys::sys::own_pid()));
    }
    (HELD.into(), value.trim().to_owned())
}

fn inherited(s: &Session<'_>) -> String {
    s.host
        .environment
        .iter()
        .find(|(k, _)| k == HELD)
        .map_or_else(String::new, |(_, v)| v.to_string_lossy().into_owned())
}

/// Which process of our callers said that it holds this lock.
fn caller_with(s: &Session<'_>, name: &str) -> Option<u32> {
    let all = inherited(s);
    all.split_whitespace().find_map(|word| {
        let (held, pid) = word.rsplit_once('=')?;
        (held == name).then(|| pid.parse().ok())?
    })
}

/// Waits until nobody else builds this package version, or takes it away.
///
/// # Errors
/// [`Error::Busy`] after `lock_timeout`, [`Error::LeavesTree`], or when the lock file cannot be made.
pub fn build(s: &Session<'_>, p: &PackageId) -> Result<Held> {
    beneath::check_package(s.layout, p)?;
    // What is done under this lock goes into these two.
    dkms_sys::fs::refuse_foreign_dir(s.layout.package_dir(&p.name))?;
    dkms_sys::fs::refuse_foreign_dir(s.layout.version_dir(p))?;
    acquire(s, build_name(p), &format!("building {p}"))
}

/// Waits until nobody else changes these kernels' modules; they are taken in one order whatever order they are given in.
///
/// # Errors
/// As [`build`].
pub fn install(s: &Session<'_>, kernels: &[Kernel]) -> Result<Vec<Held>> {
    let mut sorted: Vec<&Kernel> = kernels.iter().collect();
    sorted.sort();
    sorted.dedup();
    let one = |k: &&Kernel| acquire(s, install_name(k), &format!("changing the modules of kernel {k}"));
    sorted.iter().map(one).collect()
}

/// What the lock file of [`build`] is called.
pub(crate) fn build_name(p: &PackageId) -> String {
    format!("build-{}-{}", p.name, p.version)
}

/// What the lock file of a kernel is called.
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

/// The locks of kernels' modules if all are free now. `None`: somebody has one, perhaps a caller of ours.
///
/// # Errors
/// When a lock file cannot be used.
pub fn try_install(s: &Session<'_>, kernels: &[Kernel]) -> Result<Option<Vec<Lock>>> {
    dkms_sys::fs::create_dir_all(s.layout.lock_dir())?;
    let mut held = Vec::new();
    for k in kernels {
        let path = s.layout.lock_dir().join(install_name(k));
        match Lock::try_acquire(path, Mode::Exclusive, &describe(s, "looking for interrupted changes"))? {
            Some(lock) => held.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(held))
}

/// The lock of one package version if it is free now. `None`: somebody has it, perhaps a caller of ours.
///
/// # Errors
/// When the lock file cannot be used.
pub fn try_build(s: &Session<'_>, p: &PackageId) -> Result<Option<Lock>> {
    dkms_sys::fs::create_dir_all(s.layout.lock_dir())?;
    let path = s.layout.lock_dir().join(build_name(p));
    Ok(Lock::try_acquire(path, Mode::Exclusive, &describe(s, "looking for interrupted builds"))?)
}

/// The lock for making the signing key.
///
/// # Errors
/// As [`build`].
pub fn signing_key(s: &Session<'_>) -> Result<Held> {
    acquire(s, "signing-key".into(), "making the signing key")
}

/// What waiters are told: the command, and what it is at.
fn describe(s: &Session<'_>, what: &str) -> String {
    if s.host.command.is_empty() { what.to_owned() } else { format!("{}, {what}", s.host.command) }
}

fn acquire(s: &Session<'_>, name: String, what: &str) -> Result<Held> {
    s.require_writable_tree()?;
    let dir = s.layout.lock_dir();
    dkms_sys::fs::refuse_foreign_dir(&dir)?;
    let path = dir.join(&name);
    beneath::in_tree(s.layout, &path)?;
    dkms_sys::fs::create_dir_all(&dir)?;
    let shown = describe(s, what);
    if let Some(pid) = caller_with(s, &name) {
        // The variable may have outlived its maker, in a daemon that a script once started.
        match Lock::try_acquire(&path, Mode::Exclusive, &shown)? {
            Some(lock) => return Ok(Held { lock: Some(lock), name }),
            None if Lock::holder(&path).pid == pid => return Ok(Held { lock: None, name }),
            None => {}
        }
    }
    let timeout = s.options.framework.lock_timeout.map(Duration::from_secs);
    let lock = Lock::acquire(&path, Mode::Exclusive, &shown, timeout, &mut |holder| {
        s.tell(Event::Waiting { what: what.to_owned(), holder: holder.to_string() });
    });
    match lock {
        Ok(lock) => Ok(Held { lock: Some(lock), name }),
        Err(LockError::Busy { holder, .. }) => {
            Err(Error::Busy { what: what.to_owned(), holder: holder.to_string() })
        }
        Err(LockError::Io(e)) => Err(e.into()),
        Err(LockError::Interrupted { signal, .. }) => Err(Error::Interrupted(signal)),
    }
}
