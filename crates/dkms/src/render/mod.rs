//! Renders events as lines, as a live view, or as JSON.

pub(crate) mod cache;
mod estimate;
pub(crate) mod json;
pub(crate) mod lint;
pub(crate) mod mok;
pub(crate) mod numbers;
pub(crate) mod paint;
pub(crate) mod plain;
pub(crate) mod preflight;
pub(crate) mod progress;
pub(crate) mod status;
mod terminal;
pub(crate) mod verdicts;

use dkms_core::error::Error;
use dkms_core::event::FailedPackage;

/// An error and its hints, one per line.
fn with_help(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.help()).collect::<Vec<_>>().join("\n")
}

/// A package that failed, with the exit code of its error.
fn with_code(failed: &FailedPackage) -> String {
    format!("{} ({})", failed.package, crate::exit::code(&failed.error))
}
