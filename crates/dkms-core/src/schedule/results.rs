//! What the scheduler reports, while it runs and at its end.

use super::task::Done;
use crate::error::Error;
use dkms_tree::ids::{Build, Kernel};

/// What became of one build of a plan.
#[derive(Debug)]
pub struct Finished {
    /// The package version and the kernel.
    pub build: Build,
    /// Its failure is no failure of the command.
    pub optional: bool,
    /// How it ended.
    pub done: Done,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// Its builds and installs, in its order.
    pub finished: Vec<Finished>,
    /// Kernels whose modules changed.
    pub changed: Vec<Kernel>,
    /// What ended the command early.
    pub stopped: Option<Error>,
}

/// Which failures are reported as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// None: there is one task, and its failure is the command's.
    Nothing,
    /// Each.
    Each,
    /// Each but missing headers, which are the command's failure.
    AllButHeaders,
}
