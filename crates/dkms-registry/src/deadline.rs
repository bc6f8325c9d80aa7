//! How long a registry may take.

use std::time::{Duration, Instant};

/// To connect, with TLS.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// Until the answer begins.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(3);
/// Before a busy server is asked again, the first time...
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// ...and at most.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For a request with everything that belongs to it: redirects, tokens, and the answer...
const TOTAL: Duration = Duration::from_secs(8);
/// ...and the time that its size takes at this speed, in bytes per second.
const SLOWEST: u64 = 1_000_000;

/// The end of the time for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// For a transfer of this size, starting now.
    pub(crate) fn for_size(bytes: u64) -> Self {
        Self(Instant::now() + TOTAL + Duration::from_millis(bytes.min(1 << 40) / (SLOWEST / 1000)))
    }

    /// Whether another attempt could succeed after this pause.
    pub(crate) fn has_time_after(self, pause: Duration) -> bool {
        self.left().is_some_and(|left| left > pause.saturating_add(FIRST_BYTE / 3))
    }

    /// What is left until an answer has to begin: enough of it remains to tell that from one that does not
    /// end.
    pub(crate) fn left_to_begin(self) -> Duration {
        self.left().unwrap_or_default().saturating_sub(Duration::from_millis(100))
    }

    /// The time that is left; `None` if there is none.
    pub(crate) fn left(self) -> Option<Duration> {
        Some(self.0.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}
