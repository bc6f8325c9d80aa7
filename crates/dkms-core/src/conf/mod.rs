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

/// Matches a regular expression of dkms.conf with libc (see [`dkms_conf::Matcher`]).
pub(crate) fn regex_matches(pattern: &str, text: &str) -> Result<bool, dkms_conf::InvalidRegex> {
    dkms_sys::regex::matches(pattern, text).map_err(|error| dkms_conf::InvalidRegex(error.to_string()))
}
