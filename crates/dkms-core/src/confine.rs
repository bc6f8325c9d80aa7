//! The confinement of untrusted code: the user that runs it, and the paths and resources that it can use.
//!
//! Everything in a package that dkms uses before the modules are installed is untrusted: its dkms.conf, its
//! patches, PRE_BUILD, MAKE, POST_BUILD, and the modules that strip reads. See docs/security.md.

use crate::build::NotConfined;
use crate::event::Sink;
use dkms_conf::framework_conf::{Confinement, FrameworkConf};
use dkms_sys::lock::Lock;
use dkms_sys::sandbox::{self, Enforced, Limits, Profile};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The default range of the user IDs of builds and evaluations; `build_users` in framework.conf overrides it.
pub const DEFAULT_USERS: (u32, u32) = (64200, 64455);

/// The prefix of the names of the users that a distribution's package declares for builds
/// (packaging/sysusers/dkms.conf). It is followed by a number.
const DECLARED: &str = "_dkms-build-";

/// The directory in which systemd locks the IDs of services with DynamicUser=, and the range of these IDs.
const DYNAMIC_USERS: (&str, std::ops::RangeInclusive<u32>) = ("/run/systemd/dynamic-uid", 61184..=65519);

/// Exists if systemd is the service manager.
const SYSTEMD: &str = "/run/systemd/system";

/// Directories with the files of users. They are empty for untrusted code.
pub const HOMES: [&str; 2] = ["/home", "/root"];

/// Paths that only root may read, and that no build needs. They are hidden, because a build with
/// CONFINE_WRITE runs as root.
const SECRETS: [&str; 8] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/var/lib/shim-signed/mok/MOK.priv",
];

/// The user of one running build or evaluation. Its ID is reserved while this value exists.
#[derive(Debug)]
pub struct BuildUser {
    id: Option<u32>,
    /// An abstract socket. While it is open, no other process on the machine can use its name.
    _claim: Option<UnixDatagram>,
    /// Prevents systemd from assigning the ID to a service.
    dynamic: Option<Lock>,
}

impl BuildUser {
    /// Reserves one of the users that the distribution declares, otherwise an ID of the default range. With
    /// `build_users` in framework.conf, reserves an ID of that range. IDs that the machine already uses are
    /// not reserved. If dkms cannot change its user, returns the user that runs dkms.
    pub fn claim(framework: &FrameworkConf) -> Self {
        let (first, last) = framework.build_users.unwrap_or(DEFAULT_USERS);
        if sandbox::lacks(sandbox::Part::User) || !sandbox::can_become(first) {
            return Self::none();
        }
        let taken = taken();
        // The processes of a user could interfere with programs that run under the same ID.
        let busy = dkms_sys::sys::users_with_processes();
        let taken = |id| taken.iter().any(|t| t.contains(id)) || busy.contains(&id);
        // The search starts at a random ID. The reason: a container cannot see the reservations of the
        // machine, but their processes count towards the same limits.
        let count = u64::from(last - first) + 1;
        let start = dkms_sys::sys::random() % count;
        let ids = (0..count).filter_map(|n| u32::try_from(u64::from(first) + (start + n) % count).ok());
        let passwd = dkms_sys::fs::read_text("/etc/passwd", dkms_sys::fs::Limit::INDEX).unwrap_or_default();
        let declared = if framework.build_users.is_none() { declared(&passwd) } else { Vec::new() };
        let declared = declared.into_iter().filter(|id| !busy.contains(id));
        let free = declared.chain(ids.filter(|id| !taken(*id))).filter(|id| sandbox::is_mapped(*id));
        let mut fallback = None;
        // The range can be large, so the number of attempts is limited.
        for id in free.take(1024) {
            let Some(dynamic) = lock_dynamic(id) else { continue };
            fallback.get_or_insert(id);
            let name = SocketAddr::from_abstract_name(format!("dkms-build-user-{id}"));
            if let Ok(claim) = name.and_then(|name| UnixDatagram::bind_addr(&name)) {
                return Self { id: Some(id), _claim: Some(claim), dynamic };
            }
        }
        // Another program uses all names. Namespaces still separate the builds from each other.
        Self { id: fallback, _claim: None, dynamic: None }
    }

    /// The user that runs dkms.
    pub fn none() -> Self {
        Self { id: None, _claim: None, dynamic: None }
    }

    /// The IDs of the user and the group; `None` for the user that runs dkms.
    pub fn ids(&self) -> Option<(u32, u32)> {
        self.id.map(|id| (id, id))
    }
}

impl Drop for BuildUser {
    fn drop(&mut self) {
        // The file is removed before it is unlocked. systemd relies on this order: after locking a file, it
        // checks that the file still exists.
        if let Some(lock) = &self.dynamic {
            let _ = dkms_sys::fs::remove_file(lock.path());
        }
    }
}

/// Locks an ID of the range that systemd uses for services. Returns `None` if systemd already uses the ID,
/// and `Some(None)` if the ID does not have to be locked or cannot be locked.
fn lock_dynamic(id: u32) -> Option<Option<Lock>> {
    let (dir, range) = DYNAMIC_USERS;
    if !range.contains(&id) || !dkms_sys::fs::is_dir(SYSTEMD) {
        return Some(None);
    }
    // systemd creates the directory when it starts the first such service.
    if dkms_sys::fs::create_dir_all(dir).is_err() {
        return Some(None);
    }
    Lock::try_acquire(Path::new(dir).join(id.to_string()), "builds a module")
        .map_or(Some(None), |lock| lock.map(Some))
}

/// Returns the IDs of the users that are declared for builds, and whose group has the same ID. IDs that
/// several users have are not included.
fn declared(passwd: &str) -> Vec<u32> {
    let parse_line = |line: &str| {
        let mut fields = line.strip_prefix(DECLARED)?.split(':');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        fields.next().filter(|number| is_number(number))?;
        let (user, group): (u32, u32) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (user == group && user != 0).then_some(user)
    };
    let all = parse_ids("/etc/passwd", passwd, false);
    let is_unique = |id: &u32| all.iter().filter(|taken| taken.contains(*id)).count() == 1;
    passwd.lines().filter_map(parse_line).filter(is_unique).collect()
}

/// A range of IDs that a file of the machine assigns to a user or group.
struct Taken {
    first: u64,
    count: u64,
    /// The name of the user or group, and the line of the file.
    owner: String,
}

impl Taken {
    fn contains(&self, id: u32) -> bool {
        (self.first..self.first.saturating_add(self.count)).contains(&u64::from(id))
    }
}

/// The files that assign IDs, and whether they assign ranges. In passwd(5) and group(5), the third field is
/// an ID. In subuid(5) and subgid(5), the second field is the first ID of a range, and the third field is the
/// count.
const ID_FILES: [(&str, bool); 4] =
    [("/etc/passwd", false), ("/etc/group", false), ("/etc/subuid", true), ("/etc/subgid", true)];

/// Returns the IDs that the machine uses.
fn taken() -> Vec<Taken> {
    let ids_of = |(file, ranges): (&str, bool)| {
        let text = dkms_sys::fs::read_text(file, dkms_sys::fs::Limit::INDEX).unwrap_or_default();
        parse_ids(file, &text, ranges)
    };
    ID_FILES.into_iter().flat_map(ids_of).collect()
}

/// Parses a file that assigns IDs, or with `ranges`, ranges of IDs. Skips lines that cannot be parsed.
fn parse_ids(file: &str, text: &str, ranges: bool) -> Vec<Taken> {
    let parse_line = |(index, line): (usize, &str)| {
        let mut fields = line.split(':');
        let (name, second, third) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, count) =
            if ranges { (second.parse().ok()?, third.parse().ok()?) } else { (third.parse().ok()?, 1) };
        Some(Taken { first, count, owner: format!("{name} ({file} line {})", index + 1) })
    };
    text.lines().enumerate().filter_map(parse_line).collect()
}

/// Returns the user or group to which an ID of this range (both ends included) is assigned, with the line of
/// the file.
pub fn overlap((first, last): (u32, u32)) -> Option<String> {
    let (first, last) = (u64::from(first), u64::from(last));
    let overlaps = |t: &Taken| t.count > 0 && t.first <= last && t.first.saturating_add(t.count) > first;
    taken().into_iter().find(overlaps).map(|t| t.owner)
}

/// Returns the sandbox profile for all untrusted code. The caller adds places and limits. `scratch` is an
/// empty directory of the caller.
pub fn profile(scratch: &Path, user: Option<(u32, u32)>) -> Profile {
    let mut profile = Profile::new(scratch);
    profile.user = user;
    // An unprivileged user's home directory stays visible, because their tools and sources are there.
    if dkms_sys::sys::effective_uid() == 0 {
        profile.hidden = HOMES.iter().chain(&SECRETS).map(PathBuf::from).collect();
    }
    profile
}

/// The limits of the evaluation of a dkms.conf.
pub fn evaluation_limits() -> Limits {
    Limits {
        memory: Some(1 << 30),
        address_space: Some(4 << 30),
        processes: Some(256),
        file_size: Some(16 << 20),
    }
}

/// The maximum size of the temporary files of an evaluation, and of the files that it writes next to the
/// evaluated file, in bytes.
pub const EVALUATION_SPACE: u64 = 64 << 20;

/// The messages that this process has reported.
static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Handles restrictions that could not be enforced for `what`, such as "the build". With
/// `build_confinement=auto`, prints a warning; the same warning only once per command.
///
/// # Errors
/// [`NotConfined`] with `build_confinement=require`.
pub fn check_enforced(
    framework: &FrameworkConf,
    sink: &dyn Sink,
    what: &'static str,
    enforced: &Enforced,
) -> Result<(), NotConfined> {
    if enforced.is_complete() {
        return Ok(());
    }
    match framework.build_confinement.unwrap_or_default() {
        Confinement::Require => Err(NotConfined { what, missing: enforced.missing.clone() }),
        Confinement::Off => Ok(()),
        Confinement::Auto => {
            let missing = enforced.missing.join("; ");
            let mut reported = REPORTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !reported.contains(&missing) {
                sink.warn(format!("{what} is not confined fully: {missing}"));
                reported.push(missing);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_are_declared_for_builds() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n_dkms-build-1:x:901:901::/:/usr/sbin/nologin\n\
                      _dkms-build-2:x:902:100::/:/usr/sbin/nologin\n_dkms-build-:x:903:903::/:/bin/sh\n\
                      _dkms-build-x:x:904:904::/:/bin/sh\n_dkms-build-3:x:0:0::/:/bin/sh\n_dkms-build-4:x\n\
                      _dkms-build-5:x:905:905::/:/bin/sh\nother:x:905:905::/:/bin/sh\n_dkms-build-12:x:912:912::/:/x\n";
        assert_eq!(declared(passwd), [901, 912]);
    }

    #[test]
    fn ids_of_the_machine() {
        let all = parse_ids(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nbroken\na:x:64201:1::/:/bin/sh\n",
            false,
        );
        assert_eq!(all.len(), 2);
        assert!(
            all[1].contains(64201) && !all[1].contains(64200) && all[1].owner == "a (/etc/passwd line 3)"
        );
        let ranges = parse_ids("/etc/subuid", "me:100000:65536\nx:64200:10\ny:1\nz:a:b\n", true);
        assert_eq!(ranges.len(), 2);
        assert!(ranges[1].contains(64209) && !ranges[1].contains(64210) && ranges[0].contains(100000));
    }
}
