//! The connection to `dkms-registry` that all threads of a command share.

use super::connection::Connection;
use super::error::Failure;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Starts the program when a build is missing locally for the first time.
#[derive(Default)]
pub(crate) struct SharedConnection {
    connection: OnceLock<Result<Connection, Failure>>,
    warned: AtomicBool,
}

impl SharedConnection {
    /// Returns the connection, and creates it with `start` on the first call. Other threads wait for that. If
    /// it fails, this command does not try again.
    ///
    /// # Errors
    /// The program could not be started.
    pub(super) fn get(
        &self,
        start: impl FnOnce() -> Result<Connection, Failure>,
    ) -> Result<&Connection, Failure> {
        self.connection.get_or_init(start).as_ref().map_err(Clone::clone)
    }

    /// Returns whether this is the first warning of the command about registries.
    pub(super) fn is_first_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedConnection")
    }
}
