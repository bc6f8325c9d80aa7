//! Locks between commands: one for each package version that is built, one for each kernel whose modules
//! change, one for the signing key. They are flock(2) locks on files below `.lock` in the tree, so the kernel
//! releases them when their holder dies.
//!
//! **Order.** Build locks come before the signing key's lock, and both come before the locks of kernels: a
//! command that holds a kernel's lock never waits for a build lock. Several locks of one kind are taken in
//! sorted order. `K/A` of a build is only put in place, replaced or deleted under its kernel's lock.
//!
//! A dkms that is called by a package's script inherits the locks of its caller by name, and does not wait
//! for them.

use crate::beneath;
use crate::error::{Error, Result};
use crate::ids::{Kernel, PackageId};
use crate::layout::Layout;
use dkms_sys::lock::{Lock, LockError};
use dkms_sys::{signal, sys};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time limit for the children of a killed dkms to exit. They need less, even on a busy machine.
const CHILDREN_END: Duration = Duration::from_secs(10);

/// The variable that lists, for child processes, the locks that their caller holds: `NAME=PID` entries,
/// separated by blanks.
pub const HELD: &str = "DKMS_LOCKS_HELD";

/// A lock that this command holds or has inherited.
#[derive(Debug)]
pub struct Held {
    /// `None` when a calling process holds it.
    lock: Option<Lock>,
    name: String,
}

impl Held {
    /// Returns whether a calling process holds it.
    pub fn is_inherited(&self) -> bool {
        self.lock.is_none()
    }
}

/// Reports a wait: the purpose of the lock, and its holder.
pub type OnWait<'a> = Box<dyn Fn(&str, &str) + 'a>;

/// Takes the locks of a command.
pub struct Locks<'a> {
    /// The paths, which include the directory of locks.
    pub layout: &'a Layout,
    /// The value of [`HELD`] that this process was started with.
    pub inherited: String,
    /// The command line, shown to the commands that wait.
    pub command: &'a str,
    /// The maximum time to wait; `None` means no limit.
    pub timeout: Option<Duration>,
    /// Called before a wait, with the purpose of the lock and its holder.
    pub on_wait: OnWait<'a>,
}

impl Locks<'_> {
    /// Waits until no other command builds or removes this package version.
    ///
    /// # Errors
    /// [`Error::Busy`] after the timeout, [`Error::LeavesTree`], or when the lock file cannot be created.
    pub fn build(&self, package: &PackageId) -> Result<Held> {
        let layout = self.layout;
        beneath::check_package(layout, package)?;
        // The command that holds this lock writes into these directories.
        dkms_sys::fs::refuse_foreign_dir(layout.package_dir(&package.name))?;
        dkms_sys::fs::refuse_foreign_dir(layout.version_dir(package))?;
        self.acquire(&build_name(package), &format!("building {package}"))
    }

    /// Waits until no other command changes the modules of these kernels. The locks are taken in sorted
    /// order.
    ///
    /// # Errors
    /// As for [`Locks::build`].
    pub fn install(&self, kernels: &[Kernel]) -> Result<Vec<Held>> {
        let mut sorted: Vec<&Kernel> = kernels.iter().collect();
        sorted.sort();
        sorted.dedup();
        let acquire = |kernel: &&Kernel| {
            self.acquire(&install_name(kernel), &format!("changing the modules of kernel {kernel}"))
        };
        sorted.iter().map(acquire).collect()
    }

    /// Waits until no other command creates the signing key.
    ///
    /// # Errors
    /// As for [`Locks::build`].
    pub fn signing_key(&self) -> Result<Held> {
        self.acquire("signing-key", "creating the signing key")
    }

    /// Takes the locks of these kernels if all of them are free. `None` if another process, perhaps the
    /// caller of this dkms, holds one.
    ///
    /// # Errors
    /// A lock file cannot be used.
    pub fn try_install(&self, kernels: &[Kernel]) -> Result<Option<Vec<Lock>>> {
        let mut held = Vec::new();
        for kernel in kernels {
            match self.try_acquire(&install_name(kernel), "looking for interrupted changes")? {
                Some(lock) => held.push(lock),
                None => return Ok(None),
            }
        }
        Ok(Some(held))
    }

    /// Takes the lock of a package version if it is free. `None` if another process, perhaps the caller of
    /// this dkms, holds it.
    ///
    /// # Errors
    /// The lock file cannot be used.
    pub fn try_build(&self, package: &PackageId) -> Result<Option<Lock>> {
        self.try_acquire(&build_name(package), "looking for interrupted builds")
    }

    /// Waits for the lock with this name. `purpose` is shown to the commands that wait for it.
    ///
    /// # Errors
    /// As for [`Locks::build`].
    pub fn acquire(&self, name: &str, purpose: &str) -> Result<Held> {
        self.layout.require_writable()?;
        let dir = self.layout.lock_dir();
        dkms_sys::fs::refuse_foreign_dir(&dir)?;
        let path = dir.join(name);
        beneath::in_tree(self.layout, &path)?;
        dkms_sys::fs::create_dir_all(&dir)?;
        let (name, shown) = (name.to_owned(), self.describe(purpose));
        if let Some(pid) = self.caller_with(&name) {
            // The variable may be stale: the process that set it may have ended, for example in a daemon that
            // a script started long ago.
            match Lock::try_acquire(&path, &shown)? {
                Some(lock) => return Ok(Held { lock: Some(lock), name }),
                None if Lock::holder(&path).pid == pid => return Ok(Held { lock: None, name }),
                None => {}
            }
        }
        let acquired = Lock::acquire(&path, &shown, self.timeout, &mut |holder| {
            (self.on_wait)(purpose, &holder.to_string());
        });
        match acquired {
            Ok(lock) => Ok(Held { lock: Some(lock), name }),
            Err(LockError::Busy { holder, .. }) => {
                Err(Error::Busy { what: purpose.to_owned(), holder: holder.to_string() })
            }
            Err(LockError::Io(e)) => Err(e.into()),
            Err(LockError::Interrupted { signal, .. }) => Err(Error::Interrupted(signal)),
        }
    }

    /// The name and value of the variable for child processes: the inherited locks and these.
    pub fn variable<'h>(&self, held: impl IntoIterator<Item = &'h Held>) -> (String, String) {
        let mut value = self.inherited.clone();
        for lock in held.into_iter().filter(|lock| !lock.is_inherited()) {
            value.push_str(&format!(" {}={}", lock.name, dkms_sys::sys::own_pid()));
        }
        (HELD.into(), value.trim().to_owned())
    }

    /// Takes a lock if it is free. If only the children of a killed dkms still hold it, waits until they have
    /// exited.
    fn try_acquire(&self, name: &str, purpose: &str) -> Result<Option<Lock>> {
        let dir = self.layout.lock_dir();
        dkms_sys::fs::create_dir_all(&dir)?;
        let (path, purpose) = (dir.join(name), self.describe(purpose));
        let start = Instant::now();
        loop {
            let lock = Lock::try_acquire(&path, &purpose)?;
            if lock.is_some()
                || !is_left_by_a_dead_process(&path)
                || start.elapsed() >= CHILDREN_END
                || signal::interrupted().is_some()
            {
                return Ok(lock);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The calling process that claims to hold this lock.
    fn caller_with(&self, name: &str) -> Option<u32> {
        self.inherited.split_whitespace().find_map(|word| {
            let (held, pid) = word.rsplit_once('=')?;
            (held == name).then(|| pid.parse().ok())?
        })
    }

    /// The text shown to the commands that wait.
    fn describe(&self, purpose: &str) -> String {
        if self.command.is_empty() { purpose.to_owned() } else { format!("{}, {purpose}", self.command) }
    }
}

/// Returns whether the process that took this lock has exited, while its children still hold the lock.
fn is_left_by_a_dead_process(path: &Path) -> bool {
    let pid = Lock::holder(path).pid;
    pid != 0 && !sys::process_runs(pid)
}

/// The name of the lock file of [`Locks::build`].
pub fn build_name(package: &PackageId) -> String {
    format!("build-{}-{}", package.name, package.version)
}

/// The name of a kernel's lock file.
pub fn install_name(kernel: &Kernel) -> String {
    format!("install-{}-{}", kernel.release, kernel.arch)
}

/// Returns whether a process, perhaps the caller of this dkms, holds a lock now. Changes nothing. A lock
/// whose file cannot be examined counts as free.
pub fn is_held(layout: &Layout, name: &str) -> bool {
    Lock::is_taken(layout.lock_dir().join(name)).unwrap_or(false)
}

/// The kernels whose modules were ever changed: those with a lock file.
pub fn kernels(layout: &Layout) -> Vec<Kernel> {
    let Ok(names) = dkms_sys::fs::list_dir_optional(layout.lock_dir()) else { return Vec::new() };
    names
        .iter()
        .filter_map(|n| n.to_str()?.strip_prefix("install-")?.rsplit_once('-'))
        .filter_map(|(release, arch)| Kernel::new(release, arch).ok())
        .collect()
}
