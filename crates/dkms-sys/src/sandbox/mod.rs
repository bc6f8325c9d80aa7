//! The sandbox of a child: a separate user, private namespaces, restricted writing, no network, no keys,
//! limits.
//!
//! Everything is prepared in the parent and enabled in the child between fork and exec. If this machine
//! cannot enforce a part, the program is started without it, [`Enforced`] lists it, and the caller decides.
//! Several parts overlap on purpose, so that a machine that lacks one still has another: writing is
//! restricted by read-only mounts, by Landlock, and by the user's permissions.

mod landlock;
mod operation;
mod own;
pub(crate) mod parts;
mod seccomp;
mod view;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::error::check;
use crate::mount::{self, unshare};
use landlock::Rules;
pub use landlock::abi as landlock_abi;
pub use own::{NotEnforced, OwnProfile, confine_own_process};
use parts::{Capability, Parts};
pub use parts::{Part, can_become, is_mapped, lacks};
use seccomp::Sockets;
pub use view::{Access, Place};
use view::{Requirements, View};

/// The permissions of a child. [`Profile::new`] is the strictest profile that this machine supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// An existing private directory that the caller removes. Mounts are prepared in it, and it is empty
    /// afterwards.
    pub scratch: PathBuf,
    /// The user and group of the child; supplementary groups are dropped. See [`can_become`].
    pub user: Option<(u32, u32)>,
    /// The paths that it may write to, and those that it must see although they are below a hidden directory
    /// or one that its user cannot enter. Everything else is read-only.
    pub places: Vec<Place>,
    /// Directories and files that are empty for the child.
    pub hidden: Vec<PathBuf>,
    /// Total size in bytes of its private `/tmp`, `/var/tmp` and `/dev/shm`, and of temporary layers.
    pub temporary: u64,
    /// Its `TMPDIR` on a machine without private mounts: a directory of its user.
    pub temporary_fallback: Option<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Its limits.
    pub limits: Limits,
}

/// Limits of a confined child. `None` means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes of the program and its descendants together. If they exceed it, they are killed
    /// ([`crate::process::ProcessError::OverLimit`]).
    pub memory: Option<u64>,
    /// Address space of each process, in bytes.
    pub address_space: Option<u64>,
    /// Number of processes, including the program. If there are more, they are killed. With a separate user,
    /// the kernel also limits their number.
    pub processes: Option<u64>,
    /// Size in bytes of a file that it writes.
    pub file_size: Option<u64>,
}

impl Profile {
    /// Everything that this machine can enforce. Only private temporary directories are writable, and there
    /// are no limits. For `scratch`, see [`Profile::scratch`].
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Profile {
            scratch: scratch.into(),
            user: None,
            places: Vec::new(),
            hidden: Vec::new(),
            temporary: 1 << 30,
            temporary_fallback: None,
            network: false,
            limits: Limits::default(),
        }
    }
}

/// The enforced parts of a [`Profile`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// It can write only where allowed: enforced by read-only mounts or Landlock.
    pub filesystem: bool,
    /// It has no network.
    pub network: bool,
    /// It has a separate user.
    pub user: bool,
    /// It has a separate process namespace: it sees no other processes, and none of its own survives.
    pub processes: bool,
    /// It has private temporary directories, and hidden paths are hidden.
    pub view: bool,
    /// It has none of the caller's keys.
    pub keys: bool,
    /// Requested restrictions that are not enforced, one sentence each, for a warning.
    pub missing: Vec<String>,
}

impl Enforced {
    /// Whether everything that was requested is enforced.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// The contents of `/proc/self/{setgroups,uid_map,gid_map}` for a new user namespace.
#[derive(Debug)]
struct UserMaps {
    users: CString,
    groups: CString,
}

/// A profile prepared for use between fork and exec.
#[derive(Debug)]
pub(crate) struct Prepared {
    tried: Parts,
    user: Option<(u32, u32)>,
    user_requested: bool,
    network: bool,
    maps: Option<UserMaps>,
    view: Option<View>,
    rules: Option<Rules>,
    seccomp: Vec<libc::sock_filter>,
    seccomp_alone: Vec<libc::sock_filter>,
    limits: Vec<(Resource, u64)>,
    /// The program's private empty directory, if there is one.
    pub(crate) home: Option<PathBuf>,
}

impl Profile {
    /// `binds` are additional (source, target) mounts of the command.
    pub(crate) fn prepare(&self, binds: &[(PathBuf, PathBuf)]) -> std::io::Result<Prepared> {
        let user = self.user.filter(|(uid, gid)| !lacks(Part::User) && can_become(*uid) && can_become(*gid));
        let tried = self.parts_to_try(user);
        let maps = tried.has(Part::UserNamespace).then(UserMaps::own).transpose()?;
        let mut places = self.places_with(binds);
        if !tried.has(Part::Mounts) {
            places.extend(self.temporary_fallback.as_ref().map(|dir| Place::new(dir, Access::Write)));
        }
        let (empty, hidden): (Vec<PathBuf>, Vec<PathBuf>) =
            self.hidden.iter().filter(|p| p.exists()).cloned().partition(|p| p.is_dir());
        let view = tried.has(Part::Mounts).then(|| {
            View::plan(&Requirements {
                scratch: &self.scratch,
                empty: &empty,
                hidden: &hidden,
                places: &places,
                size: self.temporary,
                user,
                own_user_namespace: maps.is_some(),
                own_proc: tried.has(Part::Processes),
            })
        });
        let view = view.transpose()?;
        let all_hidden: Vec<&Path> = empty.iter().chain(&hidden).map(PathBuf::as_path).collect();
        let rules = tried.has(Part::Landlock).then(|| {
            let unseen: &[&Path] = if view.is_some() { &[] } else { &all_hidden };
            let temporary = view.as_ref().map(|v| v.writable.as_slice()).unwrap_or_default();
            // In a network namespace, programs get the usual errors without this.
            let close_ports = !self.network && !tried.has(Part::Network);
            Rules::prepare(&places, temporary, unseen, close_ports)
        });
        let rules = match rules.transpose() {
            Ok(rules) => rules.flatten(),
            Err(_) => None,
        };
        let sockets = if self.network { Sockets::Network } else { Sockets::Internet };
        let alone = if self.network { Sockets::Network } else { Sockets::Local };
        let home = view.as_ref().and_then(|v| v.home.clone());
        Ok(Prepared {
            tried,
            user,
            user_requested: self.user.is_some(),
            network: self.network,
            maps,
            view,
            rules,
            seccomp: seccomp::filter(sockets),
            seccomp_alone: seccomp::filter(alone),
            limits: self.rlimits(user.is_some()),
            home,
        })
    }

    fn parts_to_try(&self, user: Option<(u32, u32)>) -> Parts {
        // With a separate user, the kernel's usual permissions are enough; a user namespace would contain
        // only one user.
        let capable = parts::is_capable(&[Capability::SysAdmin]);
        let own_namespace = !capable && user.is_none() && !lacks(Part::UserNamespace);
        let mut tried = Parts::default().with(Part::Keyring).with(Part::Seccomp);
        if user.is_some() {
            tried = tried.with(Part::User);
        }
        if own_namespace {
            tried = tried.with(Part::UserNamespace);
        }
        let optional = [Part::Mounts, Part::Processes, Part::Ipc, Part::Network, Part::Landlock];
        for part in optional.into_iter().filter(|part| !lacks(*part)) {
            let needs_capability = part != Part::Landlock;
            if (part != Part::Network || !self.network) && (capable || own_namespace || !needs_capability) {
                tried = tried.with(part);
            }
        }
        if landlock_abi() == 0 { tried.without(Part::Landlock) } else { tried }
    }

    /// The places, with the source adjusted if the command mounts something over it.
    fn places_with(&self, binds: &[(PathBuf, PathBuf)]) -> Vec<Place> {
        let mut places = self.places.clone();
        for (source, target) in binds {
            for place in &mut places {
                if let Ok(below) = place.source.strip_prefix(target) {
                    place.source =
                        if below.as_os_str().is_empty() { source.clone() } else { source.join(below) };
                }
            }
            if !places.iter().any(|p| p.target == *target) {
                places.push(Place { source: source.clone(), target: target.clone(), access: Access::Read });
            }
        }
        places
    }

    fn rlimits(&self, own_user: bool) -> Vec<(Resource, u64)> {
        // The kernel counts processes per user, so this works only for a user without other programs. The
        // kernel's limit is higher than ours, so that our own count exceeds the limit first and can report
        // it. Between two counts, the kernel's limit applies.
        let processes = self.limits.processes.filter(|_| own_user).map(|limit| limit.saturating_add(64));
        Limits { processes, ..self.limits.clone() }.of_process()
    }
}

impl Limits {
    /// The limits that the kernel enforces for one process and its children.
    fn of_process(&self) -> Vec<(Resource, u64)> {
        let all = [
            (libc::RLIMIT_AS, self.address_space),
            (libc::RLIMIT_NPROC, self.processes),
            (libc::RLIMIT_FSIZE, self.file_size),
            (libc::RLIMIT_CORE, Some(0)),
        ];
        all.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))).collect()
    }
}

impl UserMaps {
    /// Maps only our own user and group.
    fn own() -> std::io::Result<Self> {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(UserMaps {
            users: CString::new(format!("{user} {user} 1\n"))?,
            groups: CString::new(format!("{group} {group} 1\n"))?,
        })
    }
}

/// A denied part, and the system's error.
pub(crate) type Refusal = (Part, std::io::Error);

impl Prepared {
    /// Enters the namespaces that the supervisor needs before it forks the program. Only in the child.
    pub(crate) fn enter_outer_namespaces(&self) -> Result<(), Refusal> {
        if let Some(maps) = &self.maps {
            let entered = unshare(libc::CLONE_NEWUSER)
                .and_then(|()| write_file(c"/proc/self/setgroups", b"deny"))
                .and_then(|()| write_file(c"/proc/self/uid_map", maps.users.as_bytes()))
                .and_then(|()| write_file(c"/proc/self/gid_map", maps.groups.as_bytes()));
            entered.map_err(|e| (Part::UserNamespace, e))?;
        }
        if self.tried.has(Part::Processes) {
            unshare(libc::CLONE_NEWPID).map_err(|e| (Part::Processes, e))?;
        }
        Ok(())
    }

    /// The value of `TMPDIR`, given the default.
    pub(crate) fn temporary_directory(&self, profile: &Profile, set: bool) -> Option<PathBuf> {
        match &self.view {
            Some(view) => view.writable.first().filter(|_| set).cloned(),
            None => profile.temporary_fallback.clone(),
        }
    }

    /// Whether it has private mounts, including those of the command.
    pub(crate) fn has_view(&self) -> bool {
        self.view.is_some()
    }

    /// Whether the program gets a process namespace, and so a process 1.
    pub(crate) fn has_own_processes(&self) -> bool {
        self.tried.has(Part::Processes)
    }

    /// Enters the other namespaces, replaces the keyring, and mounts. Only in the child. Returns the missing
    /// parts.
    pub(crate) fn enter_inner_namespaces(&self) -> Result<u32, Refusal> {
        let mut missing = 0;
        for (part, flags) in
            [(Part::Network, libc::CLONE_NEWNET), (Part::Ipc, libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)]
        {
            if self.tried.has(part) && unshare(flags).is_err() {
                missing |= part as u32;
            }
        }
        if crate::keys::join_session_keyring().is_err() {
            missing |= Part::Keyring as u32;
        }
        if let Some(view) = &self.view {
            mount::enter_namespace().map_err(|e| (Part::Mounts, e))?;
            missing |= view.mount()?;
        }
        Ok(missing)
    }

    /// Sets limits. Only in the child.
    pub(crate) fn set_limits(&self) -> std::io::Result<()> {
        self.limits.iter().try_for_each(|(resource, value)| set_limit(*resource, *value))
    }

    /// Changes user and groups. Only in the child; uses raw system calls, because there is only one thread.
    pub(crate) fn become_user(&self) -> std::io::Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        become_user(uid, gid)
    }

    /// Drops privileges and capabilities, enables Landlock and the system call filter. The filter is stricter
    /// if the network namespace is among the `missing` parts. Only in the child, directly before exec.
    /// Returns further missing parts.
    pub(crate) fn lock_down(&self, missing: u32) -> std::io::Result<u32> {
        let mut more = 0;
        forbid_new_privileges()?;
        parts::drop_capabilities()?;
        if let Some(rules) = &self.rules {
            if rules.enforce().is_err() {
                more |= Part::Landlock as u32;
            }
        }
        let has_network_namespace =
            self.tried.has(Part::Network) && !Parts::from_bits(missing).has(Part::Network);
        let filter = if has_network_namespace { &self.seccomp } else { &self.seccomp_alone };
        if filter.is_empty() || install(filter).is_err() {
            more |= Part::Seccomp as u32;
        }
        Ok(more)
    }

    /// The enforced parts, given the parts that the child recorded as missing.
    pub(crate) fn enforced(&self, missing: u32) -> Enforced {
        let missing = Parts::from_bits(missing);
        let has = |part: Part| self.tried.has(part) && !missing.has(part);
        let landlock = self.rules.is_some() && has(Part::Landlock);
        let read_only = self.view.is_some() && !missing.has(Part::ReadOnly);
        let seccomp = has(Part::Seccomp);
        let mut enforced = Enforced {
            filesystem: landlock || read_only,
            network: !self.network && (has(Part::Network) || seccomp),
            user: has(Part::User),
            processes: has(Part::Processes),
            view: self.view.is_some(),
            keys: seccomp || has(Part::Keyring),
            missing: Vec::new(),
        };
        let absent = [
            (
                !enforced.user && self.user_requested,
                "it runs as the same user as dkms: no other user is available",
            ),
            (
                !enforced.filesystem,
                "writes outside its directories are not prevented: read-only mounts and Landlock are unavailable",
            ),
            (
                !enforced.view,
                "it sees the machine's /tmp and home directories: private mounts are unavailable",
            ),
            (!enforced.processes, "it sees the machine's processes: process namespaces are unavailable"),
            (
                !enforced.network && !self.network,
                "it can use the network: network namespaces and system call filters are unavailable",
            ),
            (
                !enforced.keys,
                "it can use the kernel's keys: session keyrings and system call filters are unavailable",
            ),
            (
                !has(Part::Ipc),
                "it shares memory segments and message queues with the machine: IPC namespaces are unavailable",
            ),
        ];
        let sentences = absent.into_iter().filter(|(absent, _)| *absent);
        enforced.missing = sentences.map(|(_, sentence)| sentence.to_owned()).collect();
        enforced
    }
}

/// The type of `libc::RLIMIT_CPU` and similar constants.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
/// The type of `libc::RLIMIT_CPU` and similar constants.
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Uses the system call whose numbers have 64 bits on every machine.
fn set_limit(resource: Resource, value: u64) -> std::io::Result<()> {
    let limit = [value; 2];
    let none = std::ptr::null::<u64>();
    // SAFETY: the kernel reads two numbers; the call changes nothing but this process's limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), none) })
}

/// Changes user and group, and drops all other groups.
fn become_user(uid: u32, gid: u32) -> std::io::Result<()> {
    // SAFETY: an empty group list needs no pointer; the other calls take plain numbers.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))
    }
}

fn forbid_new_privileges() -> std::io::Result<()> {
    // SAFETY: prctl with these arguments only sets a flag.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Writes a file of `/proc` in one call. Does not allocate.
fn write_file(path: &std::ffi::CStr, text: &[u8]) -> std::io::Result<()> {
    // SAFETY: a NUL-terminated path; the buffer is as long as stated.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        check(fd.min(0))?;
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        let error = std::io::Error::last_os_error();
        libc::close(fd);
        if usize::try_from(written) == Ok(text.len()) { Ok(()) } else { Err(error) }
    }
}

fn install(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program outlives the call, its length is that of the slice; the kernel copies it.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}
