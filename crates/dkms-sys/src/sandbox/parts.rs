//! The parts of the sandbox, and the parts that this machine lacks.
//!
//! Parts are not tested in advance. Each part is tried with the first confined program. If the kernel or the
//! container denies it, this is recorded for the rest of this process, the program is started again without
//! the part, and [`super::Enforced`] lists it.

use crate::error::check;
use std::sync::atomic::{AtomicU32, Ordering};

/// A part of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// A separate user.
    User = 1,
    /// A user namespace, which allows an unprivileged user to create the other namespaces.
    UserNamespace = 1 << 1,
    /// A mount namespace: private temporary directories, hidden home directories and keys.
    Mounts = 1 << 2,
    /// All mounts except its own directories are read-only.
    ReadOnly = 1 << 3,
    /// A process namespace. When its process 1 ends, all its processes end.
    Processes = 1 << 4,
    /// A network namespace without an interface.
    Network = 1 << 5,
    /// A namespace for shared memory, semaphores and message queues, and one for the host name.
    Ipc = 1 << 6,
    /// A separate session keyring.
    Keyring = 1 << 7,
    /// Landlock.
    Landlock = 1 << 8,
    /// A system call filter.
    Seccomp = 1 << 9,
    /// A temporary layer (overlayfs) over a directory.
    Layer = 1 << 10,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 11] = [
        Part::User,
        Part::UserNamespace,
        Part::Mounts,
        Part::ReadOnly,
        Part::Processes,
        Part::Network,
        Part::Ipc,
        Part::Keyring,
        Part::Landlock,
        Part::Seccomp,
        Part::Layer,
    ];
}

static LACKING: AtomicU32 = AtomicU32::new(0);

/// Whether this machine is known to lack a part.
pub fn lacks(part: Part) -> bool {
    LACKING.load(Ordering::Relaxed) & part as u32 != 0
}

/// Records that this machine lacks a part.
pub(crate) fn note_lacking(part: Part) {
    LACKING.fetch_or(part as u32, Ordering::Relaxed);
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts(u32);

impl Parts {
    pub(crate) fn from_bits(bits: u32) -> Self {
        Parts(bits)
    }

    pub(crate) fn with(self, part: Part) -> Self {
        Parts(self.0 | part as u32)
    }

    pub(crate) fn without(self, part: Part) -> Self {
        Parts(self.0 & !(part as u32))
    }

    pub(crate) fn has(self, part: Part) -> bool {
        self.0 & part as u32 != 0
    }
}

/// The capabilities(7) that we need, by number.
#[derive(Clone, Copy)]
pub(crate) enum Capability {
    Chown = 0,
    SetGid = 6,
    SetUid = 7,
    SysAdmin = 21,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether this process has all of these capabilities (in its user namespace).
pub(crate) fn is_capable(capabilities: &[Capability]) -> bool {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: both structures are as linux/capability.h has them for this version, and outlive the call.
    let code = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    code == 0 && capabilities.iter().all(|number| data[0].effective & (1 << *number as u32) != 0)
}

/// Drops all capabilities. Only with no_new_privs set: then exec does not restore them, not even for user 0
/// of a user namespace.
pub(crate) fn drop_capabilities() -> std::io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let data = [Data::default(); 2];
    // SAFETY: as above; the kernel only reads `data`.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
}

/// Whether the user and group `id` exist in this process's user namespace, so that a process can use them.
/// `true` if `/proc` does not show it.
pub fn is_mapped(id: u32) -> bool {
    ["/proc/self/uid_map", "/proc/self/gid_map"]
        .iter()
        .all(|map| std::fs::read_to_string(map).map_or(true, |text| contains(&text, id)))
}

/// `FIRST-INSIDE FIRST-OUTSIDE COUNT` in each line, user_namespaces(7).
fn contains(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        (first..first.saturating_add(count)).contains(&u64::from(id))
    })
}

/// Whether this process can switch to another user and give files to it: it has the capabilities, and the
/// user exists in its user namespace.
pub fn can_become(id: u32) -> bool {
    is_capable(&[Capability::SetUid, Capability::SetGid, Capability::Chown]) && is_mapped(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_user_namespaces() {
        let all = "         0          0 4294967295\n";
        let one = "         0      12345          1\n";
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        for (map, id, expected) in [
            (all, 64200, true),
            (one, 0, true),
            (one, 64200, false),
            (rootless, 64200, true),
            (rootless, 65537, false),
            ("", 0, false),
            ("a b c\n0 0\n", 0, false),
        ] {
            assert_eq!(contains(map, id), expected, "{map} {id}");
        }
    }

    #[test]
    fn each_part_has_a_bit_of_its_own() {
        let all = Part::ALL.iter().fold(Parts::default(), |set, part| set.with(*part));
        assert_eq!(all.0.count_ones() as usize, Part::ALL.len());
        assert!(!Parts::default().with(Part::User).has(Part::Mounts));
    }
}
