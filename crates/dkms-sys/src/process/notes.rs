//! The progress of a child, written between fork and exec and read by its parent. Writing neither allocates
//! nor locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sandbox::Part;

/// The steps, in order. The child records the current one in [`Notes`], so that an error can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Start,
    Supervise,
    Namespaces,
    Mount,
    Directory,
    Limits,
    User,
    Confine,
    Execute,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Start,
        Step::Supervise,
        Step::Namespaces,
        Step::Mount,
        Step::Directory,
        Step::Limits,
        Step::User,
        Step::Confine,
        Step::Execute,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Step::Start => "creating a process",
            Step::Supervise => "creating its supervisor",
            Step::Namespaces => "creating namespaces",
            Step::Mount => "creating a private mount",
            Step::Directory => "entering its working directory",
            Step::Limits => "setting its limits",
            Step::User => "changing to an unprivileged user",
            Step::Confine => "confining it",
            Step::Execute => "executing the file",
        }
    }
}

/// A page shared with the child, in which it records its progress.
#[derive(Debug)]
pub(super) struct Notes(*mut Cells);

#[derive(Debug)]
struct Cells {
    step: AtomicU32,
    /// The [`Part`] that was denied, if the program was not started because of that.
    refused: AtomicU32,
    /// Bits of the parts that are missing.
    missing: AtomicU32,
    /// The wait status of the program as seen by process 1 of its namespace, plus one in the high half.
    ended: AtomicU64,
}

// SAFETY: the page is only reached through atomics and lives until the last owner is dropped.
unsafe impl Send for Notes {}
// SAFETY: as above.
unsafe impl Sync for Notes {}

impl Notes {
    pub(super) fn new() -> std::io::Result<Arc<Self>> {
        // SAFETY: a fresh anonymous mapping; zeroed memory is atomics of 0.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Cells>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Arc::new(Notes(page.cast())))
    }

    fn cells(&self) -> &Cells {
        // SAFETY: the mapping is page-aligned, large enough, and unmapped only in drop.
        unsafe { &*self.0 }
    }

    pub(super) fn at(&self, step: Step) {
        self.cells().step.store(step as u32, Ordering::SeqCst);
    }

    pub(super) fn step(&self) -> Step {
        let number = self.cells().step.load(Ordering::SeqCst) as usize;
        Step::ALL.get(number).copied().unwrap_or(Step::Start)
    }

    pub(super) fn refuse(&self, (part, error): (Part, std::io::Error)) -> std::io::Error {
        self.cells().refused.store(part as u32, Ordering::SeqCst);
        error
    }

    /// The part of the sandbox because of which the program was not started.
    pub(super) fn refused(&self) -> Option<Part> {
        let bits = self.cells().refused.load(Ordering::SeqCst);
        Part::ALL.into_iter().find(|part| *part as u32 == bits)
    }

    pub(super) fn add_missing(&self, bits: u32) {
        self.cells().missing.fetch_or(bits, Ordering::SeqCst);
    }

    /// Bits of the parts without which the program was started.
    pub(super) fn missing(&self) -> u32 {
        self.cells().missing.load(Ordering::SeqCst)
    }

    /// The wait status that process 1 of the namespace recorded; `None` if it was killed before.
    pub(super) fn ended(&self) -> Option<i32> {
        let cell = self.cells().ended.load(Ordering::SeqCst);
        (cell >> 32 != 0).then_some(cell as u32 as i32)
    }

    pub(super) fn note_end(&self, status: i32) {
        self.cells().ended.store(1 << 32 | u64::from(status as u32), Ordering::SeqCst);
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // SAFETY: mapped in new with this size, and this is the last owner.
        unsafe { libc::munmap(self.0.cast(), size_of::<Cells>()) };
    }
}
