//! The prepared source of a build.

use std::path::Path;

/// The source as it will be compiled.
pub(crate) struct Prepared<'a> {
    /// The build directory that holds it.
    pub dir: &'a Path,
    /// The patches that were applied, in order, each with its SHA-256.
    pub patches: Vec<(String, String)>,
}
