//! dkms.conf and framework.conf as files: which are read, in which order, and who evaluates them.
//!
//! Every file goes to the native evaluator of `dkms-conf` first. What that does not understand completely it
//! declines, and the whole file is handed to a confined bash ([`bash`]). Both give the value of dkms's own
//! double evaluation.

pub mod bash;
mod error;
pub mod framework;
pub mod load;

pub use error::{ConfError, ConfProblem};
