//! Reads dkms.conf and framework.conf: decides which files are read, in which order, and how they are
//! evaluated.
//!
//! The native evaluator of `dkms-conf` is tried first. If it does not support everything in the file, a
//! confined bash ([`bash`]) evaluates the file. Both return the values that Debian's dkms gets by evaluating
//! the file twice.

pub mod bash;
pub(crate) mod error;
pub mod framework;
pub mod load;

pub use error::ConfError;
