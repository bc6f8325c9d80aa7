//! Why an archive or a package cannot be created.

use std::path::PathBuf;

/// A tarball or a package cannot be created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum PackError {
    #[error("{action} needs a spec file, and there is none: {places}")]
    SpecMissing { action: String, places: String },
    #[error("{0} is not writable")]
    DestinationNotWritable(PathBuf),
}
