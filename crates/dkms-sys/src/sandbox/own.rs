//! Confinement of this process: for a program that gives up unneeded rights before it handles untrusted
//! input. It needs no supervisor and no namespaces, so it takes a millisecond less, and does not depend on
//! the program that starts it.

use std::path::PathBuf;

use super::landlock::Rules;
use super::parts::{can_become, drop_capabilities};
use super::seccomp::{self, Sockets};
use super::{Limits, become_user, forbid_new_privileges, install, set_limit};

/// The rights that the process keeps. It also keeps the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnProfile {
    /// The user and group to become; supplementary groups are dropped.
    pub user: Option<(u32, u32)>,
    /// Files and directories that stay readable.
    pub read: Vec<PathBuf>,
    /// Directories that stay writable.
    pub write: Vec<PathBuf>,
    /// [`Limits::memory`] is not enforced: no other process watches this one.
    pub limits: Limits,
}

/// A restriction that this machine cannot enforce.
#[derive(Debug, thiserror::Error)]
pub enum NotEnforced {
    /// Access to files.
    #[error("it can read and write all files that its user can: Landlock is unavailable")]
    Files,
    /// The change of the user.
    #[error("it keeps its user: no other user is available")]
    User,
    /// Which system calls are allowed.
    #[error("it can use all system calls: system call filters are unavailable")]
    SystemCalls,
}

/// Permanently gives up all rights that are not in `profile`, including the right to execute programs (if the
/// kernel has Landlock). Must be called before the process starts threads, because existing threads keep
/// their rights. Returns the restrictions that are not enforced.
///
/// # Errors
/// Limits or the user cannot be set. The process must not continue then.
pub fn confine_own_process(profile: &OwnProfile) -> std::io::Result<Vec<NotEnforced>> {
    let mut missing = Vec::new();
    for (resource, value) in profile.limits.of_process() {
        set_limit(resource, value)?;
    }
    forbid_new_privileges()?;
    // This comes before the change of the user, because the new user may not be able to reach the
    // directories.
    match Rules::only(&profile.read, &profile.write).map_err(std::io::Error::other)? {
        Some(rules) => rules.enforce()?,
        None => missing.push(NotEnforced::Files),
    }
    match profile.user {
        Some((uid, gid)) if can_become(uid) && can_become(gid) => become_user(uid, gid)?,
        Some(_) => missing.push(NotEnforced::User),
        None => {}
    }
    drop_capabilities()?;
    let filter = seccomp::filter(Sockets::Network);
    if filter.is_empty() || install(&filter).is_err() {
        missing.push(NotEnforced::SystemCalls);
    }
    Ok(missing)
}
