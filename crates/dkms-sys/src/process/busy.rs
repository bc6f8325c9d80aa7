//! "Text file busy": a file that was just written cannot be executed while a process has it open for writing.
//! If another thread of dkms forks at the wrong moment, its child has such a descriptor until it closes it or
//! calls exec. This takes milliseconds, so starting the program is retried.

use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::Duration;

/// Retries take at most three seconds. A file that is busy for longer is in fact being written.
const ATTEMPTS: u32 = 160;

/// Starts a program. `life` is our end of its supervisor's pipe; the report of a failed attempt's supervisor
/// is discarded.
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

/// The supervisor of the failed attempt ended before the failure was known, so its report has either arrived
/// or never will.
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
