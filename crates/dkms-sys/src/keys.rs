//! The kernel's keyrings (keyctl(2)).

use std::io;

/// `KEYCTL_READ` of linux/keyctl.h.
const KEYCTL_READ: libc::c_long = 11;

/// `KEYCTL_JOIN_SESSION_KEYRING` of linux/keyctl.h.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Replaces the session keyring with a new, empty, unnamed one. Does not allocate, because it is called
/// between fork and exec.
///
/// # Errors
/// ENOSYS or EPERM in a kernel or a container without keyrings.
pub(crate) fn join_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for a new keyring; nothing is written to our memory.
    let code = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The serial numbers of the keys and keyrings in a keyring of the kernel.
///
/// `serial` is the number of the keyring, the first column of `/proc/keys`.
///
/// # Errors
/// The kernel's error: EACCES if the caller may not read it, ENOKEY if it no longer exists, ENOSYS in a
/// kernel or a container without keyrings.
pub fn read_keyring(serial: i32) -> io::Result<Vec<i32>> {
    // A keyring may grow, so retry a few times with the size that the kernel returned.
    let mut capacity = 64usize;
    for _ in 0..8 {
        let mut keys = vec![0i32; capacity];
        let bytes = capacity * size_of::<i32>();
        // SAFETY: the buffer is `bytes` long and outlives the call; the kernel writes at most that many bytes
        // of whole serial numbers.
        let count = unsafe {
            libc::syscall(libc::SYS_keyctl, KEYCTL_READ, libc::c_long::from(serial), keys.as_mut_ptr(), bytes)
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())? / size_of::<i32>();
        if count <= capacity {
            keys.truncate(count);
            return Ok(keys);
        }
        capacity = count + 16;
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

#[cfg(test)]
mod tests {
    use super::read_keyring;

    #[test]
    #[allow(clippy::print_stdout, reason = "prints why the test is skipped")]
    fn the_session_keyring_can_be_read() {
        // KEY_SPEC_SESSION_KEYRING is -3. A container's filter may forbid the call.
        match read_keyring(-3) {
            Ok(_) => assert!(read_keyring(0x7fff_fff0).is_err()),
            Err(e) => println!("skipped: keyctl failed: {e}"),
        }
    }
}
