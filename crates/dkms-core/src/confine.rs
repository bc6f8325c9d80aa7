//! The confinement of untrusted code: the user that runs it, the paths that it can see and write, and the
//! restrictions that could not be enforced.
//!
//! All code of a package that runs before its modules are installed is untrusted: its dkms.conf, its patches,
//! PRE_BUILD, MAKE, POST_BUILD, and the modules that strip reads. See docs/security.md.

use crate::build::NotConfined;
use crate::event::{Event, Sink};
use dkms_conf::framework_conf::{Confinement, FrameworkConf};
use dkms_sys::lock::Lock;
use dkms_sys::sandbox::{self, Enforced, Limits, Profile};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The user IDs of builds and evaluations, unless framework.conf names others (`build_users`).
pub const DEFAULT_USERS: (u32, u32) = (64200, 64455);

/// The names of the users that a distribution's package declares for builds (packaging/sysusers/dkms.conf),
/// without their numbers.
const DECLARED: &str = "_dkms-build-";

/// The directory in which systemd locks the IDs of services with DynamicUser=, and the range of these IDs.
const DYNAMIC_USERS: (&str, std::ops::RangeInclusive<u32>) = ("/run/systemd/dynamic-uid", 61184..=65519);

/// Exists if systemd is the service manager.
const SYSTEMD: &str = "/run/systemd/system";

/// Directories that are empty for untrusted code, because they contain the users' files.
pub const HOMES: [&str; 2] = ["/home", "/root"];

/// Paths that only root may read and that no build needs. The user of a build cannot read them anyway. They
/// are hidden as well, because a build with CONFINE_WRITE runs as root.
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

/// A user ID that is reserved while this value exists: one for each running evaluation and build.
#[derive(Debug)]
pub struct BuildUser {
    id: Option<u32>,
    /// A socket without a file. While it is open, no other process on the machine can use its name.
    _claim: Option<UnixDatagram>,
    /// Keeps systemd from giving the ID to a service.
    dynamic: Option<Lock>,
}

impl BuildUser {
    /// Reserves one of the configured users, or an ID of the range, except IDs that the machine already uses.
    /// A range in framework.conf replaces both. If dkms cannot change its user, this is the user that runs
    /// dkms.
    pub fn claim(framework: &FrameworkConf) -> Self {
        let (first, last) = framework.build_users.unwrap_or(DEFAULT_USERS);
        if sandbox::lacks(sandbox::Part::User) || !sandbox::can_become(first) {
            return Self::none();
        }
        let taken = taken();
        // A user with processes under one of these IDs could interfere with programs that we run under this
        // ID.
        let busy = dkms_sys::sys::users_with_processes();
        let taken = |id| taken.iter().any(|t| t.has(id)) || busy.contains(&id);
        // The search starts at a random ID: a container's network namespace does not see the claims of the
        // machine, but its processes count towards the same limits.
        let count = u64::from(last - first) + 1;
        let start = dkms_sys::sys::random() % count;
        let ids = (0..count).filter_map(|n| u32::try_from(u64::from(first) + (start + n) % count).ok());
        let passwd = dkms_sys::fs::read_text("/etc/passwd", dkms_sys::fs::Limit::INDEX).unwrap_or_default();
        let declared = if framework.build_users.is_none() { declared(&passwd) } else { Vec::new() };
        let declared = declared.into_iter().filter(|id| !busy.contains(id));
        let free = declared.chain(ids.filter(|id| !taken(*id))).filter(|id| sandbox::is_mapped(*id));
        let mut fallback = None;
        // This limits the number of attempts, however large the range is.
        for id in free.take(1024) {
            let Some(dynamic) = lock_dynamic(id) else { continue };
            fallback.get_or_insert(id);
            let name = SocketAddr::from_abstract_name(format!("dkms-build-user-{id}"));
            if let Ok(claim) = name.and_then(|name| UnixDatagram::bind_addr(&name)) {
                return Self { id: Some(id), _claim: Some(claim), dynamic };
            }
        }
        // Another program has taken all names. Namespaces still separate the builds from each other.
        Self { id: fallback, _claim: None, dynamic: None }
    }

    /// dkms's own user.
    pub fn none() -> Self {
        Self { id: None, _claim: None, dynamic: None }
    }

    /// The user and group, unless they are dkms's own.
    pub fn ids(&self) -> Option<(u32, u32)> {
        self.id.map(|id| (id, id))
    }
}

impl Drop for BuildUser {
    fn drop(&mut self) {
        // The name is removed before the lock. systemd relies on this order: it checks that a file that it
        // locked still has a name.
        if let Some(lock) = &self.dynamic {
            let _ = dkms_sys::fs::remove_file(lock.path());
        }
    }
}

/// Locks an ID of the range from which systemd takes users for services. `None`: systemd has it. The inner
/// `None`: there is nothing to lock, or it cannot be locked.
fn lock_dynamic(id: u32) -> Option<Option<Lock>> {
    let (dir, range) = DYNAMIC_USERS;
    if !range.contains(&id) || !dkms_sys::fs::is_dir(SYSTEMD) {
        return Some(None);
    }
    // systemd creates it for its first user.
    if dkms_sys::fs::create_dir_all(dir).is_err() {
        return Some(None);
    }
    match Lock::try_acquire(Path::new(dir).join(id.to_string()), "builds a module") {
        Ok(Some(lock)) => Some(Some(lock)),
        Ok(None) => None,
        Err(_) => Some(None),
    }
}

/// The IDs of the users that are declared for builds. Their group ID equals their user ID.
fn declared(passwd: &str) -> Vec<u32> {
    let parse_line = |line: &str| {
        let mut fields = line.strip_prefix(DECLARED)?.split(':');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        fields.next().filter(|number| is_number(number))?;
        let (user, group): (u32, u32) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (user == group && user != 0).then_some(user)
    };
    let mut found: Vec<u32> = passwd.lines().filter_map(parse_line).collect();
    let all = parse_ids("/etc/passwd", passwd, false);
    found.retain(|id| all.iter().filter(|taken| taken.has(*id)).count() == 1);
    found
}

/// IDs that a file of the machine assigns to a user or group.
struct Taken {
    first: u64,
    count: u64,
    what: String,
}

impl Taken {
    fn has(&self, id: u32) -> bool {
        (self.first..self.first.saturating_add(self.count)).contains(&u64::from(id))
    }
}

/// In passwd(5) and group(5), the third field is the ID; in subuid(5) and subgid(5), the second and third are
/// a first ID and a count.
const ID_FILES: [(&str, bool); 4] =
    [("/etc/passwd", false), ("/etc/group", false), ("/etc/subuid", true), ("/etc/subgid", true)];

fn taken() -> Vec<Taken> {
    let mut all = Vec::new();
    for (file, ranges) in ID_FILES {
        let text = dkms_sys::fs::read_text(file, dkms_sys::fs::Limit::INDEX).unwrap_or_default();
        all.extend(parse_ids(file, &text, ranges));
    }
    all
}

fn parse_ids(file: &str, text: &str, ranges: bool) -> Vec<Taken> {
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(':').collect();
        let ids = if ranges {
            fields.get(1).zip(fields.get(2)).and_then(|(f, c)| Some((f.parse().ok()?, c.parse().ok()?)))
        } else {
            fields.get(2).and_then(|id| Some((id.parse().ok()?, 1)))
        };
        if let Some((first, count)) = ids {
            let name = fields.first().unwrap_or(&"");
            all.push(Taken { first, count, what: format!("{name} ({file} line {})", number + 1) });
        }
    }
    all
}

/// Describes another use of an ID in this range.
pub fn overlap((first, last): (u32, u32)) -> Option<String> {
    let (first, last) = (u64::from(first), u64::from(last));
    let both = |t: &Taken| t.count > 0 && t.first <= last && t.first.saturating_add(t.count) > first;
    taken().into_iter().find(both).map(|t| t.what)
}

/// The profile that all untrusted code has in common; the caller adds places and limits. `scratch` is an
/// empty directory that belongs to the caller.
pub fn profile(scratch: &Path, user: Option<(u32, u32)>) -> Profile {
    let mut profile = Profile::new(scratch);
    profile.user = user;
    // An unprivileged user's home directory stays visible, because their tools and sources are there.
    if dkms_sys::sys::effective_uid() == 0 {
        profile.hidden = HOMES.iter().chain(&SECRETS).map(PathBuf::from).collect();
    }
    profile
}

/// The limits of an evaluation. No real dkms.conf needs more.
pub fn evaluation_limits() -> Limits {
    Limits {
        memory: Some(1 << 30),
        address_space: Some(4 << 30),
        processes: Some(256),
        file_size: Some(16 << 20),
    }
}

/// The maximum size in bytes of the temporary files of an evaluation, and of the files that it writes next to
/// the evaluated file.
pub const EVALUATION_SPACE: u64 = 64 << 20;

static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Rejects or reports restrictions that a machine cannot enforce, depending on the configuration. Each
/// message is reported once per command.
///
/// # Errors
/// With `build_confinement=require`: the missing restrictions.
pub fn judge(
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
                sink.event(Event::Warning { text: format!("{what} is not confined fully: {missing}") });
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
        assert!(all[1].has(64201) && !all[1].has(64200) && all[1].what == "a (/etc/passwd line 3)");
        let ranges = parse_ids("/etc/subuid", "me:100000:65536\nx:64200:10\ny:1\nz:a:b\n", true);
        assert_eq!(ranges.len(), 2);
        assert!(ranges[1].has(64209) && !ranges[1].has(64210) && ranges[0].has(100000));
    }
}
