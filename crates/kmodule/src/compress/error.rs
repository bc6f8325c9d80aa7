//! Errors of compression and decompression.

use crate::compression::Compression;

/// Why data could not be compressed or decompressed, or why options are invalid.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The expanded data would be larger than the caller allows.
    #[error("the data expands to more than {limit} bytes; this is not a kernel module")]
    TooLarge {
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The compressed data is damaged or cut short, or the decoder needs more memory than it is allowed to
    /// use.
    #[error("the {} data is damaged: {source}", format.name())]
    Damaged {
        /// Format of the data.
        format: Compression,
        /// The error of the decoder.
        source: std::io::Error,
    },
    /// The encoder failed.
    #[error("{} compression failed: {source}", format.name())]
    Encoder {
        /// The requested format.
        format: Compression,
        /// The error of the encoder.
        source: std::io::Error,
    },
    /// Neither kmod nor kernels read modules in this format.
    #[error("modules cannot be compressed with {}", .0.name())]
    NotForModules(Compression),
    /// An option in compress_*_opts that is not supported.
    #[error("compress_{}_opts: \"{option}\" {reason}", format.name())]
    Option {
        /// The format that the options are for.
        format: Compression,
        /// The invalid word.
        option: String,
        /// Why it is invalid.
        reason: &'static str,
    },
}
