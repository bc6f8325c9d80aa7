//! Renders events as lines, as a live view, or as JSON.

pub mod json;
pub mod lint;
pub mod mok;
pub mod plain;
pub mod progress;
mod terminal;
pub mod verdicts;

use dkms_core::error::Error;
use dkms_core::event::FailedPackage;

/// An error with its hint, line by line.
fn with_help(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.help()).collect::<Vec<_>>().join("\n")
}

/// A package version that failed, with the exit code of its error.
fn with_code(failed: &FailedPackage) -> String {
    format!("{} ({})", failed.package, crate::exit::code(&failed.error))
}
