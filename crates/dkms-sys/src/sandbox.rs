//! Confining a child: another user, no writing but where allowed, no network, limits.
//!
//! Landlock and seccomp are prepared in the parent and switched on in the child just before `exec`. What the kernel
//! cannot enforce is not silently dropped: [`Enforced`] says it, and the caller decides.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
};

/// What a child may do. The default confines nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Where it may write, with all that is below; only meaningful with `read_only_everything`.
    pub read_write: Vec<PathBuf>,
    /// Everything else is read-only (still readable and executable as the user's rights allow). The devices null,
    /// zero, full, random, urandom and tty stay usable.
    pub read_only_everything: bool,
    /// The user and group to become; supplementary groups are dropped. Needs root.
    pub user: Option<(u32, u32)>,
    /// No network but the sockets of this machine's file system.
    pub no_network: bool,
    /// Address space in bytes, per process.
    pub memory: Option<u64>,
    /// Processor time in seconds, per process.
    pub cpu_seconds: Option<u64>,
    /// Processes of the user, in all (the kernel counts per user, and does not hold root to it).
    pub processes: Option<u64>,
    /// Size of a file it writes, in bytes.
    pub file_size: Option<u64>,
}

/// What of a [`Profile`] was really enforced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// The write restriction holds (Landlock), as far as `landlock_abi` goes.
    pub filesystem: bool,
    /// The network is out of reach.
    pub network: bool,
    /// The user was changed.
    pub user: bool,
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

/// The Landlock version of the running kernel; 0 when it has none or it is switched off.
pub fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel takes a null pointer and size 0, and only answers a number.
    let answer = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    u32::try_from(answer).unwrap_or(0)
}

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// A profile made ready for use between fork and exec.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    ruleset: Option<OwnedFd>,
    seccomp: Vec<libc::sock_filter>,
    limits: Vec<(libc::__rlimit_resource_t, u64)>,
    user: Option<(u32, u32)>,
    pub(crate) no_network: bool,
    pub(crate) enforced: Enforced,
}

impl Profile {
    /// `binds` are the (source, target) mounts the child will see: what may be written at a target may be written at
    /// its source, as that is what Landlock looks at.
    pub(crate) fn prepare(&self, binds: &[(PathBuf, PathBuf)]) -> Prepared {
        let mut ready = Prepared { no_network: self.no_network, ..Prepared::default() };
        ready.enforced.landlock_abi = landlock_abi();
        self.prepare_user(&mut ready);
        if self.read_only_everything {
            match self.ruleset(binds, &mut ready.enforced.missing) {
                Ok(Some(fd)) if ready.enforced.landlock_abi > 0 => {
                    ready.ruleset = Some(fd);
                    ready.enforced.filesystem = true;
                }
                Ok(_) => ready.enforced.missing.push(
                    "writes outside the build directory are not prevented: this kernel has no Landlock"
                        .to_owned(),
                ),
                Err(e) => ready
                    .enforced
                    .missing
                    .push(format!("writes outside the build directory are not prevented: {e}")),
            }
        }
        if self.no_network {
            ready.seccomp = socket_filter();
        }
        for (resource, limit) in [
            (libc::RLIMIT_AS, self.memory),
            (libc::RLIMIT_CPU, self.cpu_seconds),
            (libc::RLIMIT_NPROC, self.processes),
            (libc::RLIMIT_FSIZE, self.file_size),
        ] {
            ready.limits.extend(limit.map(|value| (resource, value)));
        }
        ready
    }

    fn prepare_user(&self, ready: &mut Prepared) {
        match self.user {
            Some(user) if crate::sys::effective_uid() == 0 => {
                ready.user = Some(user);
                ready.enforced.user = true;
            }
            Some(_) => {
                ready.enforced.missing.push("the user is not changed: only root can do that".to_owned())
            }
            None => {}
        }
    }

    fn ruleset(
        &self,
        binds: &[(PathBuf, PathBuf)],
        missing: &mut Vec<String>,
    ) -> Result<Option<OwnedFd>, RulesetError> {
        let abi = ABI::V5;
        let all = AccessFs::from_all(abi);
        let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
        if self.no_network {
            rules = rules.handle_access(AccessNet::from_all(ABI::V4))?;
        }
        let mut rules = rules.create()?;
        rules = allow(rules, Path::new("/"), AccessFs::from_read(abi), missing)?;
        for device in DEVICES.iter().map(Path::new).filter(|d| d.exists()) {
            let access = AccessFs::from_file(abi) & !AccessFs::Execute;
            rules = allow(rules, device, access, missing)?;
        }
        for path in &self.read_write {
            rules = allow(rules, path, all, missing)?;
            for (source, target) in binds {
                if let Ok(below) = path.strip_prefix(target) {
                    // Joining an empty path would add a slash, which is no harm for a directory.
                    rules = allow(rules, &source.join(below), all, missing)?;
                }
            }
        }
        Ok(rules.into())
    }
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    missing: &mut Vec<String>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V5) };
            rules.add_rule(PathBeneath::new(fd, access))
        }
        Err(_) => {
            missing.push(format!("{} cannot be opened, so it stays read-only", path.display()));
            Ok(rules)
        }
    }
}

impl Prepared {
    pub(crate) fn has_seccomp(&self) -> bool {
        !self.seccomp.is_empty()
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

    /// No new privileges, Landlock, and (when `filter_sockets`) seccomp. Child only, last before exec.
    pub(crate) fn lock_down(&self, filter_sockets: bool) -> std::io::Result<()> {
        // SAFETY: prctl with these arguments only sets a flag.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        if let Some(fd) = &self.ruleset {
            // SAFETY: the descriptor is a Landlock ruleset that we own; flags are 0.
            let code = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0u32) };
            check(i32::try_from(code).unwrap_or(-1))?;
        }
        if filter_sockets && self.has_seccomp() {
            let program = libc::sock_fprog {
                len: u16::try_from(self.seccomp.len()).unwrap_or(0),
                filter: self.seccomp.as_ptr().cast_mut(),
            };
            // SAFETY: the program outlives the call, its length is that of the vector; the kernel copies it.
            check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) })?;
        }
        Ok(())
    }
}

fn check(code: i32) -> std::io::Result<()> {
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// `AUDIT_ARCH_*` of linux/audit.h, where sockets are only made by `socket`.
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xC000_00F3)
} else if cfg!(target_arch = "loongarch64") {
    Some(0xC000_0102)
} else {
    None
};

/// A seccomp program that answers EACCES to sockets other than AF_UNIX and ENOSYS to io_uring (which can make sockets
/// too). Programs of another architecture are ended: their calls have other numbers. Empty where we know no number.
fn socket_filter() -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Where seccomp_data has the number, the architecture and the low half of the first argument (little endian).
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;
    const X32: u32 = 0x4000_0000;
    let Some(arch) = ARCH else { return Vec::new() };
    let op = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    vec![
        op(LOAD, ARCHITECTURE, 0, 0),
        op(EQUAL, arch, 0, 8),
        op(LOAD, NUMBER, 0, 0),
        op(AT_LEAST, X32, 6, 0),
        op(EQUAL, libc::SYS_io_uring_setup as u32, 6, 0),
        op(EQUAL, libc::SYS_socket as u32, 0, 2),
        op(LOAD, FIRST_ARGUMENT, 0, 0),
        op(EQUAL, libc::AF_UNIX as u32, 0, 1),
        op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        op(RETURN, libc::SECCOMP_RET_ERRNO | libc::EACCES as u32, 0, 0),
        op(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        op(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0, 0),
    ]
}
