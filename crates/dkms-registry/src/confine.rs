//! Confines this process before it handles the first request.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_sys::IoError;
use dkms_sys::fs::{self, Limit};
use dkms_sys::sandbox::{Limits, NotEnforced, OwnProfile, confine_own_process};

/// The user that the package creates.
const USER: &str = "_dkms-registry";
/// User and group ids (`nobody`) for a machine without that user. Other processes of `nobody` cannot trace
/// this one, because it has changed its user.
const FALLBACK: (u32, u32) = (65534, 65534);

/// The files that name resolution reads. `/etc/resolv.conf` often is a link into one of these directories.
const READABLE: [&str; 16] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/nscd",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

const LIMITS: Limits = Limits {
    memory: None,
    // malloc reserves 64 MiB of addresses for each thread.
    address_space: Some(2 << 30),
    processes: None,
    file_size: Some(4 << 30),
};

/// The reason why this process cannot be confined to a spool directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfinementError {
    #[error(transparent)]
    File(#[from] IoError),
    #[error("{}: the spool is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{}: the spool is not private (mode 700 is needed)", .0.display())]
    NotPrivate(PathBuf),
    #[error("{}: the spool already contains another file: {}", .spool.display(), .name.to_string_lossy())]
    Occupied { spool: PathBuf, name: OsString },
    #[error("{}: {source}", .spool.display())]
    Enter { spool: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Process(#[from] std::io::Error),
}

/// Makes the spool directory the current directory, and checks that no other user can access it.
///
/// # Errors
/// It is not a private directory, or contains other files than those of dkms.
pub(crate) fn enter(spool: &Path) -> Result<(), ConfinementError> {
    let meta = fs::symlink_metadata(spool)?;
    if !meta.is_dir() {
        return Err(ConfinementError::NotADirectory(spool.to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(ConfinementError::NotPrivate(spool.to_owned()));
    }
    // It will belong to another user, which must not happen to a directory with other files, such as root's
    // home.
    let is_ours = |name: &OsString| name == "auth.json" || name.as_encoded_bytes().starts_with(b"push-");
    if let Some(name) = fs::list_dir(spool)?.into_iter().find(|name| !is_ours(name)) {
        return Err(ConfinementError::Occupied { spool: spool.to_owned(), name });
    }
    std::env::set_current_dir(spool)
        .map_err(|source| ConfinementError::Enter { spool: spool.to_owned(), source })
}

/// Gives up access to everything except the network and the current directory. Returns the restrictions that
/// this machine cannot enforce.
///
/// # Errors
/// The user cannot be changed, or the spool cannot be given to it.
pub(crate) fn confine() -> Result<Vec<NotEnforced>, ConfinementError> {
    let user = (dkms_sys::sys::effective_uid() == 0).then(user);
    let (mut limits, mut read) = (LIMITS, Vec::new());
    if let Some((uid, gid)) = user {
        if dkms_sys::sandbox::can_become(uid) {
            fs::set_owner(".", uid, gid)?;
            // The limit counts all processes of the user, and only the package's own user has no others.
            limits.processes = (uid != FALLBACK.0).then_some(64);
        }
    }
    read.extend(READABLE.iter().map(PathBuf::from));
    // Libraries that support old kernels open this file to get random numbers.
    read.push("/dev/urandom".into());
    Ok(confine_own_process(&OwnProfile { user, read, write: vec![".".into()], limits })?)
}

fn user() -> (u32, u32) {
    let passwd = fs::read_text("/etc/passwd", Limit::CONFIG).unwrap_or_default();
    find_user(&passwd).unwrap_or(FALLBACK)
}

fn find_user(passwd: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let ids = (uid.parse().ok()?, gid.parse().ok()?);
        (name == USER && ids.0 != 0).then_some(ids)
    })
}

/// Returns whether standard input is a terminal, so that a person types the requests.
pub(crate) fn is_interactive() -> bool {
    dkms_sys::sys::is_terminal(std::io::stdin().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n_dkms-registry:x:812:813:x:/:/usr/sbin/nologin\n";
        assert_eq!(find_user(passwd), Some((812, 813)));
        assert_eq!(find_user("root:x:0:0\n"), None);
        assert_eq!(find_user("_dkms-registry:x:0:0\n"), None);
        assert_eq!(find_user("_dkms-registry\n"), None);
    }
}
