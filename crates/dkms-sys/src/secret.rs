//! Memory for pass phrases: not in core dumps, not copied to forked children, and overwritten at the end.

use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

/// Bytes that are overwritten when dropped.
///
/// They are in separate pages, which are excluded from core dumps (`MADV_DONTDUMP`) and empty in a forked
/// child (`MADV_WIPEONFORK`). If the system cannot provide such pages, ordinary memory is used.
pub struct SecretBytes(Storage);

enum Storage {
    Pages { start: NonNull<u8>, length: usize },
    Heap(Vec<u8>),
}

// SAFETY: nothing changes the bytes between `new` and `drop`.
unsafe impl Send for SecretBytes {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// Moves the bytes to protected memory and overwrites the original.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        let Some(start) = pages(bytes.len()) else { return Self(Storage::Heap(bytes)) };
        // SAFETY: the new pages hold at least as many bytes as the vector, and do not overlap it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len()) };
        let length = bytes.len();
        overwrite(&mut bytes);
        Self(Storage::Pages { start, length })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the pages were written up to this length and live as long as `self`.
            Storage::Pages { start, length } => unsafe {
                std::slice::from_raw_parts(start.as_ptr(), *length)
            },
            Storage::Heap(bytes) => bytes,
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        match &mut self.0 {
            Storage::Pages { start, length } => {
                // SAFETY: the pages are ours alone and are not used after this.
                unsafe {
                    overwrite(std::slice::from_raw_parts_mut(start.as_ptr(), *length));
                    libc::munmap(start.as_ptr().cast(), *length);
                }
            }
            Storage::Heap(bytes) => overwrite(bytes),
        }
    }
}

/// Allocates private pages for that many bytes; `None` for zero bytes or if this fails.
fn pages(length: usize) -> Option<NonNull<u8>> {
    if length == 0 {
        return None;
    }
    // SAFETY: a new anonymous mapping touches no memory that is in use.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    for advice in [libc::MADV_DONTDUMP, libc::MADV_WIPEONFORK] {
        // SAFETY: the mapping was just made with this length. A kernel that does not know the advice ignores
        // it.
        unsafe { libc::madvise(start, length, advice) };
    }
    NonNull::new(start.cast())
}

/// Writes zeros that the compiler must not optimise away.
fn overwrite(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a valid reference.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// Removes a variable from the environment of this process. Children do not inherit it, and
/// `/proc/PID/environ`, which shows the initial environment of a process, contains zeros in its place.
///
/// To be called at the start of a program. If other threads are running, which may be reading the
/// environment, nothing is removed and the value is only copied.
#[must_use]
pub fn take_variable(name: &str) -> Option<SecretBytes> {
    use std::os::unix::ffi::OsStringExt;
    let value = SecretBytes::new(std::env::var_os(name)?.into_vec());
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Some(value);
    }
    // SAFETY: there is one thread. `environ` is an array of pointers to NUL-terminated strings that ends with
    // a null pointer (environ(7)), in memory that may be written; only bytes before a NUL are overwritten.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let start = *entry;
            let text = std::ffi::CStr::from_ptr(start).to_bytes();
            let begin = name.len() + 1;
            if text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")) {
                let length = text.len() - begin;
                overwrite(std::slice::from_raw_parts_mut(start.add(begin).cast::<u8>(), length));
            }
            entry = entry.add(1);
        }
        std::env::remove_var(name);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_the_original_bytes() {
        for text in [&b""[..], b"1234", &[7; 10_000]] {
            assert_eq!(SecretBytes::new(text.to_vec()).bytes(), text);
        }
    }

    #[test]
    fn a_forked_child_does_not_have_it() {
        let secret = SecretBytes::new(b"1234".to_vec());
        // SAFETY: the child only reads memory and leaves by _exit.
        let status = unsafe {
            match libc::fork() {
                0 => libc::_exit(i32::from(secret.bytes() != [0; 4])),
                child => {
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &mut status, 0), child);
                    status
                }
            }
        };
        assert_eq!(status, 0, "the child sees the secret");
        assert_eq!(secret.bytes(), b"1234");
    }
}
