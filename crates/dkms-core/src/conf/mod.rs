//! Reads dkms.conf and framework.conf: decides which files are read, in which order, and how they are
//! evaluated.
//!
//! Every file is first evaluated by the native evaluator of `dkms-conf`. If that evaluator does not support
//! the complete file, a confined bash ([`bash`]) evaluates it. Both return the values that the double
//! evaluation of Debian's dkms returns.

pub mod bash;
pub(crate) mod error;
pub mod framework;
pub mod load;

pub use error::ConfError;
