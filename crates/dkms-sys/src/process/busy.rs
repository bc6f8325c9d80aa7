//! "Text file busy": a file that was just written cannot be executed while any process has it open for writing. A thread of
//! dkms that forks at the wrong moment gives its child such a descriptor, until the child closes it or executes something
//! itself: a matter of milliseconds, so it is worth trying again.

use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::Duration;

/// Trying takes three seconds at most; a file that is busy for longer is being written by somebody.
const ATTEMPTS: u32 = 160;

/// Starts a program. `life` is our end of its supervisor's pipe: what the supervisor of a vain attempt reported is dropped.
pub(super) fn spawn(command: &mut Command, life: &OwnedFd) -> std::io::Result<Child> {
    for attempt in 1..ATTEMPTS {
        match command.spawn() {
            Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) => {}
            other => return other,
        }
        drop_report(life);
        std::thread::sleep(Duration::from_millis(u64::from(attempt.min(20))));
    }
    command.spawn()
}

/// The supervisor of a vain attempt has ended before the attempt is known to be vain, so its report is there or never comes.
fn drop_report(life: &OwnedFd) {
    let mut bytes = [0u8; super::supervisor::REPORT_BYTES];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut ready = [PollFd::new(life, PollFlags::IN)];
    while rustix::event::poll(&mut ready, Some(&now)).is_ok_and(|n| n > 0) {
        if !rustix::io::read(life, &mut bytes).is_ok_and(|n| n > 0) {
            return;
        }
        ready = [PollFd::new(life, PollFlags::IN)];
    }
}
