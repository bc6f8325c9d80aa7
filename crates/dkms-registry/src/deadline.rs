//! Time limits for registries.

use std::time::{Duration, Instant};

/// To resolve the name of a server, and to connect, including TLS.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// From the end of a request to the first byte of its answer.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(3);
/// The maximum pause before the first retry of a request to a busy server. It doubles with each retry...
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// ...up to this.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For a request with its redirects, tokens and retries, and for the answer except its body...
const TOTAL: Duration = Duration::from_secs(8);
/// ...plus the time that the transfer of the body takes at this speed, in bytes per second.
const SLOWEST: u64 = 1_000_000;

/// The time at which a request must be finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a transfer of this size that starts now.
    pub(crate) fn for_size(bytes: u64) -> Self {
        Self(Instant::now() + TOTAL + Duration::from_millis(bytes.min(1 << 40) / (SLOWEST / 1000)))
    }

    /// Returns whether there is enough time for another attempt after this pause.
    pub(crate) fn has_time_after(self, pause: Duration) -> bool {
        self.left().is_some_and(|left| left > pause.saturating_add(FIRST_BYTE / 3))
    }

    /// The time until an answer must begin. It ends shortly before the deadline, so that an answer that does
    /// not begin and an answer that does not end cause different errors.
    pub(crate) fn left_to_begin(self) -> Duration {
        self.left().unwrap_or_default().saturating_sub(Duration::from_millis(100))
    }

    /// The time that is left; `None` if there is none.
    pub(crate) fn left(self) -> Option<Duration> {
        Some(self.0.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}
