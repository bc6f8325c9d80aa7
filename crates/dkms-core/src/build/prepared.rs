//! The prepared source of a build.

use std::path::Path;

/// The source as it will be compiled.
pub(crate) struct Prepared<'a> {
    /// The build directory.
    pub dir: &'a Path,
    /// The names of the applied patches, in order, each with its SHA-256.
    pub patches: Vec<(String, String)>,
}
