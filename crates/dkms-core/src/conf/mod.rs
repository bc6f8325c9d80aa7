//! dkms.conf and framework.conf as files: which are read, in which order, and how they are evaluated.
//!
//! Every file is first evaluated by the native evaluator of `dkms-conf`. If that does not understand the
//! whole file, it declines, and a confined bash ([`bash`]) evaluates the file. Both return the values of
//! dkms's own double evaluation.

pub mod bash;
pub(crate) mod error;
pub mod framework;
pub mod load;

pub use error::ConfError;
