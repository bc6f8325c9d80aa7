//! The system call filter. It allows only local sockets (and Internet sockets inside a separate network
//! namespace, so that a program gets the usual error), and denies io_uring (which can create sockets too) and
//! key management.

/// The socket families that a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// `AF_UNIX`.
    Local,
    /// Also `AF_INET`, `AF_INET6`: no address is reachable in a network namespace without interfaces.
    Internet,
    /// Also `AF_NETLINK`, which name resolution uses: the network is allowed.
    Network,
}

/// The numbers of one system call table.
struct Table {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    arch: u32,
    socket: u32,
    /// `socketcall` creates sockets of any family. Its arguments are in memory, which a filter cannot read.
    socketcall: Option<u32>,
    keys: [u32; 3],
    io_uring_setup: u32,
    /// Numbers from here on belong to another table (x32).
    above: Option<u32>,
}

/// The numbers of `socket` (which differ), `add_key`, `request_key`, `keyctl`.
const X86_64: Table = Table {
    arch: 0xC000_003E,
    socket: 41,
    socketcall: None,
    keys: [248, 249, 250],
    io_uring_setup: 425,
    above: Some(0x4000_0000),
};
const I386: Table = Table {
    arch: 0x4000_0003,
    socket: 359,
    socketcall: Some(102),
    keys: [286, 287, 288],
    io_uring_setup: 425,
    above: None,
};
const ARM: Table = Table {
    arch: 0x4000_0028,
    socket: 281,
    socketcall: Some(102),
    keys: [309, 310, 311],
    io_uring_setup: 425,
    above: None,
};
/// Tables generated from asm-generic/unistd.h have the same numbers.
const fn generic(arch: u32) -> Table {
    Table { arch, socket: 198, socketcall: None, keys: [217, 218, 219], io_uring_setup: 425, above: None }
}
const AARCH64: Table = generic(0xC000_00B7);
const RISCV64: Table = generic(0xC000_00F3);
const LOONGARCH64: Table = generic(0xC000_0102);

/// The tables that programs on this machine may use.
fn tables() -> &'static [Table] {
    if cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86") {
        &[X86_64, I386]
    } else if cfg!(target_arch = "aarch64") || cfg!(target_arch = "arm") {
        &[AARCH64, ARM]
    } else if cfg!(target_arch = "riscv64") {
        &[RISCV64]
    } else if cfg!(target_arch = "loongarch64") {
        &[LOONGARCH64]
    } else {
        &[]
    }
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// The offsets in seccomp_data of the number, the architecture, and the low half of the first argument
/// (little endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const fn deny(errno: i32) -> libc::sock_filter {
    op(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0)
}

const ALLOW: libc::sock_filter = op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);

/// The filter program. A call of an unknown table kills the process, because its numbers have another
/// meaning. Empty on architectures without a known table.
pub(super) fn filter(sockets: Sockets) -> Vec<libc::sock_filter> {
    if tables().is_empty() {
        return Vec::new();
    }
    let mut program = vec![op(LOAD, ARCHITECTURE, 0, 0)];
    for table in tables() {
        let block = block(table, sockets);
        // Skip the whole block if the architecture differs. Blocks are short enough for a jump of 8 bits.
        program.push(op(EQUAL, table.arch, 0, u8::try_from(block.len()).unwrap_or(u8::MAX)));
        program.extend(block);
    }
    program.push(op(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    program
}

/// The checks for a call of one table; every path ends with a return.
fn block(table: &Table, sockets: Sockets) -> Vec<libc::sock_filter> {
    let mut block = vec![op(LOAD, NUMBER, 0, 0)];
    if let Some(above) = table.above {
        block.extend([op(AT_LEAST, above, 0, 1), deny(libc::ENOSYS)]);
    }
    block.extend([op(EQUAL, table.io_uring_setup, 0, 1), deny(libc::ENOSYS)]);
    for key in table.keys {
        block.extend([op(EQUAL, key, 0, 1), deny(libc::EPERM)]);
    }
    if let (Some(socketcall), Sockets::Local) = (table.socketcall, sockets) {
        block.extend([op(EQUAL, socketcall, 0, 1), deny(libc::EACCES)]);
    }
    let families: &[i32] = match sockets {
        Sockets::Local => &[libc::AF_UNIX],
        Sockets::Internet => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        Sockets::Network => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    };
    block.extend([op(EQUAL, table.socket, 1, 0), ALLOW, op(LOAD, FIRST_ARGUMENT, 0, 0)]);
    for family in families {
        block.extend([op(EQUAL, *family as u32, 0, 1), ALLOW]);
    }
    block.push(deny(libc::EACCES));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes the filter for one call, as the kernel does.
    fn answer(program: &[libc::sock_filter], arch: u32, number: u32, first: u32) -> u32 {
        let (mut at, mut value) = (0usize, 0u32);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD => {
                    value = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => arch,
                        FIRST_ARGUMENT => first,
                        other => panic!("load {other}"),
                    }
                }
                EQUAL => at += usize::from(if value == step.k { step.jt } else { step.jf }),
                AT_LEAST => at += usize::from(if value >= step.k { step.jt } else { step.jf }),
                RETURN => return step.k,
                other => panic!("code {other}"),
            }
        }
    }

    #[test]
    fn calls_are_answered_in_every_table() {
        if tables().is_empty() {
            return;
        }
        let errno = |e: i32| libc::SECCOMP_RET_ERRNO | e as u32;
        let allow = libc::SECCOMP_RET_ALLOW;
        for sockets in [Sockets::Local, Sockets::Internet, Sockets::Network] {
            let program = filter(sockets);
            assert!(program.len() < 4096);
            for t in tables() {
                let call = |number, first| answer(&program, t.arch, number, first);
                assert_eq!(call(0, 0), allow);
                assert_eq!(call(t.io_uring_setup, 0), errno(libc::ENOSYS));
                for key in t.keys {
                    assert_eq!(call(key, 0), errno(libc::EPERM));
                }
                for (family, least) in [
                    (libc::AF_UNIX, Sockets::Local),
                    (libc::AF_INET, Sockets::Internet),
                    (libc::AF_INET6, Sockets::Internet),
                    (libc::AF_NETLINK, Sockets::Network),
                ] {
                    let expected = if sockets as u32 >= least as u32 { allow } else { errno(libc::EACCES) };
                    assert_eq!(call(t.socket, family as u32), expected, "{sockets:?} {family}");
                }
                for never in [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG, 0, 255] {
                    assert_eq!(call(t.socket, never as u32), errno(libc::EACCES));
                }
                if let Some(socketcall) = t.socketcall {
                    let expected = if sockets == Sockets::Local { errno(libc::EACCES) } else { allow };
                    assert_eq!(call(socketcall, 1), expected);
                }
                if let Some(above) = t.above {
                    assert_eq!(call(above + t.socket, libc::AF_INET as u32), errno(libc::ENOSYS));
                }
            }
            assert_eq!(answer(&program, 0x1234, 0, 0), libc::SECCOMP_RET_KILL_PROCESS);
        }
    }

    #[test]
    fn the_numbers_are_those_of_this_machine() {
        let Some(own) = tables().iter().find(|t| t.arch & 0x8000_0000 != 0) else { return };
        if cfg!(target_pointer_width = "64") {
            assert_eq!(i64::from(own.socket), libc::SYS_socket);
            let keys = [libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl];
            assert_eq!(own.keys.map(i64::from), keys);
            assert_eq!(i64::from(own.io_uring_setup), libc::SYS_io_uring_setup);
        }
    }
}
