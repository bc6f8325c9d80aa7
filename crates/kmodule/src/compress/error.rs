//! The errors of compressing and decompressing.

use crate::compression::Compression;

/// Why data could not be compressed or expanded, or options not be understood.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The expanded data would be larger than the caller allows.
    #[error("the data expands to more than {limit} bytes; this is no kernel module")]
    TooLarge {
        /// The limit given, in bytes.
        limit: usize,
    },
    /// The compressed data is damaged, cut short, or needs more memory than a module can.
    #[error("the {} data is damaged: {source}", format.name())]
    Damaged {
        /// Format of the data.
        format: Compression,
        /// What the decoder reports.
        source: std::io::Error,
    },
    /// The encoder failed.
    #[error("{} compression failed: {source}", format.name())]
    Encoder {
        /// The wanted format.
        format: Compression,
        /// What the encoder reports.
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
        /// The word in question.
        option: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
