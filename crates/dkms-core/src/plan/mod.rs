//! What an action is going to do, as one value: the steps, why each is done, and which steps it follows.
//!
//! [`gather`] reads the tree into a [`state::State`]; pure functions ([`changes`], [`removal`], [`keys`])
//! turn that and what was asked for into a [`Plan`]. `--dry-run` prints the plan, [`crate::schedule`],
//! [`crate::actions`] and [`crate::remove`] execute it: both get the same value. Nothing is changed while a
//! plan is made, and no script of a package runs; a dkms.conf that needs bash is evaluated by an unprivileged
//! user who can write nothing.

pub mod changes;
mod ending;
mod estimate;
pub mod gather;
pub mod keys;
pub mod order;
pub mod removal;
pub mod state;
mod steps;
#[cfg(test)]
mod tests;

pub use steps::{Operation, Outlook, Plan, Step, StepId, Transactions};
