//! The place of a command's one conversation with `dkms-registry`.

use super::connection::Connection;
use super::error::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Starts the program when something is missing locally for the first time. All threads of a command share
/// it.
#[derive(Default)]
pub struct Slot {
    state: Mutex<State>,
    warned: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Running(Arc<Connection>),
    Broken(Failure),
}

impl Slot {
    /// Returns the connection, and creates it with `start` on the first call. A failure is final for the
    /// command.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) fn connection(
        &self,
        start: impl FnOnce() -> Result<Connection, Failure>,
    ) -> Result<Arc<Connection>, Failure> {
        // The other threads wait until the program has greeted.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Running(connection) => return Ok(connection.clone()),
            State::Broken(failure) => return Err(failure.clone()),
            State::Idle => {}
        }
        match start() {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State::Running(connection.clone());
                Ok(connection)
            }
            Err(failure) => {
                *state = State::Broken(failure.clone());
                Err(failure)
            }
        }
    }

    /// Returns whether this is the first warning of the command about registries.
    pub(crate) fn is_first_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}
