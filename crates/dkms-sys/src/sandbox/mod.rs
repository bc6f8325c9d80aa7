//! Confining a child: a user of its own, private namespaces, no writing but where allowed, no network, no keys, limits.
//!
//! Everything is prepared in the parent and switched on in the child between fork and exec. What this machine cannot
//! enforce is not silently dropped: the program is started without it, [`Enforced`] names it, and the caller decides.
//! Several parts overlap on purpose, so that a machine that lacks one of them still has the other: what may be written is
//! limited by read-only mounts, by Landlock, and by the rights of the user.

mod landlock;
pub(crate) mod parts;
mod seccomp;
mod view;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::mount;
use landlock::Rules;
pub use landlock::abi as landlock_abi;
use parts::{Capability, Parts};
pub use parts::{Part, can_become, is_mapped, lacks};
use seccomp::Sockets;
pub use view::{Access, Place};
use view::{View, Wanted};

/// What a child may do. [`Profile::new`] confines as far as this machine can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// A private directory that exists and is the caller's to remove; mounts are prepared in it, nothing stays in it.
    pub scratch: PathBuf,
    /// The user and group to become; supplementary groups are dropped. See [`can_become`].
    pub user: Option<(u32, u32)>,
    /// What it may write, and what it has to see although it lies below a hidden directory or behind one that its user
    /// cannot enter. All else is read-only.
    pub places: Vec<Place>,
    /// Directories and files that it finds empty.
    pub hidden: Vec<PathBuf>,
    /// Bytes for its private `/tmp`, `/var/tmp` and `/dev/shm` together, and for throw-away layers.
    pub temporary: u64,
    /// Where its `TMPDIR` is on a machine without private mounts: a directory of its user's.
    pub temporary_fallback: Option<PathBuf>,
    /// The network is within reach.
    pub network: bool,
    /// Its limits.
    pub limits: Limits,
}

/// Limits of a confined child. `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the program and all that it starts together, in bytes. It is ended when it needs more
    /// ([`crate::process::ProcessError::OverLimit`]).
    pub memory: Option<u64>,
    /// Address space of each process, in bytes.
    pub address_space: Option<u64>,
    /// Processes at a time, the program and all that it starts. It is ended when there are more; with a user of its own
    /// the kernel refuses many more.
    pub processes: Option<u64>,
    /// Size of a file it writes, in bytes.
    pub file_size: Option<u64>,
}

impl Profile {
    /// Everything that this machine can enforce, with nothing but private temporary directories to write in, and no
    /// limits. `scratch`: see there.
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

/// What of a [`Profile`] was really enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// It may write only where it was allowed: by read-only mounts or Landlock.
    pub filesystem: bool,
    /// The network is out of reach.
    pub network: bool,
    /// It has a user of its own.
    pub user: bool,
    /// It has a process namespace of its own: it neither sees nor outlives anything.
    pub processes: bool,
    /// It has private temporary directories, and what is to be hidden is hidden.
    pub view: bool,
    /// It possesses none of the caller's keys.
    pub keys: bool,
    /// The Landlock version of this kernel; 0 when there is none.
    pub landlock_abi: u32,
    /// What was asked but is not enforced, one sentence each, for a warning.
    pub missing: Vec<String>,
}

impl Enforced {
    /// Everything that was asked holds.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// The lines for `/proc/self/{setgroups,uid_map,gid_map}` of a user namespace of its own.
#[derive(Debug)]
struct UserMaps {
    users: CString,
    groups: CString,
}

/// A profile made ready for use between fork and exec.
#[derive(Debug)]
pub(crate) struct Prepared {
    tried: Parts,
    user: Option<(u32, u32)>,
    user_asked: bool,
    network: bool,
    maps: Option<UserMaps>,
    view: Option<View>,
    rules: Option<Rules>,
    seccomp: Vec<libc::sock_filter>,
    seccomp_alone: Vec<libc::sock_filter>,
    limits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// The program's private empty directory, where there is one.
    pub(crate) home: Option<PathBuf>,
}

impl Profile {
    /// `binds` are the (source, target) mounts that the command asks for besides.
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
            View::plan(&Wanted {
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
            // In a network namespace programs get their usual errors.
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
            user_asked: self.user.is_some(),
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
        // With a user of its own the kernel's usual rights hold already; a user namespace would know only one user.
        let capable = parts::is_capable(&[Capability::SysAdmin]);
        let own_namespace = !capable && user.is_none() && !lacks(Part::UserNamespace);
        let mut tried = Parts::default().with(Part::Keyring).with(Part::Seccomp);
        if user.is_some() {
            tried = tried.with(Part::User);
        }
        if own_namespace {
            tried = tried.with(Part::UserNamespace);
        }
        let wanted = [Part::Mounts, Part::Processes, Part::Ipc, Part::Network, Part::Landlock];
        for part in wanted.into_iter().filter(|p| !lacks(*p)) {
            let needs_capability = part != Part::Landlock;
            if (part != Part::Network || !self.network) && (capable || own_namespace || !needs_capability) {
                tried = tried.with(part);
            }
        }
        if landlock_abi() == 0 { tried.without(Part::Landlock) } else { tried }
    }

    /// The places, each from where it really is when the command binds something there.
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

    fn rlimits(&self, own_user: bool) -> Vec<(libc::__rlimit_resource_t, u64)> {
        // The kernel counts processes per user; of a user who is not the program's alone others would be counted too.
        // Above the limit itself, so that counting finds it exceeded and can say so, rather than that forks fail; but
        // nothing grows further between two counts.
        let processes = self.limits.processes.filter(|_| own_user).map(|limit| limit.saturating_add(64));
        let all = [
            (libc::RLIMIT_AS, self.limits.address_space),
            (libc::RLIMIT_NPROC, processes),
            (libc::RLIMIT_FSIZE, self.limits.file_size),
            (libc::RLIMIT_CORE, Some(0)),
        ];
        all.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))).collect()
    }
}

impl UserMaps {
    /// The user and group that we are, and no others.
    fn own() -> std::io::Result<Self> {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(UserMaps {
            users: CString::new(format!("{user} {user} 1\n"))?,
            groups: CString::new(format!("{group} {group} 1\n"))?,
        })
    }
}

/// A part that is refused, and the system's answer.
pub(crate) type Refusal = (Part, std::io::Error);

impl Prepared {
    /// The namespaces that have to be entered before the supervisor forks the program. Child only.
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

    /// What `TMPDIR` has to be, given what it would be.
    pub(crate) fn temporary_directory(&self, profile: &Profile, set: bool) -> Option<PathBuf> {
        match &self.view {
            Some(view) => view.writable.first().filter(|_| set).cloned(),
            None => profile.temporary_fallback.clone(),
        }
    }

    /// Whether it has mounts of its own, among them those that the command asks for.
    pub(crate) fn has_view(&self) -> bool {
        self.view.is_some()
    }

    /// Whether the program gets a process namespace, and so a process 1.
    pub(crate) fn has_own_processes(&self) -> bool {
        self.tried.has(Part::Processes)
    }

    /// The other namespaces, the keyring, and the mounts. Child only. Returns the parts that could not be had.
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

    /// Limits. Child only.
    pub(crate) fn set_limits(&self) -> std::io::Result<()> {
        for (resource, value) in &self.limits {
            let limit = libc::rlimit { rlim_cur: *value, rlim_max: *value };
            // SAFETY: the structure is complete; the call changes nothing but this process's limit.
            check(unsafe { libc::setrlimit(*resource, &limit) })?;
        }
        Ok(())
    }

    /// User and groups. Child only; by raw system calls, as there is one thread.
    pub(crate) fn become_user(&self) -> std::io::Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        // SAFETY: an empty group list needs no pointer; the other calls take plain numbers.
        unsafe {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(gid, gid, gid))?;
            check(libc::setresuid(uid, uid, uid))
        }
    }

    /// No new privileges, no capabilities, Landlock, and the filter of system calls, which is stricter when the network
    /// namespace is among the `missing` parts. Child only, last before exec. Returns what else is missing.
    pub(crate) fn lock_down(&self, missing: u32) -> std::io::Result<u32> {
        let mut more = 0;
        // SAFETY: prctl with these arguments only sets a flag.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
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

    /// What holds, given the parts that the child noted as missing.
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
            landlock_abi: landlock_abi(),
            missing: Vec::new(),
        };
        let absent = [
            (
                !enforced.user && self.user_asked,
                "it runs as the same user as dkms: no other user can be had here",
            ),
            (
                !enforced.filesystem,
                "writes outside its directories are not prevented: there are neither read-only mounts nor Landlock",
            ),
            (
                !enforced.view,
                "it sees the machine's /tmp and home directories: there are no private mounts here",
            ),
            (!enforced.processes, "it sees the machine's processes: there is no process namespace here"),
            (
                !enforced.network && !self.network,
                "the network is within reach: there is neither a network namespace nor a filter of system calls",
            ),
            (
                !enforced.keys,
                "the kernel's keys are within reach: there is neither a session keyring nor a filter of system calls",
            ),
            (
                !has(Part::Ipc),
                "it shares memory segments and message queues with the machine: there is no IPC namespace here",
            ),
        ];
        let sentences = absent.into_iter().filter(|(absent, _)| *absent);
        enforced.missing = sentences.map(|(_, sentence)| sentence.to_owned()).collect();
        enforced
    }
}

fn unshare(flags: libc::c_int) -> std::io::Result<()> {
    // SAFETY: only takes flags; failing changes nothing.
    check(unsafe { libc::unshare(flags) })
}

/// Writes a file of `/proc` in one call. Allocates nothing.
fn write_file(path: &std::ffi::CStr, text: &[u8]) -> std::io::Result<()> {
    // SAFETY: a NUL-terminated path; the buffer is as long as said.
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

fn check(code: i32) -> std::io::Result<()> {
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
