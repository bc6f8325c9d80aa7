//! The plan of an action: its steps, the reason for each, and the order between them.
//!
//! [`gather`] reads the tree into a [`state::State`]. Pure functions ([`changes`], [`removal`], [`keys`])
//! turn the state and the request into a [`Plan`]. `--dry-run` prints the plan; [`crate::schedule`],
//! [`crate::actions`] and [`crate::remove`] execute the same plan. Planning changes nothing, and runs no
//! script of a package. A dkms.conf that needs bash is evaluated by an unprivileged user who cannot write
//! anything.

pub mod changes;
mod ending;
mod estimate;
mod fallback;
pub mod gather;
mod gatherer;
pub mod keys;
pub mod order;
mod recorded;
pub mod removal;
pub mod state;
mod steps;
#[cfg(test)]
mod tests;

pub use gatherer::Purpose;
pub(crate) use gatherer::post_transaction;
pub use steps::{Operation, Outlook, Plan, Step, StepId, Transactions};
