//! The results of the scheduler.

use super::task::Done;
use crate::error::Error;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::manifest::BuildOrigin;

/// The result of one build of a plan.
#[derive(Debug)]
pub struct Finished {
    /// The package version and the kernel.
    pub build: Build,
    /// Whether a failure is not a failure of the command.
    pub optional: bool,
    /// The origin of its modules, if this command built it.
    pub origin: Option<BuildOrigin>,
    /// The outcome.
    pub done: Done,
}

/// The results of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// Its builds and installs, in the order of the plan.
    pub finished: Vec<Finished>,
    /// Kernels whose modules changed.
    pub changed: Vec<Kernel>,
    /// The error that ended the command early.
    pub stopped: Option<Error>,
}

/// Which failures are reported as soon as they occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// No failures. There is only one task, and its failure is the error of the command.
    Nothing,
    /// All failures.
    Each,
    /// All failures except missing headers, which are the error of the command.
    AllButHeaders,
}
